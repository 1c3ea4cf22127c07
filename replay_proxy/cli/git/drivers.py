"""The commands that ``git-setup`` writes into a clone's configuration, for git's shell.

They outlive the environment in which they were written: if its Python is gone, or no longer has
replay-proxy, a cassette is shown as a line that says so, and merging it is a conflict.
"""

import shlex

#: Whether the environment still exists. Without ``-P``, the user's directory could be imported.
_THERE = """"$python" -P -c 'import replay_proxy.cli' 2>/dev/null"""
_CALL = '"$python" -P -m replay_proxy.cli'
_GONE = "$python is gone, or no longer has replay-proxy"


def textconv_command(python: str) -> str:
    """The command that writes a version of a cassette as text. git appends the file.

    It never fails: otherwise git would not show the other files either. The checksum makes the
    lines of two versions differ; git shows no difference between equal texts.
    """
    return _function(
        python,
        f'cause="{_GONE}"; '
        f'if {_THERE}; then {_CALL} git-textconv "$1" && return; cause="replay-proxy failed"; fi; '
        "printf 'replay-proxy: this version (checksum and bytes: %s) cannot be shown: %s. "
        'Run "replay-proxy git-setup" again.\\n\' "$(cksum <"$1")" "$cause"',
    )


def merge_command(python: str) -> str:
    """The command that merges two versions of a cassette. Its failure is a conflict.

    git expands ``%O`` and similar anywhere in it, but not ``%s``.
    """
    words = (
        "replay-proxy: %s is not merged, and is left as it is on our side: %s. "
        'Run "replay-proxy git-setup", and then merge again, or decide with '
        '"replay-proxy git-resolve".\\n'
    )
    return _function(
        python.replace("%", "%%"),
        f'if {_THERE}; then {_CALL} git-merge "$@"; '
        f'else printf \'{words}\' "$4" "{_GONE}" >&2; return 1; fi',
        "%O %A %B %P",
    )


def _function(python: str, body: str, arguments: str = "") -> str:
    """A shell command that calls a function with these arguments and those that git appends."""
    call = " ".join(filter(None, ["replay_proxy", arguments]))
    return f"python={shlex.quote(python)}; replay_proxy() {{ {body}; }}; {call}"
