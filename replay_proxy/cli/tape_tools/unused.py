"""``replay-proxy unused``: the recordings that no reported test run used."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from replay_proxy.answers.plural import many
from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.cli.process import FOUND
from replay_proxy.errors import ConfigurationError
from replay_proxy.matching.miss import summary
from replay_proxy.store.archive import Archive
from replay_proxy.store.listing import RecordedAnswers

#: Maximum number of recordings that the JSON describes, and that the text lists; all are counted.
SHOWN, LISTED = 1000, 100

Reports = Annotated[
    list[Path],
    typer.Option(
        "--report",
        help="A file from `replay-proxy run --report` or GET /_replay/api/report; may be repeated.",
        show_default=False,
    ),
]


def unused(
    cassette: options.Name,
    report: Reports,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """List the recordings that no test run used; exit 1 if there are any.

    Example: `replay-proxy unused demo --report report.json`
    """
    path = paths.cassette_path(cassette, store)
    with Archive(path) as archive:
        numbers = unused_interactions(archive.answers(), used_interactions(report, path.stem))
        entries = [entry(archive, number) for number in numbers[:SHOWN]]
    document = {
        "version": wording.VERSION,
        "cassette": path.stem,
        "unused_total": len(numbers),
        "unused": entries,
    }
    total = f"{many(len(numbers), 'recording')} of '{path.stem}' that no report has used"
    if len(numbers) > LISTED:
        total += f", of which the first {LISTED} are listed"
    tables = [_table(entries[:LISTED])] if numbers else []
    terminal.print_result(document, [*tables, total], as_json=as_json)
    raise typer.Exit(FOUND if numbers else 0)


def used_interactions(reports: Sequence[Path], cassette: str) -> set[int]:
    """The interactions used in any of the reports. Raises ``ConfigurationError``."""
    used: set[int] = set()
    names: set[str] = set()
    for path in reports:
        try:
            cassettes = _cassettes(path.read_bytes())
            used |= _used(cassettes[cassette]) if cassette in cassettes else set()
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"is not a report: {error}",
                thing=str(path),
                remedy="Write one with `replay-proxy run --report FILE -- COMMAND`, or GET "
                "/_replay/api/report.",
            ) from None
        names.update(cassettes)
    if cassette not in names:
        raise ConfigurationError(
            f"No report mentions a cassette '{cassette}', so it is unknown what is used of it. "
            f"They mention: {', '.join(sorted(names)) or 'none'}."
        )
    return used


def _cassettes(content: bytes) -> dict[str, Any]:
    """The entries of a report, by cassette. Raises ``ValueError`` if it is not a report."""
    match json.loads(content):
        case {"cassettes": dict(cassettes)}:
            return cassettes
    raise ValueError("it has no cassettes")


def _used(entry: Any) -> set[int]:
    """The used interactions of one cassette of a report. Raises ``ValueError``."""
    match entry:
        case {"used": list(ids)} if all(isinstance(number, str | int) for number in ids):
            return set(map(int, ids))
    raise ValueError("its cassette has no list of used interactions")


def unused_interactions(answers: RecordedAnswers, used: Collection[int]) -> list[int]:
    """The current interactions that were not used, by arrival."""
    current = answers.current().values()
    return sorted(number for ids in current for number in ids if number not in used)


def entry(archive: Archive, number: int) -> dict[str, Any]:
    """One recording of the list."""
    request = archive.request(number).request
    return {
        "interaction": str(number),
        **summary(request),
        "recorded_at": wording.iso_time(request.arrived_us),
    }


def _table(entries: list[dict[str, Any]]) -> terminal.Rows:
    table = terminal.Rows(
        "recorded",
        "request",
        "model",
        "last message",
        "interaction",
        cut=["request", "model", "last message"],
    )
    for each in entries:
        table.add(
            wording.day(each["recorded_at"]),
            f"{each['method']} {each['path']}",
            each["model"],
            each["last_message"],
            each["interaction"],
        )
    return table
