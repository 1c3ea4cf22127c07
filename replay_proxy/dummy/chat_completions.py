"""``POST /v1/chat/completions``: the answer as one object, or streamed character by character.

In here: the JSON and the events of this endpoint. Not in here: what the text says (``text``),
what a request may contain (``schemas``, ``validation``).

A streamed character costs no serialisation of its own: its event is a constant head, the
character as JSON, and a constant tail.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from uuid import uuid4

import orjson

from replay_proxy.dummy.schemas import CreateChatCompletionRequest
from replay_proxy.dummy.text import answer_to, ended, text_of
from replay_proxy.dummy.validation import checked, json_object
from replay_proxy.errors import InvalidRequest
from replay_proxy.wire import Request, Response

_JSON = ((b"content-type", b"application/json"),)
_EVENTS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)
_DONE = b"data: [DONE]\n\n"

# How many events one chunk holds: some 200 kB, made in some 100 µs. It bounds the memory that
# a stream takes, which is two hundred times that of its text.
_EVENTS_PER_CHUNK = 1024

# Python clients that cut a stream with str.splitlines, as httpx's iter_lines does, would cut
# an event at these three, which JSON need not escape.
_LINE_ENDS = {end: json.dumps(end).encode() for end in "\x85\u2028\u2029"}


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer, ``n`` times over. ``created`` is in seconds since 1970."""

    id: str
    created: int
    model: str
    text: str
    finish_reason: str
    n: int
    prompt_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        completion = self.n * len(self.text)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        }


def create_chat_completion(request: Request, path: Mapping[str, str]) -> Response:
    """Answer a conversation. Raises ``InvalidRequest``."""
    body = json_object(request.body)
    if body.get("model") in (None, ""):
        if "deployment" not in path:
            raise InvalidRequest("you must provide a model parameter")
        body["model"] = path["deployment"]
    asked = checked(CreateChatCompletionRequest, body)
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or ()
    text, finish_reason = ended(
        answer_to(asked.messages), stop, asked.max_completion_tokens or asked.max_tokens
    )
    answer = _Answer(
        id=f"chatcmpl-{uuid4().hex}",
        created=int(time.time()),
        model=asked.model,
        text=text,
        finish_reason=finish_reason,
        n=asked.n or 1,
        prompt_tokens=sum(len(text_of(message)) for message in asked.messages),
    )
    if not asked.stream:
        return Response(200, _JSON, _completion(answer))
    with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
    chunks = _chunks(answer, with_usage)
    if len(text) * answer.n <= _EVENTS_PER_CHUNK:
        return Response(200, _EVENTS, b"".join(chunks))
    return Response(200, _EVENTS, _in_turn(chunks))


def _completion(answer: _Answer) -> bytes:
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    return orjson.dumps(
        {
            "id": answer.id,
            "object": "chat.completion",
            "created": answer.created,
            "model": answer.model,
            "choices": [
                {
                    "index": index,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": answer.finish_reason,
                }
                for index in range(answer.n)
            ],
            "usage": answer.usage,
        }
    )


def _chunks(answer: _Answer, with_usage: bool) -> Iterator[bytes]:
    """Render the events of a stream, in chunks that end where an event ends."""
    common = {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
    }
    no_usage = {"usage": None} if with_usage else {}

    def event(delta: dict[str, str], finish_reason: str | None = None) -> list[bytes]:
        return [
            _event(
                {
                    **common,
                    "choices": [
                        {
                            "index": index,
                            "delta": delta,
                            "logprobs": None,
                            "finish_reason": finish_reason,
                        }
                    ],
                    **no_usage,
                }
            )
            for index in range(answer.n)
        ]

    yield b"".join(event({"role": "assistant", "content": ""}))
    # The delta's is the last empty string of its event: only the name of the model is free text,
    # and that comes before.
    frames = [each.rpartition(b'""')[::2] for each in event({"content": ""})]
    step = max(1, _EVENTS_PER_CHUNK // answer.n)
    for start in range(0, len(answer.text), step):
        part = answer.text[start : start + step]
        # A text repeats its characters: each distinct one is rendered once.
        rendered = {}
        for character in set(part):
            escaped = _LINE_ENDS.get(character) or orjson.dumps(character)
            rendered[character] = b"".join([head + escaped + tail for head, tail in frames])
        yield b"".join(map(rendered.__getitem__, part))
    yield b"".join(event({}, answer.finish_reason))
    if with_usage:
        yield _event({**common, "choices": [], "usage": answer.usage})
    yield _DONE


def _event(content: dict[str, object]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


async def _in_turn(chunks: Iterator[bytes]) -> AsyncGenerator[bytes]:
    """Pass the chunks on, with a turn for every other request between two of them."""
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)
