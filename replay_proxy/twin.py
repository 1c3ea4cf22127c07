r"""A cassette's text twin: JSON Lines that hold all of it, and that git can diff line by line.

Lossless and deterministic: the same cassette gives the same lines, and lines read back give the
same cassette. A body is a sequence of pieces that are simply joined again, text where it is UTF-8
and base64 where it is not: an event of a stream, a line of a text, a member of compact JSON. How a
line looks is here and in docs/cassette.md; files and databases are not.

    {"cassette": 1}
    {"take": "7…", "run": "9f…", "started_us": 1763…}
    {"interaction": "3…", "take": "7…", "method": "POST", "path": "/v1/…", "query": "", …}
    {"request_header": ["content-type", "application/json"]}
    {"request": "{\"model\":\"gpt-5\","}
    {"header": ["content-type", "text/event-stream"]}
    {"at_us": 301742, "answer": "data: {…}\n\n"}
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from replay_proxy.cassette import Interaction, Take
from replay_proxy.errors import ImportRefused
from replay_proxy.fingerprint import fingerprint
from replay_proxy.sse import event_ends
from replay_proxy.timeline import Timeline
from replay_proxy.wire import Request, header

#: Stands in the first line; it changes when older readers would misread.
VERSION = 1

#: Where a text is cut: behind a line, and behind a member or element of compact JSON.
_LINE_ENDS = re.compile(rb'(?<=\n)|(?<=,)(?=["{])')


def head() -> bytes:
    """The first line."""
    return _line({"cassette": VERSION})


def take_line(take: Take) -> bytes:
    """The line of a take."""
    return _line({"take": str(take.id), "run": take.run, "started_us": take.started_us})


def interaction_lines(take_id: int, interaction: Interaction) -> bytes:
    """The lines of an interaction."""
    request, timeline = interaction.request, interaction.timeline
    lines = [
        _line(
            {
                "interaction": str(interaction.id),
                "take": str(take_id),
                "fingerprint": interaction.fingerprint,
                "arrived_us": request.arrived_us,
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "status": interaction.status,
                "head_us": timeline.head_us,
                "total_us": timeline.total_us,
            }
        )
    ]
    lines += [_line({"request_header": _texts(pair)}) for pair in request.headers]
    lines += [_line(piece) for piece in _pieces("request", request.body)]
    lines += [_line({"header": _texts(pair)}) for pair in interaction.headers]
    media_type = (header(interaction.headers, b"content-type") or b"").lower()
    events = media_type.startswith(b"text/event-stream")
    for offset_us, chunk in timeline.chunks(interaction.body):
        first: dict[str, Any] = {"at_us": offset_us}
        for piece in _pieces("answer", chunk, events=events) or [{"answer": ""}]:
            lines.append(_line(first | piece))
            first = {}
    return b"".join(lines)


def read(lines: Iterable[bytes]) -> Iterator[Take | tuple[int, Interaction]]:
    """The takes, and each interaction behind the id of its take, as the lines tell of them.

    Fingerprints are computed anew, since a line may have been edited. Raises ``ImportRefused``
    with the number of a line that is none.
    """
    begun: _Begun | None = None
    number = 0
    try:
        for number, line in enumerate(lines, start=1):
            value = orjson.loads(line)
            match value:
                case {"cassette": version} if number == 1:
                    if version != VERSION:
                        raise ValueError(f"it is of version {version}, this reader of {VERSION}")
                case _ if number == 1:
                    raise ValueError("the first line of a cassette's text is another")
                case {"take": str(take), "run": str(run), "started_us": int(started_us)}:
                    yield Take(int(take), run, started_us)
                case {"interaction": _}:
                    if begun is not None:
                        yield begun.interaction()
                    begun = _Begun(value)
                case dict() if begun is not None:
                    begun.add(value)
                case _:
                    raise ValueError("it belongs to no interaction")
        if begun is not None:
            yield begun.interaction()
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        cause = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ImportRefused(
            f"Line {number} does not tell of a cassette: {cause}. Undo the edit, or export again."
        ) from error
    if not number:
        raise ImportRefused("The file is empty. Export the cassette again.")


@dataclass(slots=True)
class _Begun:
    """An interaction whose lines are being read."""

    head: dict[str, Any]
    request_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    request: list[bytes] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    answer: list[bytes] = field(default_factory=list)
    offsets_us: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, line: dict[str, Any]) -> None:
        """Take in one more line. Raises ``ValueError`` and what a line of wrong types raises."""
        match line:
            case {"request_header": [str(name), str(value)], **rest}:
                self.request_headers.append((name.encode("latin-1"), value.encode("latin-1")))
            case {"header": [str(name), str(value)], **rest}:
                self.headers.append((name.encode("latin-1"), value.encode("latin-1")))
            case {"request": _, **rest} | {"request_base64": _, **rest}:
                self.request.append(_bytes("request", line))
            case {"answer": _, **rest} | {"answer_base64": _, **rest}:
                self._add_answer(line)
                rest.pop("at_us", None)
            case _:
                raise ValueError(f"{', '.join(line) or 'an empty object'} says nothing here")
        if rest:
            raise ValueError(f"{', '.join(rest)} does not belong here")

    def _add_answer(self, line: dict[str, Any]) -> None:
        piece = _bytes("answer", line)
        end = len(piece) + (self.ends[-1] if self.ends else 0)
        if "at_us" in line:
            self.offsets_us.append(_whole(line["at_us"]))
            self.ends.append(end)
        elif self.ends:
            self.ends[-1] = end
        else:
            raise ValueError("the first piece of an answer has no at_us")
        self.answer.append(piece)

    def interaction(self) -> tuple[int, Interaction]:
        """The id of the take, and the interaction."""
        head = self.head
        request = Request(
            method=_text(head["method"]),
            path=_text(head["path"]),
            query=_text(head["query"]),
            headers=tuple(self.request_headers),
            body=b"".join(self.request),
            arrived_us=_whole(head["arrived_us"]),
        )
        timeline = Timeline(
            head_us=_whole(head["head_us"]),
            offsets_us=tuple(self.offsets_us),
            ends=tuple(self.ends),
            total_us=_whole(head["total_us"]),
        )
        return int(head["take"]), Interaction(
            id=int(head["interaction"]),
            fingerprint=fingerprint(request),
            request=request,
            status=_whole(head["status"]),
            headers=tuple(self.headers),
            body=b"".join(self.answer),
            timeline=timeline,
        )


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


def _texts(pair: tuple[bytes, bytes]) -> list[str]:
    return [each.decode("latin-1") for each in pair]


def _pieces(name: str, content: bytes, *, events: bool = False) -> list[dict[str, Any]]:
    """The content cut into lines of text and, where it is not UTF-8, of base64."""
    if events:
        ends = event_ends(content)
        pieces = [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    elif _is_text(content):
        pieces = [piece for piece in _LINE_ENDS.split(content) if piece]
    else:
        pieces = [content]
    return [
        {name: piece.decode()} if _is_text(piece) else {f"{name}_base64": b64encode(piece).decode()}
        for piece in pieces
    ]


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _bytes(name: str, line: dict[str, Any]) -> bytes:
    if name in line:
        return _text(line[name]).encode()
    try:
        return b64decode(line[f"{name}_base64"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name}_base64 is no base64: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError(f"{value!r} is no whole number")
    return value
