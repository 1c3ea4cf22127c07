"""The chats of the benchmarks: questions, answers, and cassettes of both.

Every answer contains the key of its question, so that a wrong answer is noticed. A stream has 100
events of text by default. Not in here: how questions are sent and timed.
"""

import asyncio
import json
import random
import shutil
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import accumulate, islice
from pathlib import Path

from replay_proxy.cassette import Interaction, interaction_id
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.store import Store
from replay_proxy.store.sqlite.tables import SCHEMA
from replay_proxy.timeline import Timeline
from replay_proxy.wire import Request

#: A question: the body, a text in its answer, and how often that text occurs there at least.
Questions = list[tuple[str, str, int]]

CACHE = Path(__file__).parents[1] / ".cache" / "cassettes"
EVENTS = 100
#: Characters of text per event.
EVENT_SIZE = 7
#: The prompt for the dummy. The request's number, as long as ``UNIQUE``, follows it, so the dummy
#: and the blog's server answer with 100 characters, one per event.
DUMMY_PROMPT = "ping-4711 tell me of the sea ".ljust(EVENTS - len("########의 응답 내용"), "y")


def question(number: int) -> str:
    return f"question number {number:06d} about replay cassettes, please answer"


def questions(size: int, *, stream: bool) -> Questions:
    """Up to 2,000 random questions of a cassette."""
    numbers = random.Random(size).sample(range(size // 2), min(size // 2, 2_000))
    return [(body(question(number), stream=stream), key(number), 1) for number in numbers]


def body(prompt: str, *, stream: bool, **more: object) -> str:
    messages = [{"role": "user", "content": prompt}]
    return _json({"model": "gpt-4o", "messages": messages, "stream": stream, **more})


def key(number: int) -> str:
    return f"K{number:06d}"


def text(number: int, *, stream: bool, events: int = EVENTS) -> str:
    """The text of an answer; that of a plain answer is shorter."""
    if not stream:
        return key(number) + " recorded reply text" * 5
    return key(number) + "".join(f" tok{event % 1000:03d}" for event in range(1, events))


def plain(number: int) -> bytes:
    message = {"role": "assistant", "content": text(number, stream=False), "refusal": None}
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _json({**_head(number, "chat.completion"), "choices": [choice], "usage": usage}).encode()


def chunks(number: int, events: int = EVENTS) -> list[bytes]:
    """The events of a stream: the text, the finish reason, and ``[DONE]``."""
    said = text(number, stream=True, events=events)
    pieces = [said[at : at + EVENT_SIZE] for at in range(0, len(said), EVENT_SIZE)]
    choices = [
        *({"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces),
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    ]
    head = _head(number, "chat.completion.chunk")
    events = [f"data: {_json({**head, 'choices': [choice]})}\n\n".encode() for choice in choices]
    return [*events, b"data: [DONE]\n\n"]


def cached(size: int) -> Path:
    """A store whose cassette ``default`` has this many interactions, half of them streams.

    It is created once, and again when this file or the tables change; ``make clean`` removes it.
    """
    made_by = sha256(Path(__file__).read_bytes() + "".join(SCHEMA).encode()).hexdigest()[:12]
    place = CACHE / f"{size}-{made_by}"
    if not place.exists():
        half_made = place.with_suffix(".part")
        shutil.rmtree(half_made, ignore_errors=True)
        build(half_made, map(_numbered, range(size)))
        half_made.rename(place)
    return place


def build(directory: Path, interactions: Iterable[Interaction]) -> None:
    """A new store with these interactions in the cassette ``default``."""
    directory.mkdir(parents=True)
    store = Store(directory, writable=True)

    async def fill() -> None:
        tape = store.cassette("default")
        for some in _batches(interactions):
            await asyncio.gather(*map(tape.add, some))

    asyncio.run(fill())
    store.close()


def interaction(number: int, asked: str, answered: list[bytes], *, stream: bool) -> Interaction:
    """An interaction whose answer came at once, in these chunks. ``number`` orders arrivals."""
    arrived_us = 1_700_000_000_000_000 + number
    request = Request("POST", "/v1/chat/completions", "", (), asked.encode(), arrived_us)
    media_type = b"text/event-stream; charset=utf-8" if stream else b"application/json"
    return Interaction(
        id=interaction_id(arrived_us, 0),
        fingerprint=fingerprint(request),
        request=request,
        status=200,
        headers=((b"content-type", media_type),),
        body=b"".join(answered),
        timeline=Timeline(
            1000, tuple(range(len(answered))), tuple(accumulate(map(len, answered))), 2000
        ),
    )


def _numbered(place: int) -> Interaction:
    number, stream = place // 2, bool(place % 2)
    answered = chunks(number) if stream else [plain(number)]
    return interaction(place, body(question(number), stream=stream), answered, stream=stream)


def _batches(interactions: Iterable[Interaction]) -> Iterator[list[Interaction]]:
    rest = iter(interactions)
    while some := list(islice(rest, 512)):
        yield some


def _head(number: int, kind: str) -> dict[str, object]:
    name = f"chatcmpl-{number:032x}"
    return {"id": name, "object": kind, "created": 1_700_000_000, "model": "gpt-4o"}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
