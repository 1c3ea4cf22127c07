"""Is drift found, and only drift? ``python -m tests.drifts --open FILE``.

Recorded answers are changed as an API would change them, and each change has to be found: a field
gone, a field of another type, a tool's argument of another name, an answer cut off. Different
answers to one request have to be told apart by wording alone; what else is said of them is printed.
"""

import argparse
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from replay_proxy.answers.drift import Change, Finding, drift
from replay_proxy.answers.parsed import Answer, answer
from replay_proxy.answers.transcript import transcript
from replay_proxy.matching.fingerprint import fingerprint
from tests.near import request_of
from tests.support.corpus import Record, load

#: Members whose content is not part of the shape: a change of them need not be found.
NO_SHAPE = {
    "annotations",
    "bytes",
    "content_filter_results",
    "obfuscation",
    "service_tier",
    "system_fingerprint",
}
Holders = list[tuple[dict[str, Any], str]]
Rng = random.Random


@dataclass
class Tally:
    """How many changes of a kind were made and found, and those that were missed."""

    made: int = 0
    found: int = 0
    missed: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.found / self.made if self.made else 0.0


def read(record: Record, body: bytes | None = None) -> Answer:
    headers = tuple((name.lower(), value) for name, value in record.response_headers)
    return answer(record.status, headers, record.response_body if body is None else body)


def shape_of(findings: Sequence[Finding]) -> list[Finding]:
    return [each for each in findings if each.change is not Change.WORDING]


def breaking(findings: Sequence[Finding]) -> list[Finding]:
    return [each for each in shape_of(findings) if each.change is not Change.ADDED]


# --- changes ------------------------------------------------------------------------------------


def edited(record: Record, edit: Callable[[list[Any]], str | None]) -> tuple[bytes, str] | None:
    """The body after editing the JSON of its events, or its only JSON; and what was edited."""
    if not record.is_stream:
        try:
            value = json.loads(record.response_body)
        except ValueError:
            return None
        what = edit([value])
        return None if what is None else (json.dumps(value).encode(), what)
    lines: list[Any] = record.response_body.split(b"\n")
    values = {}
    for place, line in enumerate(lines):
        if line.startswith(b"data:") and line[5:].lstrip().startswith(b"{"):
            values[place] = json.loads(line[5:])
    what = edit(list(values.values()))
    for place, value in values.items():
        end = b"\r" if lines[place].endswith(b"\r") else b""
        lines[place] = b"data: " + json.dumps(value).encode() + end
    return None if what is None else (b"\n".join(lines), what)


def leaves(value: Any, path: str = "$") -> Iterator[tuple[str, dict[str, Any], str]]:
    """Every leaf of an object: its path without positions, the object, and its name."""
    if isinstance(value, list):
        for each in value:
            yield from leaves(each, f"{path}[*]")
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in NO_SHAPE:
                if isinstance(each, dict | list) and each:
                    yield from leaves(each, f"{path}.{name}")
                else:
                    yield f"{path}.{name}", value, name


def alike(values: list[Any], rng: Rng) -> tuple[str, Holders] | None:
    """A random leaf: its path, and every event of the same type that has it.

    An API changes such a leaf everywhere. An answer without events has it once.
    """
    event = rng.choice(values) if values else None
    found = list(leaves(event))
    if not found or not isinstance(event, dict):
        return None
    path, holder, name = rng.choice(found)
    if len(values) == 1:
        return path, [(holder, name)]
    type_ = event.get("type", event.get("object"))
    same = [each for each in values if each.get("type", each.get("object")) == type_]
    holders = [(h, n) for each in same for p, h, n in leaves(each) if p == path]
    return f"{type_} {path}", holders


def rewritten(record: Record, _: Rng) -> tuple[bytes, str] | None:
    """Only the way the JSON is written: the control, for which no drift may be found."""
    return edited(record, lambda values: "white space" if values else None)


def dropped(record: Record, rng: Rng) -> tuple[bytes, str] | None:
    """A field is removed."""

    def edit(values: list[Any]) -> str | None:
        if (chosen := alike(values, rng)) is None:
            return None
        for holder, name in chosen[1]:
            del holder[name]
        return chosen[0]

    return edited(record, edit)


def retyped(record: Record, rng: Rng) -> tuple[bytes, str] | None:
    """A field has another type."""

    def edit(values: list[Any]) -> str | None:
        if (chosen := alike(values, rng)) is None:
            return None
        for holder, name in chosen[1]:
            holder[name] = 7 if isinstance(holder[name], str | None) else "seven"
        return chosen[0]

    return edited(record, edit)


def renamed(record: Record, rng: Rng) -> tuple[bytes, str] | None:
    """A tool is called with an argument of another name."""
    calls = [object_of(call.arguments) for call in transcript(read(record)).tool_calls]
    names = sorted({name for each in calls for name in each})
    if not names:
        return None
    name = rng.choice(names)
    seen: list[str] = []

    def new(text: str) -> str:
        value = object_of(text)
        seen.extend(key for key in value if key == name)
        return json.dumps({key + "_" * (key == name): each for key, each in value.items()})

    def edit(values: list[Any]) -> str | None:
        pieces: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for value in values:
            for place, holder in _arguments(value):
                if place is None:
                    holder["arguments"] = new(holder["arguments"])
                else:
                    pieces[place].append(holder)
        for held in pieces.values():
            whole = "".join(holder["arguments"] for holder in held)
            for holder in held:
                holder["arguments"] = ""
            held[-1]["arguments"] = new(whole)
        return name if seen else None

    return edited(record, edit)


