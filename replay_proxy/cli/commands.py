"""The list of commands: ``serve`` and ``run`` with their options, and every tape tool by name."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from replay_proxy import __version__
from replay_proxy.cli.git.commands import git_merge, git_resolve, git_setup, git_textconv
from replay_proxy.cli.process import as_process
from replay_proxy.cli.refresh.command import refresh
from replay_proxy.cli.tape_tools.diff import diff
from replay_proxy.cli.tape_tools.export import export
from replay_proxy.cli.tape_tools.fit import fit
from replay_proxy.cli.tape_tools.import_ import import_
from replay_proxy.cli.tape_tools.ls import ls
from replay_proxy.cli.tape_tools.merge import merge
from replay_proxy.cli.tape_tools.prune import prune
from replay_proxy.cli.tape_tools.rename import rename, rm
from replay_proxy.cli.tape_tools.show import show
from replay_proxy.cli.tape_tools.unused import unused
from replay_proxy.cli.tape_tools.verify import verify
from replay_proxy.cli.verdict import age_s
from replay_proxy.settings import Mode, OnMiss

app = typer.Typer(
    help="A record-and-replay OpenAI proxy with a dummy fallback.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",  # Joins the lines of a paragraph, and knows `code`.
)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 is any free one.")
    ] = 7777,
    workers: Annotated[int, typer.Option(min=1, max=1_000, help="Number of processes.")] = 1,
    ssl_certfile: Annotated[
        Path | None, typer.Option(help="Certificate (PEM), to serve https.", show_default=False)
    ] = None,
    ssl_keyfile: Annotated[
        Path | None,
        typer.Option(help="Its key, if that is another file.", show_default=False),
    ] = None,
) -> None:
    """Start the proxy. Point OPENAI_BASE_URL at http://HOST:PORT/v1.

    MODE is record, replay (default) or dummy; all other settings are environment variables too.

    Example: `MODE=record replay-proxy serve --port 8080`
    """
    # Imported here: the other commands need no server.
    from replay_proxy.serving import process

    process.serve(host, port, workers, process.tls_options(ssl_certfile, ssl_keyfile))


def _max_age_s(age: str | None) -> int | None:
    try:
        return None if age is None else age_s(age)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from None


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[
        list[str], typer.Argument(help="The command and its arguments.", show_default=False)
    ],
    mode: Annotated[Mode | None, typer.Option(help="Overrides MODE.")] = None,
    on_miss: Annotated[OnMiss | None, typer.Option(help="Overrides ON_MISS.")] = None,
    cassette: Annotated[str | None, typer.Option(help="Overrides CASSETTE.")] = None,
    store: Annotated[str | None, typer.Option(help="Overrides STORE.")] = None,
    fail_unused: Annotated[
        bool, typer.Option("--fail-unused", help="Fail if a recording is not used.")
    ] = False,
    fail_idle: Annotated[
        bool, typer.Option("--fail-idle", help="Fail if no request reaches the proxy.")
    ] = False,
    allow_losses: Annotated[
        bool, typer.Option("--allow-losses", help="Pass although an answer was not recorded.")
    ] = False,
    max_age: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Fail if a used recording is older: 12h, 30d, 8w."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the verdict as JSON.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdict as JUnit XML.")] = None,
) -> None:
    """Run tests against recorded answers; fail on anything not recorded.

    Starts a proxy for the command, sends its OpenAI clients there, and prints a verdict. Exits with
    the command's exit code, or with 1 if the command passed in spite of a miss or, while recording,
    of an answer that was not recorded.

    Example: `replay-proxy run -- pytest`
    """
    from replay_proxy.cli.run import CommandRun

    settings = {"MODE": mode, "ON_MISS": on_miss, "CASSETTE": cassette, "STORE": store}
    overrides = {name: str(value) for name, value in settings.items() if value is not None}
    command_run = CommandRun(command, overrides, fail_unused, _max_age_s(max_age), report, junit)
    raise typer.Exit(replace(command_run, fail_idle=fail_idle, allow_losses=allow_losses)())


_look, _keep, _git = "Look at cassettes", "Keep cassettes in order", "git"
for _name, _tool, _panel in (
    ("ls", ls, _look),
    ("show", show, _look),
    ("diff", diff, _look),
    ("verify", verify, _look),
    ("refresh", refresh, _look),
    ("unused", unused, _look),
    ("fit", fit, _look),
    ("prune", prune, _keep),
    ("merge", merge, _keep),
    ("rename", rename, _keep),
    ("rm", rm, _keep),
    ("export", export, _keep),
    ("import", import_, _keep),
    ("git-setup", git_setup, _git),
    ("git-resolve", git_resolve, _git),
):
    app.command(_name, rich_help_panel=_panel)(as_process(_tool))
app.command(hidden=True)(as_process(git_textconv))
app.command(hidden=True)(as_process(git_merge))


@app.command()
def version() -> None:
    """Print the version.

    Example: `replay-proxy version`
    """
    typer.echo(__version__)
