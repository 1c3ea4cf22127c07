"""``replay-proxy ls``: the cassettes of a store, or the interactions of a cassette."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal

from replay_proxy.answers.plural import many
from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.errors import StoreError
from replay_proxy.matching.miss import summary
from replay_proxy.settings.values import MOST
from replay_proxy.store.archive import Archive

_COUNTS = ("interactions", "requests", "takes", "superseded")
_TOTALS = tuple(f"{name}_total" for name in _COUNTS)


def ls(
    cassette: Annotated[
        str | None, typer.Argument(help="A cassette's name or file; all cassettes by default.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="Most interactions to list.")] = 50,
    offset: Annotated[int, typer.Option(min=0, max=MOST, help="Interactions to skip.")] = 0,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """List the cassettes of a store, or the interactions of a cassette.

    Example: `replay-proxy ls demo`
    """
    if cassette is None:
        directory = paths.store_directory(store)
        entries = [_cassette_entry(path) for path in sorted(directory.glob("*.sqlite"))]
        document = {"version": wording.VERSION, "store": str(directory), "cassettes": entries}
        terminal.print_result(document, _cassettes_text(entries), as_json=as_json)
        return
    document = _interactions(paths.cassette_path(cassette, store), limit, offset)
    terminal.print_result(document, _interactions_text(document, offset), as_json=as_json)


def _cassette_entry(path: Path) -> dict[str, Any]:
    """One cassette of the list; if it cannot be read, only its size and the error."""
    entry: dict[str, Any] = {"cassette": path.stem, "bytes": _size(path)}
    nothing = dict.fromkeys((*_TOTALS, "first_recorded_at", "last_recorded_at"))
    try:
        with Archive(path) as archive:
            answers = archive.answers()
            takes = len(archive.takes())
    except StoreError as error:
        return entry | nothing | {"error": error.message}
    ids = answers.ids()
    return entry | {
        "interactions_total": len(ids),
        "requests_total": len(answers.by_take),
        "takes_total": takes,
        "superseded_total": len(answers.superseded()),
        "first_recorded_at": wording.iso_time(min(ids) >> 11) if ids else None,
        "last_recorded_at": wording.iso_time(max(ids) >> 11) if ids else None,
        "error": None,
    }


def _size(path: Path) -> int:
    """The size in bytes of a file, or of a broken link."""
    return (path.stat() if path.exists() else path.lstat()).st_size


def _cassettes_text(entries: list[dict[str, Any]]) -> list[terminal.Rows | str]:
    table = terminal.Rows(
        "cassette", *_COUNTS, "recorded", "size", numbers=(*_COUNTS, "size"), folded=["cassette"]
    )
    for entry in entries:
        counts = ("" if entry[name] is None else f"{entry[name]:,}" for name in _TOTALS)
        recorded = wording.day(entry["last_recorded_at"])
        table.add(entry["cassette"], *counts, recorded, decimal(entry["bytes"]))
    broken = [f"{entry['cassette']}: {entry['error']}" for entry in entries if entry["error"]]
    return [table if entries else "There is no cassette here.", *broken]


def _interactions(path: Path, limit: int, offset: int) -> dict[str, Any]:
    with Archive(path) as archive:
        answers = archive.answers()
        superseded = set(answers.superseded())
        rows = [
            {
                "number": number,
                "interaction": str(one.id),
                "take": str(take_id),
                "superseded": one.id in superseded,
                "recorded_at": wording.iso_time(one.request.arrived_us),
                **summary(one.request),
                "status": one.status,
                "streams": one.streams,
                "chunks_total": len(one.timeline.ends),
                "total_us": one.timeline.total_us,
            }
            for number, (take_id, one) in enumerate(archive.page(limit, offset), start=offset + 1)
        ]
        takes = [
            {
                "take": str(take.id),
                "recorded_at": wording.iso_time(take.started_us),
                "interactions_total": answers.count_in(take.id),
            }
            for take in archive.takes()
        ]
    return {
        "version": wording.VERSION,
        "cassette": path.stem,
        "interactions_total": len(answers.ids()),
        "takes": takes,
        "interactions": rows,
    }


def _interactions_text(document: dict[str, Any], offset: int) -> list[terminal.Rows | str]:
    table = terminal.Rows(
        "#",
        "recorded",
        "request",
        "model",
        "last message",
        "answer",
        numbers=["#"],
        cut=["request", "model", "last message"],
    )
    for each in document["interactions"]:
        kind = [f"{each['chunks_total']:,} chunks"] if each["streams"] else []
        table.add(
            str(each["number"]),
            wording.day(each["recorded_at"]),
            f"{each['method']} {each['path']}",
            each["model"],
            each["last_message"],
            ", ".join([str(each["status"]), *(["superseded"] if each["superseded"] else kind)]),
        )
    takes = [
        f"take {take['take']}, {take['recorded_at']}: "
        f"{many(take['interactions_total'], 'interaction')}"
        for take in document["takes"]
    ]
    more = document["interactions_total"] - offset - len(document["interactions"])
    rest = [f"{many(more, 'more interaction')}; see --offset and --limit"]
    return [table, *(rest if more > 0 else []), *(takes if len(takes) > 1 else [])]
