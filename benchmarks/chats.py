"""The chats of ``benchmarks.ratios``: what is asked, what is answered, and cassettes of both.

How it is asked and timed is not known here. Every answer says the key of its question, so that a
wrong one is seen. A stream has 100 events of text.
"""

import asyncio
import json
from pathlib import Path

from benchmarks.size import kept
from replay_proxy.cassette import Interaction
from replay_proxy.store import Store
from replay_proxy.wire import Request

EVENTS = 100
#: Characters of text in an event.
EVENT_SIZE = 7
#: Behind a prompt of the dummy's the number of the request, as long as ``UNIQUE`` of the load; then
#: the dummy and the blog's server answer in 100 characters, one an event.
DUMMY_PROMPT = "ping-4711 tell me of the sea ".ljust(EVENTS - len("########의 응답 내용"), "y")


def question(number: int) -> str:
    return f"question number {number:06d} about replay cassettes, please answer"


def body(prompt: str, *, stream: bool) -> str:
    messages = [{"role": "user", "content": prompt}]
    return _json({"model": "gpt-4o", "messages": messages, "stream": stream})


def key(number: int) -> str:
    return f"K{number:06d}"


def text(number: int, *, stream: bool) -> str:
    """What the answer says; plain ones are shorter."""
    if not stream:
        return key(number) + " recorded reply text" * 5
    return key(number) + "".join(f" tok{event:03d}" for event in range(1, EVENTS))


def plain(number: int) -> bytes:
    message = {"role": "assistant", "content": text(number, stream=False), "refusal": None}
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _json({**_head(number, "chat.completion"), "choices": [choice], "usage": usage}).encode()


def chunks(number: int) -> list[bytes]:
    """A stream's events: the text, the reason why it ends, and the mark of the end."""
    said = text(number, stream=True)
    pieces = [said[at : at + EVENT_SIZE] for at in range(0, len(said), EVENT_SIZE)]
    choices = [
        *({"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces),
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    ]
    head = _head(number, "chat.completion.chunk")
    events = [f"data: {_json({**head, 'choices': [choice]})}\n\n".encode() for choice in choices]
    return [*events, b"data: [DONE]\n\n"]


def build(directory: Path, size: int) -> None:
    """A cassette ``default`` with so many interactions, half of them streams."""
    directory.mkdir()
    store = Store(directory, writable=True)

    async def fill() -> None:
        tape = store.cassette("default")
        for start in range(0, size, 512):
            numbers = range(start, min(start + 512, size))
            await asyncio.gather(
                *(
                    tape.add(_interaction(number // 2, stream=bool(number % 2)))
                    for number in numbers
                )
            )

    asyncio.run(fill())
    store.close()


def _interaction(number: int, *, stream: bool) -> Interaction:
    arrived_us = 1_700_000_000_000_000 + 2 * number + stream
    asked = body(question(number), stream=stream).encode()
    request = Request("POST", "/v1/chat/completions", "", (), asked, arrived_us)
    answered = chunks(number) if stream else [plain(number)]
    media_type = b"text/event-stream; charset=utf-8" if stream else b"application/json"
    return kept(request, answered, media_type)


def _head(number: int, kind: str) -> dict[str, object]:
    name = f"chatcmpl-{number:032x}"
    return {"id": name, "object": kind, "created": 1_700_000_000, "model": "gpt-4o"}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
