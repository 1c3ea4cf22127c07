"""``replay-proxy import``: text twins of cassettes, and recordings of other tools."""

import time
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from hashlib import file_digest
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import typer

from replay_proxy.answers.plural import many
from replay_proxy.cassette import Interaction, Take
from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.cli.process import FAILED, FOUND
from replay_proxy.cli.tape_tools.recordings import below, name_of, opened
from replay_proxy.errors import ImportRefused, ReplayProxyError
from replay_proxy.importers import FORMATS, NotCarried, carry_over, detect, line_format, read
from replay_proxy.importers.documents import MAX_BYTES
from replay_proxy.store import twin
from replay_proxy.store.archive import Archive
from replay_proxy.store.files.troubles import GET_BY_LFS, POINTER_BYTES, is_lfs_pointer
from replay_proxy.store.transaction import transaction

TWIN = "twin"
#: The first bytes of every text twin.
_TWIN_HEAD = b'{"cassette":'
_CASSETTE_HEAD = b"SQLite format 3\0"


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(help="Recordings, text twins of cassettes, or directories of them."),
    ],
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
    exit 1 if that is everything, 2 if a file cannot be read.

    Example: `replay-proxy import tests/cassettes`
    """
    found, others = _found(files)
    imported: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    for file in found:
        try:
            target = paths.cassette_path(cassette or name_of(file), store)
            imported.append(_import_file(file, target, format_name))
        except ReplayProxyError as error:
            if len(found) == 1:
                raise
            unreadable.append({"file": str(file), "reason": str(error)})
    document = {
        "version": wording.VERSION,
        "interactions_total": sum(entry["interactions_total"] for entry in imported),
        "not_carried_total": sum(len(entry["not_carried"]) for entry in imported),
        "files": imported,
        "unreadable": unreadable,
        "other_files_total": others,
    }
    lines = list(_text(document, is_named=cassette is not None))
    terminal.print_result(document, lines, as_json=as_json)
    if unreadable:
        raise typer.Exit(FAILED)
    raise typer.Exit(0 if document["interactions_total"] else FOUND)


def _found(files: Iterable[Path]) -> tuple[list[Path], int]:
    """The files, with those below directories, and how many others are there."""
    found: list[Path] = []
    others = 0
    for file in files:
        if file.is_dir():
            recordings, count = below(file)
            found += recordings
            others += count
        else:
            found.append(file)
    return found, others


def _text(document: dict[str, Any], *, is_named: bool) -> Iterator[str]:
    for entry in document["files"]:
        for lost in entry["not_carried"]:
            yield f"{entry['file']}, {lost['where']}: not carried over, since {lost['reason']}"
        if entry["joined"] and not is_named:
            yield (
                f"{entry['file']} shares the cassette {entry['cassette']} with other recordings: "
                "to a request that both have, the answers imported last are replayed. "
                "--cassette keeps files apart."
            )
    for each in document["unreadable"]:
        yield f"Not imported: {each['reason']}"
    parts = [
        f"Imported {many(document['interactions_total'], 'interaction')} from "
        f"{many(len(document['files']), 'file')}",
        f"{document['not_carried_total']:,} not carried over",
    ]
    if document["unreadable"]:
        parts.append(f"{many(len(document['unreadable']), 'file')} unreadable")
    if document["other_files_total"]:
        parts.append(f"{many(document['other_files_total'], 'other file')} not read")
    yield "; ".join(parts)


def _import_file(file: Path, target: Path, format_name: str | None) -> dict[str, Any]:
    """Import one file, all of it or nothing."""
    before = _takes(target)
    try:
        with opened(file) as lines:
            start = lines.read(POINTER_BYTES)
            begins_as_twin = start.removeprefix(BOM_UTF8).startswith(_TWIN_HEAD)
            if start.startswith(_CASSETTE_HEAD):
                raise ImportRefused(
                    "is a cassette already",
                    remedy="Copy it into the store, or merge it into another with `replay-proxy "
                    "merge`.",
                )
            if is_lfs_pointer(start):
                raise ImportRefused(
                    "is a Git LFS pointer, and not the recording itself", remedy=GET_BY_LFS
                )
            lines.seek(0)
            if format_name == TWIN or (format_name is None and begins_as_twin):
                format_name = TWIN
                (count, runs), lost = _store_twin(target, lines), list[NotCarried]()
            else:
                count, lost, format_name, runs = _store_foreign(
                    file, target, lines, format_name, before
                )
    except ImportRefused as error:
        error.thing = str(file)  # The reader knows only the file's name; a person needs its path.
        raise
    return {
        "file": str(file),
        "format": format_name,
        "cassette": target.stem,
        "interactions_total": count,
        "joined": bool(count and before.keys() - runs),
        "not_carried": [{"where": each.where, "reason": each.reason} for each in lost],
    }


def _takes(target: Path) -> dict[str, int]:
    """The start of each take of a cassette, by its run."""
    if not target.exists():
        return {}
    with Archive(target) as archive:
        return {take.run: take.started_us for take in archive.takes()}


def _store_twin(target: Path, lines: BinaryIO) -> tuple[int, set[str]]:
    runs: set[str] = set()
    with transaction(target) as change:
        number = 0
        for each in terminal.progress(twin.read(lines), None, f"Importing {target.stem}"):
            if isinstance(each, Take):
                change.add_take(each)
                runs.add(each.run)
            else:
                change.add(*each)
                number += 1
    return number, runs


def _store_foreign(
    file: Path,
    target: Path,
    lines: BinaryIO,
    format_name: str | None,
    before: Mapping[str, int],
) -> tuple[int, list[NotCarried], str, set[str]]:
    """Store what can be carried over as a take of the file's own; no take if nothing can.

    Returns the number of interactions, what was not carried over, the format, and the run.
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
    # Exchanges without a date get the same ids again when the file is imported again.
    begin_us = before.get(run, time.time_ns() // 1000)
    carried = carry_over(read(file.name, content, known), begin_us=begin_us)
    lost: list[NotCarried] = []
    interactions = _interactions(carried, lost)
    first = next(interactions, None)
    number = 0
    if first is not None:
        with transaction(target) as change:
            take_id = change.join_take(run, begin_us)
            for each in terminal.progress(
                chain([first], interactions), None, f"Importing {target.stem}"
            ):
                change.add(take_id, each)
                number += 1
    return number, lost, known, {run}


def _interactions(
    carried: Iterable[Interaction | NotCarried], lost: list[NotCarried]
) -> Iterator[Interaction]:
    """The interactions; what was not carried over is appended to ``lost``."""
    for each in carried:
        if isinstance(each, Interaction):
            yield each
        else:
            lost.append(each)
