"""Does a miss name the nearest recording? ``python -m tests.near --open FILE``.

One field of every recorded request is changed at random; the original must be ranked first, and
the changed path named. The ranking is compared with brute force: a comparison with every recording.
The time of a miss is printed next to a hit's.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from replay_proxy.cassette import Interaction, RecordedRequest, interaction_id
from replay_proxy.matching.comparison import Comparison
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.matching.miss import explain
from replay_proxy.store import Store, Tape
from replay_proxy.timeline import Timeline
from replay_proxy.wire import Request
from tests.support.corpus import Record, load
from tests.support.requests import chat


@dataclass
class Outcome:
    """How the misses were explained."""

    asked: int = 0
    first: int = 0
    named: int = 0
    brute: int = 0
    brute_first: int = 0
    miss_s: list[float] = field(default_factory=list)
    hit_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.asked} requests with one field changed: original first in {self.first}, "
            f"changed path named in {self.named}; brute force puts it first in "
            f"{self.brute_first} of {self.brute}\n"
            f"a miss {median(self.miss_s) * 1e3:.2f} ms (worst {max(self.miss_s) * 1e3:.1f}), "
            f"a hit {median(self.hit_s) * 1e3:.3f} ms"
        )


def request_of(record: Record, number: int) -> Request:
    path, _, query = record.target.partition("?")
    headers = tuple((name.lower(), value) for name, value in record.request_headers)
    return Request(record.method, path, query, headers, record.request_body, number + 1)


def fill(tape: Tape, requests: list[Request]) -> None:
    async def add() -> None:
        for start in range(0, len(requests), 512):
            await asyncio.gather(
                *(
                    tape.add(
                        Interaction(
                            interaction_id(request.arrived_us, 1),
                            fingerprint(request),
                            request,
                            200,
                            (),
                            b"{}",
                            Timeline(1, (1,), (2,), 1),
                        )
                    )
                    for request in requests[start : start + 512]
                )
            )

    asyncio.run(add())


def changed(request: Request, rng: random.Random) -> tuple[Request, str] | None:
    """The request with one leaf of its JSON body changed, and the leaf's path."""
    try:
        body = json.loads(request.body)
    except ValueError:
        return None
    places: list[tuple[Any, Any, str]] = []
    _places(body, "$", places)
    places = [place for place in places if place[2] != "$.stream"]
    if not places:
        return None
    holder, key, path = rng.choice(places)
    holder[key] = _other(holder[key], rng)
    return replace(request, body=json.dumps(body).encode()), path


def _places(value: Any, path: str, found: list[tuple[Any, Any, str]]) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        plain = isinstance(key, str) and key.isidentifier()
        escaped = str(key).replace("\\", "\\\\").replace("'", "\\'")
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if plain else f"['{escaped}']"
        if isinstance(each, dict | list) and each:
            _places(each, path + step, found)
        else:
            found.append((value, key, path + step))


def _other(value: Any, rng: random.Random) -> Any:
    """Another value of the same kind: a number, a flag, a text with one word changed."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + rng.randrange(1, 1000)
    if isinstance(value, str):
        words = value.split(" ")
        words[rng.randrange(len(words))] = f"changed{rng.randrange(10**6)}"
        return " ".join(words)
    return f"changed{rng.randrange(10**6)}"


def judge(
    tape: Tape, requests: list[Request], sample: int, *, seed: int = 1, brute: int = 0
) -> Outcome:
    """Send changed requests, and check what the explanation names."""
    rng = random.Random(seed)
    outcome = Outcome()
    known = {fingerprint(request): request for request in requests}
    everything = [
        RecordedRequest(request.arrived_us, key, request) for key, request in known.items()
    ]
    while outcome.asked < sample:
        original = rng.choice(requests)
        made = changed(original, rng)
        if made is None or (key := fingerprint(made[0])) in known:
            continue
        asked, path = made
        began = time.perf_counter()
        near = asyncio.run(tape.near(asked))
        miss = explain(
            asked, fingerprint=key, cassette="c", counts=None, answers=0, candidates=near
        )
        outcome.miss_s.append(time.perf_counter() - began)
        began = time.perf_counter()
        asyncio.run(tape.next_answer(fingerprint(original)))
        outcome.hit_s.append(time.perf_counter() - began)
        outcome.asked += 1
        nearest: Any = miss.details["nearest"]
        by_id = {str(each.id): each for each in near}
        first = by_id[nearest[0]["interaction"]] if nearest else None
        similarity = Comparison(asked).similarity
        # A recording that is as near as the original is also right.
        right = first is not None and (
            first.fingerprint == fingerprint(original)
            or similarity(first.request) == similarity(original)
        )
        outcome.first += right
        named = right and path in [each["place"] for each in nearest[0]["differences"]]
        outcome.named += named
        if not named:
            outcome.wrong.append(f"{path} of {original.path}: {miss.message[:300]}")
        if outcome.brute < brute:
            outcome.brute += 1
            best = max(everything, key=lambda each: similarity(each.request))
            outcome.brute_first += best.fingerprint == fingerprint(original)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--open", type=Path, default=Path("tests/data/corpus.jsonl"))
    parser.add_argument("--sample", type=int, default=500)
    parser.add_argument("--brute", type=int, default=50)
    parser.add_argument("--size", type=int, default=0, help="fill up with made-up requests")
    parser.add_argument("--prompt", type=int, default=0, help="bytes of each made-up prompt")
    arguments = parser.parse_args()
    requests = [request_of(record, n) for n, record in enumerate(load(arguments.open))]
    rng = random.Random(3)
    vocabulary = [f"word{number}" for number in range(5000)]
    for number in range(len(requests), arguments.size):
        text = " ".join(rng.choices(vocabulary, k=max(12, arguments.prompt // 9)))
        requests.append(chat(text, model="gpt-4o", arrived_us=number + 1))
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory), writable=True)
        tape = store.cassette("near")
        began = time.perf_counter()
        fill(tape, requests)
        filled = time.perf_counter() - began
        size = Path(directory, "near.sqlite").stat().st_size / 1e6
        print(f"{len(requests)} recordings in {filled:.1f} s, {size:.0f} MB")
        outcome = judge(tape, requests, arguments.sample, brute=arguments.brute)
        store.close()
    print(outcome, *outcome.wrong[:10], sep="\n")
    raise SystemExit(min(outcome.first, outcome.named) < 0.99 * outcome.asked)


if __name__ == "__main__":
    main()
