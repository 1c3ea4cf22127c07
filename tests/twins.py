"""Is the text twin lossless? ``python -m tests.twins --open FILE``.

A cassette of all records is created in several takes, with answers cut at random bytes and times,
and with repeated requests. It is exported, imported, and exported again. Both texts, every column
of every row, and all replayed answers to each request are compared.
"""

import argparse
import asyncio
import io
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from replay_proxy.cassette import Interaction, Take, interaction_id
from replay_proxy.cli.tape_tools.export import write_twin
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.redaction.answer_headers import stored_response_headers
from replay_proxy.redaction.storage import stored_request
from replay_proxy.store import Store, twin
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction
from replay_proxy.timeline import Timeline
from tests.near import request_of
from tests.support.corpus import Record, load

#: One in REPEATED requests is repeated in the same take.
REPEATED = 5


@dataclass
class Tally:
    """The numbers of comparisons and differences."""

    interactions: int = 0
    chunks: int = 0
    replayed: int = 0
    lines: int = 0
    differences: int = 0


def interaction_of(record: Record, number: int, rng: random.Random) -> Interaction:
    """A record as it is stored, with its answer cut at random."""
    request = stored_request(request_of(record, number))
    pieces = record.pieces(rng)
    ends = [sum(map(len, pieces[: count + 1])) for count in range(len(pieces))]
    offsets_us = sorted(rng.randrange(2_000_000) for _ in pieces)
    total_us = offsets_us[-1] + rng.randrange(9) if pieces else 5
    return Interaction(
        id=interaction_id(request.arrived_us, rng.randrange(2048)),
        fingerprint=fingerprint(request),
        request=request,
        status=record.status,
        headers=stored_response_headers(record.sent_headers),
        body=b"".join(pieces),
        timeline=Timeline(rng.randrange(99), tuple(offsets_us), tuple(ends), total_us),
    )


def survive(records: Sequence[Record], takes: int, seed: int) -> Tally:
    """Create the cassette, export and import it, and compare."""
    rng = random.Random(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory() as directory:
        first, second = Path(directory, "first.sqlite"), Path(directory, "second.sqlite")
        with transaction(first) as change:
            for take, number, record in _recorded(records, takes, rng):
                each = interaction_of(record, number, rng)
                change.add(change.join_take(f"run {take}"), each)
                tally.interactions += 1
                tally.chunks += len(each.timeline.ends)
        text = exported(first)
        with transaction(second) as change:
            for found in twin.read(io.BytesIO(text)):
                if isinstance(found, Take):
                    change.add_take(found)
                else:
                    change.add(*found)
        tally.lines = text.count(b"\n")
        tally.differences += exported(second) != text
        with Archive(first) as one, Archive(second) as other:
            pairs = zip(one.rows(), other.rows(), strict=True)
            tally.differences += sum(row != again for row, again in pairs)
            tally.differences += one.takes() != other.takes()
            keys = list(one.answers().by_take)
        for answers in zip(_replayed(first, keys), _replayed(second, keys), strict=True):
            tally.replayed += 1
            tally.differences += answers[0] is None or answers[0] != answers[1]
    return tally


def exported(path: Path) -> bytes:
    """The text twin of a cassette."""
    text = io.BytesIO()
    write_twin(path, text)
    return text.getvalue()


def _recorded(
    records: Sequence[Record], takes: int, rng: random.Random
) -> Iterator[tuple[int, int, Record]]:
    """Every record in some of the takes, sometimes twice, with its take and its number."""
    number = 0
    for take in range(takes):
        for record in records:
            if take == 0 or rng.random() < 0.3:
                for _ in range(1 + (rng.randrange(REPEATED) == 0)):
                    number += 1
                    yield take, number, record


def _replayed(path: Path, keys: Sequence[str]) -> Iterator[Interaction | None]:
    """The replayed answers to each request, one more than were recorded."""
    store = Store(path.parent, writable=False)
    tape = store.cassette(path.stem)

    async def answers(key: str) -> list[Interaction | None]:
        return [await tape.next_answer(key) for _ in range(await tape.answer_count(key) + 1)]

    try:
        for key in keys:
            yield from asyncio.run(answers(key))
    finally:
        store.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.twins", description=__doc__)
    parser.add_argument("--open", type=Path, action="append", help="a corpus; more than once")
    parser.add_argument("--takes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    paths = given.open or [Path(__file__).parent / "data" / "corpus.jsonl"]
    tally = survive([record for path in paths for record in load(path)], given.takes, given.seed)
    print(
        f"{tally.interactions:,} interactions with {tally.chunks:,} chunks as {tally.lines:,} "
        f"lines; {tally.replayed:,} answers replayed; {tally.differences:,} differences"
    )
    return int(tally.differences > 0)


if __name__ == "__main__":
    sys.exit(main())
