"""Cassettes written by tests, and their answers, read as replay reads them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from replay_proxy.cassette import Interaction, interaction_id
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.store import Store
from replay_proxy.store.sqlite import rows
from replay_proxy.store.transaction import transaction
from replay_proxy.timeline import Arrivals, Timeline
from replay_proxy.wire import Headers, Request
from tests.support.requests import JSON, chat

ARRIVALS = Arrivals()
EVENTS = ((b"content-type", b"text/event-stream; charset=utf-8"),)


def recorded(
    question: str,
    *chunks: bytes,
    headers: Headers = JSON,
    status: int = 200,
    arrived_us: int | None = None,
) -> Interaction:
    """A chat request and its answer, whose chunks are 10 ms apart."""
    arrived_us = arrived_us or ARRIVALS.next_us()
    request = chat(question, JSON, arrived_us=arrived_us)
    ends = [len(b"".join(chunks[: number + 1])) for number in range(len(chunks))]
    offsets_us = tuple(10_000 * (number + 1) for number in range(len(chunks)))
    return Interaction(
        id=interaction_id(arrived_us, 7),
        fingerprint=fingerprint(request),
        request=request,
        status=status,
        headers=headers,
        body=b"".join(chunks),
        timeline=Timeline(5_000, offsets_us, tuple(ends), 10_000 * (len(chunks) + 1)),
    )


def make(path: Path, *takes: Sequence[Interaction]) -> Path:
    """A cassette with these takes, the oldest first. They are added to an existing one."""
    for take in takes:
        with transaction(path) as change:
            number = change.join_take(f"run {take[0].id}")
            for each in take:
                change.add(number, each)
    return path


def make_unsound(path: Path, *takes: Sequence[Interaction]) -> Path:
    """The same with interactions that the store would refuse, as another program may write them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "check_interaction", lambda _: None)
        return make(path, *takes)


def stored(directory: Path, request: Request, *, cassette: str = "default") -> Interaction | None:
    """The first answer to a request, or None if it has none."""
    answers = all_stored(directory, request, limit=1, cassette=cassette)
    return answers[0] if answers else None


def all_stored(
    directory: Path, request: Request, *, limit: int, cassette: str = "default"
) -> list[Interaction]:
    """The first ``limit`` answers to a request, in replay order."""
    store = Store(directory, writable=False)
    try:
        tape = store.cassette(cassette)
        key = fingerprint(request)
        answers = [asyncio.run(tape.next_answer(key)) for _ in range(limit)]
        return [answer for answer in answers if answer is not None]
    finally:
        store.close()
