"""An answer as data: its media type, its JSON or its events, and whether it is whole. Pure.

``transcript`` and ``drift`` read answers through this. It never raises, for any bytes.

Not in here: replay, where only the bytes count.
"""

import json
import zlib
from dataclasses import dataclass
from typing import Any

import orjson

from replay_proxy.answers.parsed.accumulation import accumulated
from replay_proxy.sse.events import Event, events
from replay_proxy.wire import Headers, header, is_event_stream

#: Deepest nesting that is read as JSON; answers and the schemas in them stay far below.
DEPTH = 100
#: Maximum of bytes inflated from a compressed body: a few kilobytes may hold gigabytes.
INFLATED_BYTES = 1 << 28

#: Names or types of the events that end a stream for its clients (see ``sse``).
_TERMINAL = frozenset({"done", "response.completed", "response.incomplete", "response.failed"})
#: Beginnings of an event stream that has no content type.
_STREAM_STARTS = (b"data:", b"event:", b"id:", b": ", b":\n")


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a stream: its name or, if it has none, its type, and the JSON of its data."""

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as data.

    ``media_type`` is without parameters, in lower case, and empty when unknown; ``body`` is
    decoded from its content-encoding where that is possible. ``steps`` are the events of a stream,
    and None for any other answer. ``value`` is the body's JSON, or the sum of a stream's events,
    and None where there is neither. ``ended`` is False for a stream without a terminal event, JSON
    that does not parse, and a compressed body that breaks off.
    """

    status: int
    media_type: str
    body: bytes
    steps: tuple[Step, ...] | None
    value: Any
    ended: bool


def answer(status: int, headers: Headers, body: bytes) -> Answer:
    """Read an answer. Header names are in lower case, as they are stored."""
    content_type = (header(headers, b"content-type") or b"").decode("latin-1")
    media_type = content_type.partition(";")[0].strip().lower()
    body, ended = _decoded(body, header(headers, b"content-encoding") or b"")
    if is_event_stream(headers) or (not media_type and body.startswith(_STREAM_STARTS)):
        stream = events(body)
        steps = tuple(step for event in stream if (step := _step(event)))
        done = any(event.data == "[DONE]" or event.name == "done" for event in stream)
        done = done or any(step.kind in _TERMINAL for step in steps)
        value = accumulated((step.kind, step.value) for step in steps)
        return Answer(status, "text/event-stream", body, steps, value, ended and done)
    if media_type.endswith("json") or (not media_type and body.lstrip()[:1] in (b"{", b"[")):
        value = parsed(body)
        empty = not body and status in (204, 304)
        return Answer(status, media_type, body, None, value, ended and (value is not None or empty))
    return Answer(status, media_type, body, None, None, ended)


def parsed(text: bytes | str) -> Any:
    """The value of a JSON text; None if it is not JSON or deeper than ``DEPTH``."""
    try:
        value = orjson.loads(text)
    except ValueError:
        try:
            # orjson refuses lone surrogates, which are left when a character is cut in two.
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
    brackets = ("{", "[") if isinstance(text, str) else (b"{", b"[")
    if sum(map(text.count, brackets)) <= DEPTH:  # type: ignore[arg-type]
        return value
    level = [value]
    for _ in range(DEPTH):
        level = [below for above in level for below in _below(above)]
        if not level:
            return value
    return None


def _below(value: Any) -> list[Any]:
    """The objects and arrays that a value holds directly."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return []
    return [member for member in value if isinstance(member, dict | list)]


def _step(event: Event) -> Step | None:
    value = parsed(event.data)
    if value is None:
        return None
    kind = event.name or (value.get("type") if isinstance(value, dict) else "")
    return Step(kind if isinstance(kind, str) else "", value)


def _decoded(body: bytes, encoding: bytes) -> tuple[bytes, bool]:
    """The body without gzip or deflate, as far as it can be inflated, and whether it is whole.

    The header alone proves nothing: some recordings name an encoding that was already undone.
    """
    zipped = body.startswith(b"\x1f\x8b")
    if not zipped and encoding.strip().lower() != b"deflate":
        return body, True
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        return decoder.decompress(body, INFLATED_BYTES), decoder.eof
    except zlib.error:
        return body, not zipped
