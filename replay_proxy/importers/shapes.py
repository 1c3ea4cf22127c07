"""Values of a foreign document, read liberally: each function gives one shape or ``Misshapen``.

Every recorder writes the same thing in several ways (the value of a header as text, as a list, as a
number), and a damaged file may have anything anywhere. Not in here: bodies (``bodies``).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from replay_proxy.importers.exchange import Misshapen
from replay_proxy.wire import Headers

#: RFC 9110, section 5.6.2.
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Characters that a header's value may not have, and that are read as spaces (RFC 9110, 5.5).
_NO_VALUE = re.compile(rb"[\r\n\0]+")


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """A YAML value with a tag that is not executed: the content of the tag, as plain data."""

    tag: str
    value: object


def mapping(value: object, what: str) -> Mapping[object, object]:
    """A mapping."""
    if isinstance(value, Foreign):
        return mapping(value.value, what)
    if isinstance(value, Mapping):
        return value
    raise Misshapen(f"{what} is {_kind(value)}, not a mapping")


def sequence(value: object, what: str) -> Sequence[object]:
    """A list."""
    if isinstance(value, list | tuple):
        return value
    raise Misshapen(f"{what} is {_kind(value)}, not a list")


def text(value: object, what: str) -> str:
    """A text; numbers and booleans as they are written, a foreign object as its text.

    ``!!python/object/apply:multidict._multidict.istr [Accept]`` is ``Accept``.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            try:
                return str(value)
            except ValueError:  # More digits than Python writes.
                raise Misshapen(f"{what} is a number of absurd length") from None
        case bytes():
            return value.decode("latin-1")
        case Foreign(value=list([inner])) | Foreign(value=str() as inner):
            return text(inner, what)
        case Foreign(tag=tag):
            raise Misshapen(f"{what} is an object of the unknown kind {tag}")
    raise Misshapen(f"{what} is {_kind(value)}, not a text")


def integer(value: object, what: str) -> int:
    """A whole number, or a text with one."""
    if isinstance(value, str) and (digits := re.match(r"\s*(-?\d{1,18})\b", value)):
        return int(digits[1])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return value
    raise Misshapen(f"{what} is {_kind(value)}, not a number")


def status(value: object) -> int:
    """The status of an answer: a number, or a mapping with one."""
    if isinstance(value, Mapping):
        value = value.get("code", value.get("status_code"))
    return integer(value, "the status")


def utf8(value: str, what: str) -> bytes:
    """The text in UTF-8; the two halves of a surrogate pair become one character."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        pass
    try:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le").encode()
    except UnicodeError:
        raise Misshapen(f"{what} has half a surrogate pair, which is not a text") from None


def headers(value: object, what: str) -> Headers:
    """Header fields in order with repeats, names in lower case, without HTTP/2's ``:status``.

    From a mapping of names to values or lists of values, or a list of pairs, of
    ``{name, value}`` or of lines.
    """
    if value is None:
        return ()
    fields: list[tuple[bytes, bytes]] = []
    for name, inner in _fields(value, what):
        lowered = text(name, f"a name in {what}").strip().lower().encode("latin-1", "replace")
        values = inner if isinstance(inner, list | tuple) else [inner]
        if _TOKEN.fullmatch(lowered):
            fields += [(lowered, _value(one, f"{lowered.decode()} in {what}")) for one in values]
    return tuple(fields)


def _fields(value: object, what: str) -> Sequence[tuple[object, object]]:
    if isinstance(value, Foreign) and isinstance(value.value, list) and len(value.value) == 1:
        return _fields(value.value[0], what)  # frozenset, in vcrpy before version 1
    if not isinstance(value, list | tuple):
        return list(mapping(value, what).items())
    fields: list[tuple[object, object]] = []
    for item in value:
        if isinstance(item, Mapping) and "name" in item:
            fields.append((item["name"], item.get("value", "")))
        elif isinstance(item, list | tuple) and len(item) == 2:
            fields.append((item[0], item[1]))
        elif isinstance(item, str) and ":" in item:
            name, _, line = item.partition(":")
            fields.append((name, line))
        else:
            raise Misshapen(f"{what} is a list of something that is not a header")
    return fields


def _value(value: object, what: str) -> bytes:
    if value is None:
        return b""
    line = text(value, what)
    try:
        raw = line.encode("latin-1")
    except UnicodeEncodeError:
        raw = utf8(line, what)
    return _NO_VALUE.sub(b" ", raw).strip()


def _kind(value: object) -> str:
    match value:
        case None:
            return "missing"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str() | bytes():
            return "a text"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
    return "an object of an unknown kind"
