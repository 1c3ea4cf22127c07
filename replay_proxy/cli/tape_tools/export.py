"""``replay-proxy export``: a cassette's text twin."""

import sys
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import Annotated, BinaryIO

import typer

from replay_proxy.cli import options, paths, terminal
from replay_proxy.store import twin
from replay_proxy.store.archive import Archive


def export(
    cassette: options.Name,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write; standard output by default."),
    ] = None,
    store: options.Store = None,
) -> None:
    """Write a cassette as JSON Lines, without loss, for git, grep and editors.

    Example: `replay-proxy export demo -o demo.jsonl`
    """
    path = paths.existing_path(cassette, store)
    if output is None:
        with (
            TemporaryFile() as lines
        ):  # A slow reader, such as a pager, must not hold up a recorder.
            write_twin(path, lines)
            lines.seek(0)
            copyfileobj(lines, sys.stdout.buffer)
        return
    with paths.replacement(output) as lines:
        write_twin(path, lines)


def write_twin(path: Path, lines: BinaryIO) -> None:
    """Write the text twin of a cassette. Raises ``StoreError``."""
    with Archive(path) as archive:
        total = archive.counts().interactions
        lines.write(twin.head())
        for take in archive.takes():
            lines.write(twin.take_line(take))
        for take_id, interaction in terminal.progress(
            archive.interactions(), total, f"Exporting {path.stem}"
        ):
            lines.write(twin.interaction_lines(take_id, interaction))
