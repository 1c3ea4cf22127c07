"""The shape of JSON: the places of members, their types, and the words of the protocol.

Pure; part of ``drift``. An array has a place per kind of its elements: all messages of an output
are one place, all calls of one tool another, however many there are. What varies between answers
of one shape (ids, times, counts, texts) is left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from replay_proxy.answers.parsed import parsed
from replay_proxy.matching.leaves import quoted


class ElementKind(NamedTuple):
    """What elements of an array have in common: as text, and as a JSONPath filter."""

    words: str = ""
    filter: str = ""


#: From the root: the names of members, and the kinds of elements.
Path = tuple[str | ElementKind, ...]

#: Members whose strings belong to the protocol; ``code`` only in an error.
_PROTOCOL = frozenset({"object", "type", "role", "finish_reason", "status"})
#: A member that comes and goes, to hide the length of a text.
_IGNORED = frozenset({"obfuscation"})
#: Members of which only the presence counts: what a filter reports depends on the text.
_OPAQUE = frozenset(
    {"annotations", "bytes", "content_filter_results", "service_tier", "system_fingerprint"}
)
#: Members whose content is the application's: no protocol, and no kinds of elements.
_DATA = frozenset({"arguments", "metadata", "parameters", "schema"})
#: Members that hold JSON in a string, and those that do if the request asked for JSON.
_JSON, _JSON_IF_ASKED = frozenset({"arguments"}), frozenset({"content", "text"})
_TYPES = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


@dataclass(slots=True)
class Place:
    """Everything that was seen at one path."""

    count: int = 0
    objects: int = 0
    types: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)
    kinds: set[ElementKind] = field(default_factory=set)


Shape = dict[Path, Place]


@dataclass(frozen=True, slots=True)
class Reading:
    """How strings are read: whether texts are JSON too, and whether they are fragments."""

    json_texts: bool = False
    fragments: bool = False


def shape(value: Any, reading: Reading) -> Shape:
    """The shape of a value."""
    places: Shape = {}
    _collect((), value, places, reading, data=False)
    return places


def shape_of_events(events: Iterable[tuple[ElementKind, Any, Reading]]) -> Shape:
    """The shape of events, taken as an array: each kind is a place."""
    places: Shape = {(): Place(count=1, types={"array"})}
    for kind, value, reading in events:
        places[()].kinds.add(kind)
        _collect((kind,), value, places, reading, data=False)
    return places


def kind_of(element: Any) -> ElementKind:
    """An element's kind: by its ``object``, its type, and the tool that it calls or defines."""
    if not isinstance(element, dict):
        return ElementKind()
    function = element.get("function")
    tool, holder = (function, "@.function") if isinstance(function, dict) else (element, "@")
    members = [("@.object", element.get("object")), ("@.type", element.get("type"))]
    if any(isinstance(word, str) for _, word in members):
        members.append((f"{holder}.name", tool.get("name")))
    words = [(where, word) for where, word in members if isinstance(word, str)]
    return ElementKind(
        " ".join(word for _, word in words),
        " && ".join(f"{where}=={quoted(word)}" for where, word in words),
    )


def _collect(path: Path, value: Any, places: Shape, reading: Reading, *, data: bool) -> None:
    place = places.setdefault(path, Place())
    place.count += 1
    name = path[-1] if path else ""
    if name in _OPAQUE and not data:
        return
    value, type_ = _read(name, value, reading, data=data)
    if not (value == "" and name in _JSON):  # Arguments that have not arrived yet have no type.
        place.types.add(type_)
    if isinstance(value, str) and not data:
        if name in _PROTOCOL or (name == "code" and "error" in path):
            place.values.add(value)
        return
    data = data or name in _DATA or type_.startswith("JSON ")
    if isinstance(value, dict):
        place.objects += 1
        for member, below in value.items():
            if member not in _IGNORED:
                _collect((*path, member), below, places, reading, data=data)
    elif isinstance(value, list):
        for element in value:
            kind = ElementKind() if data else kind_of(element)
            place.kinds.add(kind)
            _collect((*path, kind), element, places, reading, data=data)


def _read(name: str | ElementKind, value: Any, reading: Reading, *, data: bool) -> tuple[Any, str]:
    """A value, parsed if it is JSON in a string, and its type as text."""
    may_be_json = name in _JSON or (reading.json_texts and name in _JSON_IF_ASKED)
    if isinstance(value, str) and may_be_json and not data and not reading.fragments:
        inner = parsed(value)
        if isinstance(inner, dict | list):
            return inner, f"JSON {_TYPES[type(inner)]} in a string"
    return value, _TYPES[type(value)]
