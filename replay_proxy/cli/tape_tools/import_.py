"""``replay-proxy import``: text twins of cassettes, and recordings of other tools."""

import re
import stat
import time
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from hashlib import file_digest
from io import BufferedReader
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any, BinaryIO, cast

import typer

from replay_proxy.answers.plural import many
from replay_proxy.cassette import Interaction, Take
from replay_proxy.cli import options, paths, terminal
from replay_proxy.cli.process import FOUND
from replay_proxy.errors import ConfigurationError, ImportRefused, ReplayProxyError
from replay_proxy.importers import FORMATS, NotCarried, carry_over, detect, line_format, read
from replay_proxy.importers.documents import MAX_BYTES
from replay_proxy.store import twin
from replay_proxy.store.transaction import transaction

TWIN = "twin"
#: Bytes read from a pipe or a device at most: it may have no end.
_MOST_PIPED_BYTES = 2 << 30
#: Characters of a cassette's name at most.
_NAME_CHARS = 200
#: The first bytes of every text twin.
_TWIN_HEAD = b'{"cassette":'
_CASSETTE_HEAD = b"SQLite format 3\0"


def import_(
    files: Annotated[list[Path], typer.Argument(help="Recordings, or text twins of cassettes.")],
    cassette: Annotated[
        str | None,
        typer.Option(help="The cassette to write; by default one per file, with its name."),
    ] = None,
    format_name: Annotated[
        str | None,
        typer.Option("--format", help=f"{TWIN}, {', '.join(FORMATS)}; detected by default."),
    ] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Import recordings of other tools, or text twins that `export` wrote.

    Importing a file again replaces its former recordings. What cannot be carried over is listed;
    exit 1 if that is everything.

    Example: `replay-proxy import tests/cassettes/weather.yaml`
    """
    imported: list[dict[str, Any]] = []
    refusal: ReplayProxyError | None = None
    for file in files:
        target = paths.cassette_path(cassette or name_of(file), store)
        try:
            imported.append(_import_file(file, target, format_name))
        except ReplayProxyError as error:
            if not imported:
                raise
            refusal = error  # First print what was imported. No further file is read.
            break
    document = {
        "version": 1,
        "interactions": sum(entry["interactions"] for entry in imported),
        "not_carried": sum(len(entry["not_carried"]) for entry in imported),
        "files": imported,
    }
    terminal.print_result(document, list(_text(document)), as_json=as_json)
    if refusal is not None:
        raise refusal
    raise typer.Exit(0 if document["interactions"] else FOUND)


def _text(document: dict[str, Any]) -> Iterator[str]:
    for entry in document["files"]:
        for lost in entry["not_carried"]:
            yield f"{entry['file']}, {lost['where']}: not carried over, since {lost['reason']}"
    yield (
        f"Imported {many(document['interactions'], 'interaction')} from "
        f"{many(len(document['files']), 'file')}; "
        f"{document['not_carried']:,} not carried over"
    )


def name_of(file: Path) -> str:
    """The name of a file's cassette: the file's without its suffix, other characters as ``_``."""
    # Polly.js gives every file the same name, and names the directories.
    name = file.parent.name if file.stem == "recording" else file.name
    name = re.sub(r"\.(?:gz|ya?ml|json|jsonl|har|httprr)$", "", re.sub(r"\.gz$", "", name))
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".-")[:_NAME_CHARS] or "imported"


def _import_file(file: Path, target: Path, format_name: str | None) -> dict[str, Any]:
    """Import one file, all of it or nothing."""
    try:
        with _open(file) as lines:
            start = lines.read(max(len(BOM_UTF8 + _TWIN_HEAD), len(_CASSETTE_HEAD)))
            begins_as_twin = start.removeprefix(BOM_UTF8).startswith(_TWIN_HEAD)
            if start.startswith(_CASSETTE_HEAD):
                raise ImportRefused(
                    "is a cassette already",
                    remedy="Copy it into the store, or merge it into another with `replay-proxy "
                    "merge`.",
                )
            lines.seek(0)
            if format_name == TWIN or (format_name is None and begins_as_twin):
                format_name = TWIN
                count, lost = _store_twin(target, lines), list[NotCarried]()
            else:
                count, lost, format_name = _store_foreign(file, target, lines, format_name)
    except ImportRefused as error:
        error.thing = str(file)  # A reader knows only the file's name; a person needs its path.
        raise
    return {
        "file": str(file),
        "format": format_name,
        "cassette": target.stem,
        "interactions": count,
        "not_carried": [{"where": each.where, "reason": each.reason} for each in lost],
    }


def _open(file: Path) -> BinaryIO:
    """A file, or the content of a pipe, to read. Raises ``ConfigurationError``."""
    try:
        status = file.stat()
        if stat.S_ISFIFO(status.st_mode) and not file.resolve().is_relative_to("/proc"):
            # Opening it would wait for a writer, which may never come.
            raise ConfigurationError(
                f"{file} is a named pipe. Pipe into `replay-proxy import /dev/stdin` instead."
            )
        lines = file.open("rb")
        if stat.S_ISCHR(status.st_mode) and not lines.isatty():
            lines.close()
            raise ConfigurationError(f"{file} is a device, not a recording. Name a file.")
        if stat.S_ISREG(status.st_mode):
            return lines
        with lines:
            return _spool(file, lines)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from error


def _spool(file: Path, lines: BinaryIO) -> BinaryIO:
    """The content of a pipe or a device in a file that can be read twice."""
    spool = TemporaryFile()  # noqa: SIM115 - closed by its reader
    size = 0
    while piece := lines.read(1 << 20):
        size += len(piece)
        if size > _MOST_PIPED_BYTES:
            spool.close()
            raise ConfigurationError(
                f"{file} gives more than {_MOST_PIPED_BYTES >> 30} GiB. Write it to a file first."
            )
        spool.write(piece)
    spool.seek(0)
    return spool


def _store_twin(target: Path, lines: BinaryIO) -> int:
    with transaction(target) as change:
        number = 0
        for each in terminal.progress(twin.read(lines), None, f"Importing {target.stem}"):
            if isinstance(each, Take):
                change.add_take(each)
            else:
                change.add(*each)
                number += 1
    return number


def _store_foreign(
    file: Path, target: Path, lines: BinaryIO, format_name: str | None
) -> tuple[int, list[NotCarried], str]:
    """Store what can be carried over as a take that belongs to the file; no take if nothing can.

    Returns the number of interactions, what was not carried over, and the format.
    """
    content: bytes | BinaryIO = lines
    known = line_format(lines.readline(MAX_BYTES + 1))
    lines.seek(0)
    if known is None or format_name not in (None, known):
        content = lines.read(MAX_BYTES + 1)
        known = format_name or detect(file.name, content)
        lines.seek(0)
    run = f"import {file_digest(cast(BufferedReader, lines), 'sha256').hexdigest()[:32]}"
    lines.seek(0)
    carried = carry_over(read(file.name, content, known), begin_us=time.time_ns() // 1000)
    lost: list[NotCarried] = []
    interactions = _interactions(carried, lost)
    first = next(interactions, None)
    number = 0
    if first is not None:
        with transaction(target) as change:
            take_id = change.join_take(run)
            for each in terminal.progress(
                chain([first], interactions), None, f"Importing {target.stem}"
            ):
                change.add(take_id, each)
                number += 1
    return number, lost, known


def _interactions(
    carried: Iterable[Interaction | NotCarried], lost: list[NotCarried]
) -> Iterator[Interaction]:
    """The interactions; what was not carried over is appended to ``lost``."""
    for each in carried:
        if isinstance(each, Interaction):
            yield each
        else:
            lost.append(each)
