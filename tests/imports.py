"""Are other tools' recordings imported byte for byte? ``python -m tests.imports DIR…``

Every file below the directories is read twice: by the importers and by an independent reader
(``tests.support.independent_reader``). Each exchange must have the original's request (method,
path, query, headers, body), status, headers, body and ends of chunks, or be listed with the reason.
If a directory's ``MANIFEST.json`` names the source of a file, and a ``*open.jsonl.gz`` next to the
directory has its records, these are compared too.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from replay_proxy.cassette import Interaction
from replay_proxy.errors import ImportRefused
from replay_proxy.importers import Exchange, NotCarried, carry_over, detect, read
from tests.support.corpus import Record, load
from tests.support.independent_reader import Original, Unknown, originals

#: The start of files without a date; any fixed time works.
BEGIN_US = 1_700_000_000_000_000
#: Headers of an answer that are not stored: of a connection, or of an account.
LEFT_OUT = re.compile(
    rb"connection|keep-alive|transfer-encoding|content-(?:encoding|length)|trailer|upgrade"
    rb"|set-cookie|.*-(?:organization|project).*"
)
#: Headers of a request that are stored.
ASKED = frozenset(b"accept content-type user-agent".split())
#: Where a path of the API begins, on hosts that have another before it.
ENDPOINT = re.compile(r"/(?:chat/)?\w+$|/(?:images|audio)/\w+$")
#: Queries of which a part is not stored.
PRIVATE = re.compile(r"key|token|sig|secret|code", re.IGNORECASE)
Source = tuple[str, str]


@dataclass
class Outcome:
    """The results of the import."""

    files: Counter[str] = field(default_factory=Counter)
    carried: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    recorded: int = 0


def check(file: Path, records: Sequence[Record], outcome: Outcome) -> None:
    """Compare one file, and the published records of it."""
    content = file.read_bytes()
    try:
        format_name = detect(file.name, content)
    except ImportRefused as error:
        outcome.foreign.append(str(error))
        return
    try:
        found = list(read(file.name, content))
    except ImportRefused as error:
        outcome.wrong.append(f"{file.name}: {error}")
        return
    carried = list(carry_over(found, begin_us=BEGIN_US))
    again = list(carry_over(read(file.name, content), begin_us=BEGIN_US))
    outcome.files[format_name] += 1
    outcome.wrong += [f"{file.name}: {what}" for what in wrong_ids(carried, again)]
    try:
        expected = originals(content)
    except (Unknown, LookupError, TypeError, ValueError, AttributeError) as error:
        outcome.wrong.append(f"{file.name}: the independent reader cannot read it: {error!r}")
        return
    if len(expected) != len(carried):
        outcome.wrong.append(f"{file.name}: {len(expected)} exchanges, {len(carried)} told")
    asked: list[tuple[Exchange, Interaction | None]] = []
    for told, item, original in zip(found, carried, expected, strict=False):
        if isinstance(item, NotCarried):
            outcome.left.append(f"{file.name}, {item.where}: {item.reason}")
            asked += [(told, None)] if isinstance(told, Exchange) else []
            continue
        outcome.carried[format_name] += 1
        assert isinstance(told, Exchange)
        outcome.wrong += [
            f"{file.name}, {told.where}: not the original's {part}"
            for part in differences(told, item, original)
        ]
        asked.append((told, item))
    for record in records:
        outcome.recorded += 1
        if not any(same(record, told, item) for told, item in asked):
            outcome.wrong.append(f"{file.name}: record {record.source_index} {record.id} differs")


def differences(told: Exchange, item: Interaction, original: Original) -> Iterator[str]:
    """The parts of an interaction that are not those of the original.

    Headers are compared as they were read, and without what may not be stored.
    """
    request = item.request
    path, _, query = original.url.partition("#")[0].partition("?")
    if (request.method, item.status) != (original.method, original.status):
        yield "method or status"
    if request.path != expected_path(path):
        yield "path"
    if not PRIVATE.search(query) and unquote(request.query) != unquote(query):
        yield "query"
    if told.request_headers != original.request_headers:
        yield "request headers"
    asked = [each for each in original.request_headers if each[0] in ASKED]
    if [each for each in request.headers if each[0] in ASKED] != asked:
        yield "request headers as stored"
    if told.headers != original.headers:
        yield "headers"
    if item.headers != tuple(each for each in original.headers if not LEFT_OUT.fullmatch(each[0])):
        yield "headers as stored"
    if request.body != original.request_body:
        yield "request body"
    if item.body != original.body:
        yield "bytes"
    if list(item.timeline.ends) != original.ends():
        yield "ends of chunks"


def expected_path(path: str) -> str:
    """The path under which the proxy serves a URL."""
    below = re.search(r"/(?:v1|openai)/.*", path)
    found = below[0] if below else "/v1" + ENDPOINT.findall(path)[-1]
    return quote(found, safe="%/:@!$&'()*+,;=~")


def same(record: Record, told: Exchange, item: Interaction | None) -> bool:
    """Whether a record and an exchange have the same bytes; without an item, no body."""
    asked = (told.method.upper(), told.url, told.status, told.request_body or b"")
    return (record.method, record.url, record.status, record.request_body) == asked and (
        item is None or record.response_body == item.body
    )


def wrong_ids(
    carried: Sequence[Interaction | NotCarried], again: Sequence[Interaction | NotCarried]
) -> Iterator[str]:
    """Errors of the order, or of importing a second time."""
    ids = [item.id for item in carried if isinstance(item, Interaction)]
    if ids != sorted(set(ids)):
        yield "ids do not sort in the file's order"
    if ids != [item.id for item in again if isinstance(item, Interaction)]:
        yield "importing again gives other ids"


def sources(directory: Path) -> dict[str, Source]:
    """Where each file of a directory was published, if its manifest says so."""
    manifest = directory / "MANIFEST.json"
    if not manifest.exists():
        return {}
    return {
        entry["file"]: (entry["repo"], entry["path"]) for entry in json.loads(manifest.read_text())
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 if anything differs."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.imports",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIR")
    outcome = Outcome()
    records: dict[Source, list[Record]] = {}
    directories: list[Path] = parser.parse_args(arguments).directories
    for path in sorted({p for d in directories for p in d.resolve().parent.glob("*open.jsonl.gz")}):
        for record in load(path):
            records.setdefault((record.source_repo, record.source_path), []).append(record)
    for directory in directories:
        known = sources(directory)
        for file in sorted(directory.rglob("*")):
            if file.is_file() and file != directory / "MANIFEST.json":
                source = known.get(file.name)
                check(file, records.get(source, []) if source else [], outcome)
    print(f"{sum(outcome.files.values()):5} files: {dict(outcome.files)}")
    print(f"{sum(outcome.carried.values()):5} exchanges carried over: {dict(outcome.carried)}")
    print(f"{outcome.recorded:5} records of the same sources compared")
    print(f"{len(outcome.left):5} not carried over", *outcome.left, sep="\n      ")
    print(f"{len(outcome.foreign):5} files of no known format", *outcome.foreign, sep="\n      ")
    print(f"{len(outcome.wrong):5} wrong", *outcome.wrong, sep="\n      ")
    return min(1, len(outcome.wrong))


if __name__ == "__main__":
    sys.exit(main())
