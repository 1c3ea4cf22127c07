"""The answer to a GET that asks for a part of a recorded answer, or already has a copy. Pure.

A recorded answer to just such a request is replayed as it is. In here: what else a recording can
answer. A whole answer holds each of its ranges; an answer about one range, or about one copy, fits
no other.
Source: RFC 9110, sections 8.8.3.2, 13.2.2, 14.2 and 15.3.7.
"""

import re
from dataclasses import replace
from email.utils import mktime_tz, parsedate_tz
from typing import NamedTuple

from replay_proxy.cassette import Interaction
from replay_proxy.timeline import Timeline
from replay_proxy.wire import Headers, Request, header, selecting_fields

#: Statuses of answers that only a request with selecting fields gets.
SELECTED = frozenset({206, 304, 412, 416})
#: One range. A server may answer a request for several with the whole.
_RANGE = re.compile(rb"bytes\s*=[\s,]*(\d{0,18})\s*-\s*(\d{0,18})[\s,]*", re.IGNORECASE)
_CONTENT_RANGE = re.compile(rb"bytes\s+(\d{1,18}-\d{1,18}|\*)/(\d{1,18}|\*)\s*", re.IGNORECASE)
_TAG = re.compile(rb'(?:W/)?"[^"]*"|[^\s,"]+')
#: Fields about the bytes that are sent.
_OF_CONTENT = frozenset({b"content-length", b"content-range", b"content-md5", b"content-digest"})
#: What a 304 has of the headers of its 200 (RFC 9110, section 15.4.5).
_OF_304 = frozenset(
    {
        b"cache-control",
        b"content-location",
        b"date",
        b"etag",
        b"expires",
        b"last-modified",
        b"vary",
    }
)


class Range(NamedTuple):
    """A range as it was requested: from ``first``, or else the last ``last`` bytes."""

    first: int | None
    last: int | None

    def of(self, size: int) -> tuple[int, int] | None:
        """Its start and end in a body of this size, or None if it is outside of it."""
        if self.first is None:
            return (max(0, size - self.last), size) if self.last and size else None
        if self.first >= size:
            return None
        return self.first, size if self.last is None else min(self.last + 1, size)


def selected(request: Request, recorded: Interaction) -> Interaction | None:
    """What a request gets from an answer that was recorded without the request's fields.

    None if the answer is about another range or another copy.
    """
    fields: dict[bytes, bytes] = {}
    for name, value in selecting_fields(request):
        fields[name] = b"%b, %b" % (fields[name], value) if name in fields else value
    wanted = _range(fields[b"range"]) if request.method == "GET" and b"range" in fields else None
    match recorded.status:
        case 200:
            return _of_whole(fields, wanted, recorded)
        case 206 | 416:
            fits = (
                wanted is not None
                and _is_about(wanted, recorded.headers)
                and _is_same_copy(fields.get(b"if-range"), recorded.headers)
                and _failed_condition(fields, recorded.headers) is None
            )
        case 304:
            fits = _knows_copy(fields, recorded.headers)
        case 412:
            fits = _fails_as_recorded(fields, recorded.headers)
        case _:
            fits = True
    return recorded if fits else None


def _of_whole(fields: dict[bytes, bytes], wanted: Range | None, whole: Interaction) -> Interaction:
    size = len(whole.body)
    status = _failed_condition(fields, whole.headers)
    if status == 304:
        headers = tuple(pair for pair in whole.headers if pair[0] in _OF_304)
        return _cut(whole, 304, headers, 0, 0)
    if status is not None:
        return _cut(whole, status, ((b"content-length", b"0"),), 0, 0)
    if wanted is None or not _is_same_copy(fields.get(b"if-range"), whole.headers):
        return whole
    place = wanted.of(size)
    if place is None:
        headers = ((b"content-range", b"bytes */%d" % size), (b"content-length", b"0"))
        return _cut(whole, 416, headers, 0, 0)
    start, end = place
    headers = (
        *(pair for pair in whole.headers if pair[0] not in _OF_CONTENT),
        (b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)),
        (b"content-length", b"%d" % (end - start)),
    )
    return _cut(whole, 206, headers, start, end)


