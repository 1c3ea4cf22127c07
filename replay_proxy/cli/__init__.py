"""The command line: ``serve``, ``run``, and the tools that look at cassettes and change them.

Not in here: what answers a request.
"""

import sys


def main() -> None:
    """Run the command line; print an error of ours as one line, and exit with 2."""
    # Imported here: the pytest plugin uses modules of this package without its commands.
    from replay_proxy.errors import ReplayProxyError
    from replay_proxy.redaction.display import printable, redacted

    try:
        from replay_proxy.cli.commands import app

        app()
    except ReplayProxyError as error:
        sys.stderr.write(f"replay-proxy: {printable(redacted(str(error)))}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:  # While typer is imported.
        raise SystemExit(130) from None
