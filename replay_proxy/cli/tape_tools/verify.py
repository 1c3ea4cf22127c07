"""``replay-proxy verify``: whether a cassette can be trusted, and shared.

It checks every page, checksum, chunk and fingerprint, and searches all that is stored for
credentials. Each finding names its interaction and its kind.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from replay_proxy.answers.leaks import leaks
from replay_proxy.answers.plural import many
from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.cli.process import FOUND
from replay_proxy.errors import CassetteMissing, StoreError
from replay_proxy.matching.fingerprint import fingerprint, former_fingerprint
from replay_proxy.matching.nearness import former_features
from replay_proxy.redaction.display import redacted
from replay_proxy.store.archive import Archive
from replay_proxy.store.files.journals import has_lost_journal
from replay_proxy.store.sqlite.rows import Row, check_types, checksum, from_row, is_intact, to_row
from replay_proxy.store.sqlite.vocabulary import digest
from replay_proxy.target import flaw, leads_away
from replay_proxy.wire import Request

#: The kinds of findings, by their names in the JSON.
KINDS = {
    "damaged": "the file, or a page of it, is not as it was written",
    "journal": "the file was copied or committed while it was recorded, without its journal",
    "checksum": "an answer or its request is not as it was recorded: its bytes, headers, times, …",
    "chunks": "the chunks do not add up to the answer's body",
    "fingerprint": "the stored request does not give the stored fingerprint",
    "column": "a column differs from the request or the answer that it was made from",
    "words": "the index that a miss searches for the nearest recordings has other words for it",
    "address": "the method, path or query could lead elsewhere than to the upstream, or the answer "
    "redirects its client to another server",
    "secret": "something that looks like a credential",
}
#: Maximum number of characters of a path, or of a redirect's location, that a finding shows.
SHOWN_PATH = 100
_LOST_JOURNAL = (
    "it was copied or committed while it was recorded: what was in its journal is missing. Stop "
    "the proxy first, and commit it again"
)
_ANEW = "`export` and `import` it into another cassette, which makes its index anew"
_OTHER = f"the index has other words for it than its request: {_ANEW}"
_NONE = f"the index has no words for it: {_ANEW}"
_NOT_THERE = f"the index has words for it, and it is not there: {_ANEW}"
#: Columns that are derived from others of their row.
_DERIVED = ("model", "streams", "media_type")


def verify(
    cassettes: Annotated[
        list[str] | None,
        typer.Argument(help="Names or files of cassettes; all of the store by default."),
    ] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Check that cassettes are whole, unaltered and free of credentials; exit 1 if not.

    Example: `replay-proxy verify`
    """
    if cassettes:
        files = [paths.existing_path(each, store) for each in cassettes]
    else:
        directory = paths.store_directory(store)
        files = sorted(directory.glob("*.sqlite"))
        if not files:
            raise CassetteMissing(
                f"There is no cassette in {directory} to verify. "
                "Name the directory of the cassettes with --store."
            )
    results = [findings_of(path) for path in files]
    count = sum(len(each["findings"]) for each in results)
    document = {
        "version": wording.VERSION,
        "verdict": "failed" if count else "passed",
        "cassettes": results,
    }
    total = sum(each["interactions_total"] for each in results)
    summary = (
        f"{many(count, 'finding')} in {many(total, 'interaction')} of "
        f"{many(len(files), 'cassette')}"
    )
    terminal.print_result(
        document, [*([_table(results)] if count else []), summary], as_json=as_json
    )
    raise typer.Exit(FOUND if count else 0)


def findings_of(path: Path) -> dict[str, Any]:
    """The findings in one cassette, JSON-ready."""
    findings: list[dict[str, Any]] = []
    interactions = 0
    if path.is_file() and has_lost_journal(path):  # A pipe would be waited for.
        findings.append(_finding("journal", None, _LOST_JOURNAL))
    try:
        with Archive(path) as archive:
            findings.extend(_finding("damaged", None, each) for each in archive.integrity_errors())
            takes = {take.id for take in archive.takes()}
            total = archive.counts().interactions
            words_by_id = _words(archive, findings)
            for row in terminal.progress(archive.rows(), total, f"Verifying {path.stem}"):
                interactions += 1
                index_digest = None if words_by_id is None else words_by_id.pop(row["id"], 0)
                findings += _findings(row, takes, index_digest)
            for number in sorted(words_by_id or ()):
                findings.append(_finding("words", number, _NOT_THERE))
    except StoreError as error:
        findings.append(_finding("damaged", None, str(error)))
    return {"cassette": path.stem, "interactions_total": interactions, "findings": findings}