def _cut(whole: Interaction, status: int, headers: Headers, start: int, end: int) -> Interaction:
    """An answer with a part of the body, due when the part's last byte was recorded."""
    times = whole.timeline
    chunks = zip(times.offsets_us, times.ends, strict=True)
    due_us = next((at_us for at_us, chunk_end in chunks if chunk_end >= end), times.head_us)
    timeline = Timeline(times.head_us, (), (), times.head_us)
    if end > start:
        timeline = Timeline(times.head_us, (due_us,), (end - start,), due_us)
    return replace(
        whole, status=status, headers=headers, body=whole.body[start:end], timeline=timeline
    )


def _range(value: bytes) -> Range | None:
    """The only range of a ``Range``, or None for one that is ignored."""
    match = _RANGE.fullmatch(value.strip())
    if match is None:
        return None
    first, last = (int(digits) if digits else None for digits in match.groups())
    if first is None and last is None:
        return None
    backwards = first is not None and last is not None and last < first
    return None if backwards else Range(first, last)


def _is_about(wanted: Range, headers: Headers) -> bool:
    """Whether a 206 or 416 is about this range, by its ``Content-Range``."""
    match = _CONTENT_RANGE.fullmatch(header(headers, b"content-range") or b"")
    if match is None:
        return False
    place, size = match.groups()
    if place == b"*":
        return size != b"*" and wanted.of(int(size)) is None
    start, last = map(int, place.split(b"-"))
    if size == b"*":
        return wanted == (start, last)
    return wanted.of(int(size)) == (start, last + 1)


def _failed_condition(fields: dict[bytes, bytes], headers: Headers) -> int | None:
    """The status for a condition that an answer fails: 304 or 412.

    A condition for which the answer has no validator is ignored.
    """
    tag, modified_s = header(headers, b"etag"), _seconds(header(headers, b"last-modified"))
    if (tags := fields.get(b"if-match")) is not None:
        if tag is not None and not _lists(tags, tag, weak=False):
            return 412
    elif modified_s is not None and b"if-unmodified-since" in fields:
        until_s = _seconds(fields[b"if-unmodified-since"])
        if until_s is not None and modified_s > until_s:
            return 412
    if (tags := fields.get(b"if-none-match")) is not None:
        return 304 if _lists(tags, tag, weak=True) else None
    since_s = _seconds(fields.get(b"if-modified-since"))
    unchanged = since_s is not None and modified_s is not None and modified_s <= since_s
    return 304 if unchanged else None


def _knows_copy(fields: dict[bytes, bytes], headers: Headers) -> bool:
    """Whether a 304 is about a copy that the client has."""
    if b"if-none-match" not in fields and b"if-modified-since" not in fields:
        return False
    names = {b"if-none-match": b"etag", b"if-modified-since": b"last-modified"}
    name = next(name for name in names if name in fields)
    return header(headers, names[name]) is None or _failed_condition(fields, headers) == 304


def _fails_as_recorded(fields: dict[bytes, bytes], headers: Headers) -> bool:
    """Whether a 412 is about a condition that this request fails too."""
    names = {b"if-match": b"etag", b"if-unmodified-since": b"last-modified"}
    name = next((name for name in names if name in fields), None)
    if name is None:
        return False
    return header(headers, names[name]) is None or _failed_condition(fields, headers) == 412


def _is_same_copy(if_range: bytes | None, headers: Headers) -> bool:
    """Whether the part that a client already has is a part of this answer."""
    if if_range is None:
        return True
    if b'"' in if_range:
        return _lists(if_range, header(headers, b"etag"), weak=False)
    modified_s = _seconds(header(headers, b"last-modified"))
    return modified_s is not None and modified_s == _seconds(if_range)


def _lists(tags: bytes, tag: bytes | None, *, weak: bool) -> bool:
    """Whether a list of entity tags has this one; ``weak`` selects the weak comparison."""
    if tags.strip() == b"*":
        return True
    if tag is None or (tag.startswith(b"W/") and not weak):
        return False
    members: list[bytes] = _TAG.findall(tags)
    if weak:
        return tag.removeprefix(b"W/") in [member.removeprefix(b"W/") for member in members]
    return tag in members


def _seconds(date: bytes | None) -> int | None:
    """A date in seconds since 1970; None if it is missing or cannot be read."""
    parsed = parsedate_tz(date.decode("latin-1")) if date is not None else None
    try:
        return mktime_tz(parsed) if parsed is not None else None
    except (OverflowError, ValueError):
        return None