def object_of(text: str) -> dict[str, Any]:
    """The object of a JSON text; empty if it is not one (cut off, or the code of a tool)."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _arguments(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every object with arguments: of a delta with its place, otherwise (whole) with None."""
    if isinstance(value, list):
        for each in value:
            index = each.get("index", 0) if isinstance(each, dict) else 0
            yield from _arguments(each, (*place, index))
    elif isinstance(value, dict):
        text = value.get("arguments")
        if isinstance(text, str):
            if "delta" in place:
                yield place, value
            elif text:
                yield None, value
        for name, each in value.items():
            yield from _arguments(each, (*place, name))


def cut(record: Record, rng: Rng) -> tuple[bytes, str] | None:
    """An answer is cut: a stream before its end, any other answer inside its JSON."""
    body = record.response_body
    known = read(record)
    if not known.ended or known.value is None:
        return None
    if not record.is_stream:
        place = rng.randrange(1, len(body.rstrip()))
        return body[:place], f"at byte {place}"
    pieces = record.pieces()
    ends = [n for n, piece in enumerate(pieces) if _ends(piece)]
    if not ends or ends[0] == 0:
        return None
    place = rng.randrange(1, ends[0] + 1)
    return b"".join(pieces[:place]), f"before event {place} of {len(pieces)}"


def _ends(piece: bytes) -> bool:
    named = (b"[DONE]", b"event: done", b"response.completed", b"response.incomplete")
    return any(each in piece[:70] or each in piece[-70:] for each in named)


CHANGES = (dropped, retyped, renamed, cut)


def find(records: Sequence[Record], sample: int, seed: int = 1) -> dict[str, Tally]:
    """Make ``sample`` changes of each kind, and count those found; the control comes first."""
    tallies = {}
    for change in (rewritten, *CHANGES):
        rng, tally = Rng(seed), Tally()
        tallies[change.__name__] = tally
        for _ in range(20 * sample):
            if tally.made == sample:
                break
            record = rng.choice(records)
            if (made := change(record, rng)) is None:
                continue
            body, what = made
            findings = breaking(drift(request_of(record, 0), read(record), read(record, body)))
            tally.made += 1
            tally.found += bool(findings)
            if not findings:
                tally.missed.append(f"{record.id} {record.target[:50]}: {what}")
    return tallies


# --- false alarms -------------------------------------------------------------------------------


@dataclass
class Alarms:
    """The differences between pairs of answers of an unchanged API."""

    pairs: int = 0
    wording: int = 0
    added: int = 0
    broken: list[str] = field(default_factory=list)

    def note(self, first: Record, second: Record) -> None:
        found = drift(request_of(first, 0), read(first), read(second))
        self.pairs += 1
        if not shape_of(found):
            self.wording += 1
        elif not breaking(found):
            self.added += 1
        else:
            said = "; ".join(
                f"{each.path}: {each.recorded[:30]} → {each.now[:30]}" for each in breaking(found)
            )
            where = f"{first.method} {first.target[:40]} {first.id} {second.id}"
            self.broken.append(f"{where}: {said[:200]}")


def of_identical_requests(records: Sequence[Record]) -> Alarms:
    """Different answers to the same request of one cassette."""
    alarms = Alarms()
    groups: dict[Any, dict[bytes, Record]] = defaultdict(dict)
    for record in records:
        key = (record.source_repo, record.source_path, fingerprint(request_of(record, 0)))
        groups[key].setdefault(record.response_body, record)
    for group in groups.values():
        for first, second in combinations(group.values(), 2):
            alarms.note(first, second)
    return alarms


def of_other_requests(records: Sequence[Record]) -> Alarms:
    """Answers of one cassette to requests that differ only in their words, and end alike."""
    alarms = Alarms()
    groups: dict[Any, list[Record]] = defaultdict(list)
    for record in records:
        try:
            asked = json.loads(record.request_body)
        except ValueError:
            continue
        said = transcript(read(record))
        for name in ("messages", "input", "prompt", "instructions"):
            asked.pop(name, None)
        value = read(record).value
        output = value.get("output", []) if isinstance(value, dict) else []
        items = sorted({str(each.get("type")) for each in output})
        tools = {call.name for call in said.tool_calls}
        ends = (record.status, said.finish_reasons, sorted(tools), items, bool(said.text))
        key = (record.source_repo, record.source_path, record.target, json.dumps(asked), ends)
        groups[str(key)].append(record)
    for group in groups.values():
        for first, second in combinations(group[:6], 2):
            if first.response_body != second.response_body:
                alarms.note(first, second)
    return alarms


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 if under 99% of a kind of changes are found, or any of the control."""
    parser = argparse.ArgumentParser(prog="python -m tests.drifts", description=__doc__)
    parser.add_argument("--open", type=Path, action="append", help="a corpus; more than once")
    parser.add_argument("--sample", type=int, default=1000, help="changes of each sort")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    paths = given.open or [Path(__file__).parent / "data" / "corpus.jsonl"]
    records = [record for path in paths for record in load(path)]
    tallies = find(records, given.sample, given.seed)
    for name, tally in tallies.items():
        print(f"{name:9} found {tally.found:5} of {tally.made:5} ({tally.rate:.1%})")
        missed = Counter(tally.missed if name != rewritten.__name__ else ())
        for what, times in missed.most_common(10):
            print(f"         missed {times} × {what}")
    for words, alarms in (
        ("the same request", of_identical_requests(records)),
        ("another request", of_other_requests(records)),
    ):
        print(f"{alarms.pairs} pairs of different answers to {words}: {alarms.wording} differ in")
        print(
            f"  wording only, {alarms.added} in what was added too, {len(alarms.broken)} in more:"
        )
        print(*(f"    {line}" for line in alarms.broken), sep="\n")
    control = tallies.pop(rewritten.__name__)
    return int(control.found > 0 or any(tally.rate < 0.99 for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