def _words(archive: Archive, findings: list[dict[str, Any]]) -> dict[int, int] | None:
    """The digest of each interaction's words in the index; None, and a finding, if unreadable."""
    try:
        return archive.words()
    except StoreError as error:
        findings.append(_finding("damaged", None, str(error)))
        return None


def _has_other_words(row: Row, request: Request, index_digest: int) -> bool:
    """Whether the index has neither the words of this version nor those of an older one."""
    if digest(row["features"].encode().split()) == index_digest:
        return False
    return digest(word.encode() for word in former_features(request)) != index_digest


def _findings(row: Row, takes: set[int], index_digest: int | None) -> Iterator[dict[str, Any]]:
    """The findings of one row. ``index_digest`` is the digest of its words in the index."""
    number = row["id"]
    if row["take_id"] not in takes:
        yield _finding("column", number, f"take_id is {row['take_id']}, and there is no such take")
    try:
        check_types(row)
        if (broken := _broken_chunks(row)) is not None:
            yield _finding("chunks", number, broken)
        interaction = from_row(row | {"checksum": checksum(row)})
        request = interaction.request
        if (cause := flaw(request.method, request.path, request.query)) is not None:
            shown = redacted(request.path)[:SHOWN_PATH]
            yield _finding("address", number, f"{cause}: {request.method} {shown!r}")
        if (away := leads_away(interaction.status, interaction.headers)) is not None:
            shown = redacted(away)[:SHOWN_PATH]
            yield _finding("address", number, f"the answer sends its client to {shown!r}")
        digest_now = fingerprint(request)
        if row["fingerprint"] not in (digest_now, former_fingerprint(request)):
            yield _finding("fingerprint", number, f"the request gives {digest_now}")
        if not is_intact(row):
            yield _finding("checksum", number, f"it is {checksum(row)}, not {row['checksum']}")
        again = to_row(interaction, row["take_id"])
        for column in _DERIVED:
            if again[column] != row[column]:
                what = f"{column} is {row[column]!r}, and should be {again[column]!r}"
                yield _finding("column", number, what)
        if index_digest is not None and _has_other_words(again, request, index_digest):
            yield _finding("words", number, _OTHER if index_digest else _NONE)
        for leak in leaks(request, interaction.headers, interaction.body):
            shown = f": {leak.beginning}" if leak.beginning else ""
            yield _finding("secret", number, f"{leak.kind} in {leak.where}{shown}")
    except ValueError as error:
        yield _finding("damaged", number, str(error))


def _broken_chunks(row: Row) -> str | None:
    """Why the chunks are wrong; None if they are right. Raises ``ValueError``."""
    chunks = orjson.loads(row["timeline"])
    if type(chunks) is not list or any(
        type(chunk) is not list or [*map(type, chunk)] != [int, int] for chunk in chunks
    ):
        return "they are not a list of pairs of whole numbers"
    before_us = end = 0
    for number, (offset_us, next_end) in enumerate(chunks):
        if next_end < end or offset_us < before_us:
            return f"chunk {number} ends at byte {next_end} after {offset_us} µs, before another"
        before_us, end = offset_us, next_end
    if before_us and not row["head_us"] <= before_us <= row["total_us"]:
        return (
            f"the last comes after {before_us} µs, and the answer ends after {row['total_us']} µs"
        )
    size = len(row["body"])
    return None if end == size else f"they end at byte {end}, the body has {size}"


def _finding(kind: str, interaction: int | None, what: str) -> dict[str, Any]:
    number = None if interaction is None else str(interaction)
    return {"kind": kind, "interaction": number, "what": what}


def _table(results: list[dict[str, Any]]) -> terminal.Rows:
    table = terminal.Rows("cassette", "interaction", "kind", "what", folded=["what"])
    for each in results:
        for finding in each["findings"]:
            table.add(each["cassette"], finding["interaction"], finding["kind"], finding["what"])
    return table
