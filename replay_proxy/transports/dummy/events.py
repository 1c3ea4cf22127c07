"""Server-sent events, rendered.

In here: from JSON-ready values to the bytes of an event. Not in here: which events an endpoint
has.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import orjson

DONE = b"data: [DONE]\n\n"

# Python clients that cut a stream with str.splitlines, as httpx's iter_lines does, would cut
# an event at these three, which JSON need not escape.
_LINE_ENDS = {end: json.dumps(end).encode() for end in "\x85\u2028\u2029"}
_IN_UTF8 = [(end.encode(), escape.strip(b'"')) for end, escape in _LINE_ENDS.items()]
# How many distinct texts are kept as JSON, and how many of an answer as events.
_KEPT = 4096


def json_bytes(content: object) -> bytes:
    """JSON, also of integers beyond 64 bits, which a request may bring and orjson does not know."""
    try:
        return orjson.dumps(content)
    except TypeError:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def event(content: Mapping[str, object]) -> bytes:
    """An event without a name."""
    return b"data: " + escaped(orjson.dumps(content)) + b"\n\n"


@lru_cache(_KEPT)
def json_string(text: str) -> bytes:
    """A text as JSON that is one line to every client."""
    if len(text) > 1:
        return escaped(orjson.dumps(text))
    return _LINE_ENDS.get(text) or orjson.dumps(text)


def escaped(rendered: bytes) -> bytes:
    """JSON with the line ends escaped that only some clients know."""
    for end, escape in _IN_UTF8:
        if end in rendered:
            rendered = rendered.replace(end, escape)
    return rendered


class _Rendered(dict[str, bytes]):
    """Each distinct text rendered once."""

    def __init__(self, render: Callable[[str], bytes]) -> None:
        super().__init__()
        self._render = render

    def __missing__(self, text: str) -> bytes:
        if len(self) >= _KEPT:
            self.clear()
        rendered = self[text] = self._render(text)
        return rendered


def rendered_once(render: Callable[[str], bytes], pieces: Iterable[str]) -> Iterator[bytes]:
    """Render pieces of a text lazily, each distinct one once."""
    return map(_Rendered(render).__getitem__, pieces)


def framed(before: bytes, after: bytes, pieces: Sequence[str]) -> Iterator[bytes]:
    """Pieces of a text as JSON, each between the same bytes."""
    if isinstance(pieces, str) and len(distinct := set(pieces)) <= _KEPT:
        # The commonest and the fastest: all that a text of characters can need, made at once.
        rendered = {piece: before + json_string(piece) + after for piece in distinct}
        return map(rendered.__getitem__, pieces)
    return rendered_once(lambda piece: before + json_string(piece) + after, pieces)
