"""What a cassette holds, read as replay reads it."""

import asyncio
from pathlib import Path

from replay_proxy.cassette import Interaction
from replay_proxy.fingerprint import fingerprint
from replay_proxy.store import Store
from replay_proxy.wire import Request


def chat(body: bytes) -> Request:
    """A chat request with this body."""
    return Request("POST", "/v1/chat/completions", "", (), body)


def stored(directory: Path, request: Request, *, cassette: str = "default") -> Interaction | None:
    """The first answer to a request, or None when it was not stored."""
    answers = all_stored(directory, request, limit=1, cassette=cassette)
    return answers[0] if answers else None


def all_stored(
    directory: Path, request: Request, *, limit: int, cassette: str = "default"
) -> list[Interaction]:
    """The first ``limit`` answers to a request, in the order of their replay."""
    store = Store(directory, writable=False)
    try:
        tape = store.cassette(cassette)
        key = fingerprint(request)
        answers = [asyncio.run(tape.take(key)) for _ in range(limit)]
        return [answer for answer in answers if answer is not None]
    finally:
        store.close()
