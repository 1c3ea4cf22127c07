"""Server-sent events as bytes.

In here: rendering JSON-ready values as events. Not in here: which events an endpoint sends.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import orjson

DONE = b"data: [DONE]\n\n"

# JSON need not escape these three. Python clients that split a stream with str.splitlines, as
# httpx's iter_lines does, would split an event at them.
_LINE_ENDS = {end: json.dumps(end).encode() for end in "\x85\u2028\u2029"}
_IN_UTF8 = [(end.encode(), escape.strip(b'"')) for end, escape in _LINE_ENDS.items()]
#: Maximum number of distinct texts whose JSON is cached, and of distinct events of one answer.
_CACHED = 4096


def json_bytes(content: object) -> bytes:
    """JSON, including integers beyond 64 bits, which a request may contain and orjson refuses."""
    try:
        return orjson.dumps(content)
    except TypeError:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def event(content: Mapping[str, object]) -> bytes:
    """An event without a name."""
    return b"data: " + line_safe(orjson.dumps(content)) + b"\n\n"


@lru_cache(_CACHED)
def json_string(text: str) -> bytes:
    """A text as JSON that every client reads as one line."""
    if len(text) > 1:
        return line_safe(orjson.dumps(text))
    return _LINE_ENDS.get(text) or orjson.dumps(text)


def line_safe(content: bytes) -> bytes:
    """JSON in which the line ends that only some clients recognise are escaped."""
    for end, escape in _IN_UTF8:
        if end in content:
            content = content.replace(end, escape)
    return content


class _Renderings(dict[str, bytes]):
    """Renders each distinct text once."""

    def __init__(self, render: Callable[[str], bytes]) -> None:
        super().__init__()
        self._render = render

    def __missing__(self, text: str) -> bytes:
        if len(self) >= _CACHED:
            self.clear()
        rendered = self[text] = self._render(text)
        return rendered


def renderings(render: Callable[[str], bytes], pieces: Iterable[str]) -> Iterator[bytes]:
    """The pieces of a text, rendered lazily, each distinct one once."""
    return map(_Renderings(render).__getitem__, pieces)


def frames(before: bytes, after: bytes, pieces: Sequence[str]) -> Iterator[bytes]:
    """The pieces of a text as JSON, each between the same bytes."""
    if isinstance(pieces, str) and len(distinct := set(pieces)) <= _CACHED:
        # The most frequent case, and the fastest: each distinct character is rendered in advance.
        rendered = {piece: before + json_string(piece) + after for piece in distinct}
        return map(rendered.__getitem__, pieces)
    return renderings(lambda piece: before + json_string(piece) + after, pieces)
