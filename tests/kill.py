"""Kill the recording proxy the moment a client has seen ``[DONE]``, hundreds of times.

    python -m tests.kill --rounds 300

Each round starts a proxy on the same store, lets several clients stream at once, and sends SIGKILL
from the thread of the client that sees the end of an answer. Afterwards every answer that was seen
whole must be replayed with its bytes, and every stored answer must be whole.
"""

import argparse
import hashlib
import json
import random
import sqlite3
import tempfile
import threading
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.support.nursery import Nursery
from tests.support.rawclient import NoAnswerError, RawClient
from tests.support.requests import CHAT, post
from tests.support.script import JSON, Answer, Received, Step, Wait
from tests.support.tape import stored
from tests.support.upstream import Upstream

DONE = b"data: [DONE]\n\n"
CLIENTS = 4


@dataclass
class Outcome:
    """The answers that were seen and stored, and the errors among them."""

    rounds: int = 0
    seen: list[bytes] = field(default_factory=list)
    stored: int = 0
    lost: list[bytes] = field(default_factory=list)
    torn: list[bytes] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.rounds} kills, {len(self.seen)} answers seen whole, {self.stored} stored, "
            f"{len(self.lost)} lost, {len(self.torn)} half stored"
        )


class Target(Protocol):
    """A server that clients stream from and kill."""

    @property
    def base_url(self) -> str:
        """The ``base_url`` for an OpenAI client."""
        ...

    def kill(self) -> object:
        """End it."""
        ...


def steps(body: bytes) -> list[Step]:
    """What the upstream sends: length, cuts and pauses are derived from the request."""
    rng = random.Random(hashlib.sha256(body).digest())
    asked = json.loads(body)
    if not asked["stream"]:
        size = asked.get("size") or rng.randrange(1, 60_000)
        return [b'{"answer": "' + b"x" * size + b'"}']
    events: list[Step] = []
    for number in range(rng.randrange(1, 12)):
        events.append(b"data: %d %s\n\n" % (number, b"y" * rng.randrange(1, 2_000)))
        if rng.random() < 0.3:
            events.append(Wait(rng.random() / 500))
    return [*events, DONE, Wait(rng.random() / 50)]


def whole(body: bytes) -> bytes:
    """All bytes of the upstream's answer."""
    return b"".join(step for step in steps(body) if isinstance(step, bytes))


def answer(request: Received) -> Answer:
    """The upstream's script."""
    if json.loads(request.body)["stream"]:
        return Answer(steps=steps(request.body))
    return Answer(headers=JSON, steps=steps(request.body), framing="length")


def torture(directory: Path, rounds: int, *, seed: int = 1) -> Outcome:
    """Run the rounds on one store, and check its content."""
    rng = random.Random(seed)
    outcome = Outcome(rounds)
    with Upstream(answer) as upstream, Nursery() as nursery:
        for number in range(rounds):
            child = nursery.start(
                MODE="record", STORE=str(directory), UPSTREAM_BASE_URL=upstream.base_url
            )
            clients(child, str(number), rng.randrange(1, 12), outcome)
    for body in outcome.seen:
        kept = stored(directory, post(body))
        if kept is None or kept.body != whole(body):
            outcome.lost.append(body)
    with closing(sqlite3.connect(directory / "default.sqlite")) as connection:
        for request_body, kept_body in connection.execute(
            "SELECT request_body, body FROM interaction"
        ):
            outcome.stored += 1
            if kept_body != whole(request_body):
                outcome.torn.append(request_body)
    return outcome


def clients(child: Target, name: str, kill_after: int, outcome: Outcome, *, size: int = 0) -> None:
    """Stream with several clients until one of them kills the proxy at the end of an answer."""
    lock = threading.Lock()
    seen: list[bytes] = []

    def client(mine: int) -> None:
        for call in range(1000):
            asked: dict[str, object] = {"stream": not size and (mine + call) % 4 != 0}
            asked["user"] = f"{name}/{mine}/{call}"
            if size:
                asked["size"] = size
            body = json.dumps(asked).encode()
            try:
                with RawClient(child.base_url) as raw:
                    got = raw.request("POST", CHAT, body=body, leave_after=DONE)
            except (NoAnswerError, ConnectionError):
                return
            if not got.clean and DONE not in got.body:
                return
            with lock:
                if len(seen) == kill_after:
                    return
                seen.append(body)
                if len(seen) == kill_after:
                    child.kill()
                    return

    threads = [threading.Thread(target=client, args=(mine,)) for mine in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.seen += seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        outcome = torture(Path(directory), arguments.rounds, seed=arguments.seed)
    print(outcome)
    raise SystemExit(bool(outcome.lost or outcome.torn))


if __name__ == "__main__":
    main()
