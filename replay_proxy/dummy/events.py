"""Server-sent events, rendered.

In here: from JSON-ready values to the bytes of an event. Not in here: which events an endpoint
has.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping

import orjson

DONE = b"data: [DONE]\n\n"

# Python clients that cut a stream with str.splitlines, as httpx's iter_lines does, would cut
# an event at these three, which JSON need not escape.
_LINE_ENDS = {end: json.dumps(end).encode() for end in "\x85\u2028\u2029"}
# How many distinct texts are kept rendered: an answer repeats its characters.
_KEPT = 4096


def event(content: Mapping[str, object]) -> bytes:
    """An event without a name."""
    return b"data: " + escaped(orjson.dumps(content)) + b"\n\n"


def json_string(text: str) -> bytes:
    """A text as JSON that is one line to every client."""
    return _LINE_ENDS.get(text) or escaped(orjson.dumps(text))


def escaped(rendered: bytes) -> bytes:
    """JSON with the line ends escaped that only some clients know."""
    if b"\xc2\x85" in rendered or b"\xe2\x80\xa8" in rendered or b"\xe2\x80\xa9" in rendered:
        for end, escape in _LINE_ENDS.items():
            rendered = rendered.replace(end.encode(), escape[1:-1])
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
