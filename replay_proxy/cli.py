"""The command line: ``replay-proxy serve``. Modes and cassettes are set by the environment."""

import asyncio
from typing import Annotated

import typer
import uvicorn

from replay_proxy import __version__

app = typer.Typer(
    help="A record-and-replay OpenAI proxy with a dummy fallback.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def _main() -> None:
    """Keep ``serve`` a command while it is the only one."""


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Where to listen.")] = 7777,
    workers: Annotated[int, typer.Option(min=1, help="How many processes.")] = 1,
) -> None:
    """Serve in the mode that MODE names: record, replay (default) or dummy."""
    # Imported here: it reads the environment, and ends the process with 2 when it cannot start.
    from replay_proxy.main import app as proxy

    if workers > 1:
        asyncio.run(proxy.assembly.aclose())  # Each worker opens the cassette for itself.
    uvicorn.run("replay_proxy.main:app", host=host, port=port, workers=workers, access_log=False)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


if __name__ == "__main__":
    app()
