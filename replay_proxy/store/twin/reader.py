"""A text twin read back into takes and interactions, strictly: part of ``twin``.

A line may have been edited by hand or by git, so each line is checked by itself and against those
above it. An error names the number of the line.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from dataclasses import InitVar, dataclass, field
from typing import Any, BinaryIO

from replay_proxy.cassette import Interaction, Take
from replay_proxy.errors import ImportRefused
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.redaction.answer_headers import stored_response_headers
from replay_proxy.redaction.credentials import without_credentials
from replay_proxy.store.sqlite.soundness import check_interaction
from replay_proxy.store.twin.lines import content_of, excerpt, lines_of, value_of
from replay_proxy.target import flaw
from replay_proxy.timeline import Timeline, chunk_ends
from replay_proxy.wire import Request

#: The version in the first line. It changes when older readers would misread the text.
VERSION = 1
#: Maximum size of an interaction, which is that of a row in SQLite, and the bytes that each line
#: adds to it besides its content: otherwise empty lines without end would fill the memory.
_MOST_BYTES, _LINE_BYTES = 990_000_000, 100
_CAUSE_CHARS = 300
_DIGITS = re.compile("[1-9][0-9]{0,18}")


def read(content: BinaryIO | Iterable[bytes]) -> Iterator[Take | tuple[int, Interaction]]:
    """The takes, and each interaction with the id of its take, in the order of the lines.

    Fingerprints are computed anew, since a line may have been edited. Raises ``ImportRefused``
    with the number of a line that is not valid.
    """
    partial: _PartialInteraction | None = None
    takes: set[int] = set()
    interactions: set[int] = set()
    number = 0
    try:
        for number, line in enumerate(lines_of(content), start=1):
            # Some editors put a byte order mark in front of a text.
            value = value_of(line.removeprefix(BOM_UTF8) if number == 1 else line)
            match value:
                case {"cassette": version} if number == 1:
                    if version != VERSION:
                        raise ValueError(
                            f"it is of version {excerpt(version)}, this reader of {VERSION}"
                        )
                case _ if number == 1:
                    raise ValueError(f'a text twin begins with {{"cassette":{VERSION}}}')
                case {"take": str(), "run": str(run), "started_us": started_us, **rest} if not rest:
                    take = Take(_id(value["take"]), run, _whole(started_us))
                    takes.add(take.id)
                    yield take
                case {"interaction": _}:
                    if partial is not None:
                        yield partial.interaction()
                    partial = _PartialInteraction(value, number)
                    if partial.id in interactions:
                        raise ValueError(f"interaction {partial.id} appears twice")
                    if partial.take not in takes:
                        raise ValueError(f"no line above defines its take, {partial.take}")
                    interactions.add(partial.id)
                case dict() if partial is not None:
                    partial.add(value)
                case _:
                    raise ValueError("it belongs to no interaction")
        if partial is not None:
            yield partial.interaction()
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise _refusal(getattr(error, "line", number), error) from error
    if not number:
        raise ImportRefused("is empty", thing="The text", remedy="Export the cassette again.")


def _refusal(number: int, error: Exception) -> ImportRefused:
    """The error for the line of this number."""
    cause = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    cause = cause if len(cause) < _CAUSE_CHARS else cause[:_CAUSE_CHARS] + "…"
    return ImportRefused(
        f"cannot be read as a cassette. Line {number}: {cause}",
        thing="The text",
        remedy="Undo the edit, or export again.",
    )


class _InvalidInteraction(ValueError):
    """The lines of an interaction are valid one by one, but not together."""

    def __init__(self, line: int, cause: str) -> None:
        super().__init__(cause)
        self.line = line


@dataclass(slots=True)
class _PartialInteraction:
    """An interaction whose lines are being read."""

    first: InitVar[dict[str, Any]]
    line: int
    id: int = field(init=False)
    take: int = field(init=False)
    head: dict[str, Any] = field(init=False)
    request_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    request: list[bytes] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    answer: list[bytes] = field(default_factory=list)
    offsets_us: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    size: int = 0

    def __post_init__(self, first: dict[str, Any]) -> None:
        """Check the members of the first line, where an error can still name it."""
        self.head = {name: check(first[name]) for name, check in _MEMBERS.items()}
        self.id, self.take = self.head["interaction"], self.head["take"]
        if unknown := first.keys() - _MEMBERS.keys() - {"fingerprint"}:
            raise ValueError(f"{', '.join(sorted(unknown))} does not belong here")
        if cause := flaw(self.head["method"], self.head["path"], self.head["query"]):
            raise ValueError(cause)

    def add(self, line: dict[str, Any]) -> None:
        """Add a line. Raises ``ValueError``, and other errors for wrong types."""
        self.size += _LINE_BYTES
        match line:
            case {"request_header": [str(name), str(value)], **rest}:
                self.request_headers.append((name.encode("latin-1"), value.encode("latin-1")))
            case {"header": [str(name), str(value)], **rest}:
                self.headers.append((name.encode("latin-1"), value.encode("latin-1")))
            case {"request": _, **rest} | {"request_base64": _, **rest}:
                self.request.append(self._counted(content_of("request", line)))
            case {"answer": _, **rest} | {"answer_base64": _, **rest}:
                self._add_answer(line)
                rest.pop("at_us", None)
            case _:
                raise ValueError(f"{', '.join(line) or 'an empty object'} has no meaning here")
        if self.size > _MOST_BYTES:
            raise ValueError(f"the interaction is larger than {_MOST_BYTES} bytes")
        if rest:
            raise ValueError(f"{', '.join(rest)} does not belong here")

    def _add_answer(self, line: dict[str, Any]) -> None:
        piece = self._counted(content_of("answer", line))
        if "at_us" in line:
            offset_us = _whole(line["at_us"])
            if self.offsets_us and offset_us < self.offsets_us[-1]:
                raise ValueError(f"{offset_us} is earlier than the chunk above")
            self.offsets_us.append(offset_us)
            self.sizes.append(len(piece))
        elif self.sizes:
            self.sizes[-1] += len(piece)
        else:
            raise ValueError("the first piece of an answer has no at_us")
        self.answer.append(piece)

    def _counted(self, piece: bytes) -> bytes:
        self.size += len(piece)
        return piece

    def interaction(self) -> tuple[int, Interaction]:
        """The id of the take, and the interaction."""
        head = self.head
        request = Request(
            method=head["method"],
            path=head["path"],
            query=without_credentials(head["query"]),
            headers=stored_response_headers(tuple(self.request_headers)),
            body=b"".join(self.request),
            arrived_us=head["arrived_us"],
        )
        timeline = Timeline(
            head_us=head["head_us"],
            offsets_us=tuple(self.offsets_us),
            ends=tuple(chunk_ends(self.sizes)),
            total_us=head["total_us"],
        )
        interaction = Interaction(
            id=self.id,
            fingerprint=fingerprint(request),
            request=request,
            status=head["status"],
            headers=stored_response_headers(tuple(self.headers)),
            body=b"".join(self.answer),
            timeline=timeline,
        )
        try:
            check_interaction(interaction)
        except ValueError as error:
            raise _InvalidInteraction(self.line, f"interaction {self.id}: {error}") from error
        return self.take, interaction


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{excerpt(value)} is not a text")
    return value


def _whole(value: Any) -> int:
    """A time in microseconds that fits into an id (``interaction_id``)."""
    if type(value) is not int or not 0 <= value < 2**52:
        raise ValueError(f"{excerpt(value)} is not a whole number of microseconds")
    return value


def _status(value: Any) -> int:
    if type(value) is not int or not 100 <= value <= 999:
        raise ValueError(f"{excerpt(value)} is not a status")
    return value


def _id(value: Any) -> int:
    if not _DIGITS.fullmatch(_text(value)) or int(value) >= 2**63:
        raise ValueError(f"{excerpt(value)} is not an id")
    return int(value)


#: The members of an interaction's first line, without the fingerprint, which is computed anew.
_MEMBERS: dict[str, Callable[[Any], Any]] = {
    "interaction": _id,
    "take": _id,
    "arrived_us": _whole,
    "method": _text,
    "path": _text,
    "query": _text,
    "status": _status,
    "head_us": _whole,
    "total_us": _whole,
}
