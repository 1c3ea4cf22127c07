"""Values that grow by deltas, in time that is linear in the deltas. Pure.

A text is kept in pieces, and a list or an object is copied once, before it first grows: what the
events of a stream hold is never changed. ``plain`` makes an ordinary value of the result.
"""

from collections.abc import Iterable
from typing import Any

#: The members of a delta whose texts are joined; a repeated role, id or name is not.
_CONTINUED = frozenset(
    {
        "arguments",
        "code",
        "content",
        "data",
        "input",
        "reasoning",
        "reasoning_content",
        "refusal",
        "summary",
        "text",
        "thinking",
        "transcript",
        "value",
    }
)


class JoinedText:
    """A text in pieces."""

    __slots__ = ("pieces",)

    def __init__(self, first: str) -> None:
        self.pieces = [first]


class JoinedList:
    """A list whose elements are known by their ``index``, if they have one."""

    __slots__ = ("_places", "elements")

    def __init__(self, elements: Iterable[Any]) -> None:
        self.elements = list(elements)
        self._places: dict[int, int] = {}
        for place, each in enumerate(self.elements):
            if (index := _index(each)) is not None:
                self._places[index] = place

    def add(self, deltas: list[Any]) -> None:
        """Join each delta with the element of its index, or append it."""
        for each in deltas:
            index = _index(each)
            if index is not None and index in self._places:
                place = self._places[index]
                self.elements[place] = add(self.elements[place], each)
                continue
            if index is not None:
                self._places[index] = len(self.elements)
            self.elements.append(each)


class JoinedObject:
    """An object whose members grow by themselves."""

    __slots__ = ("members",)

    def __init__(self, members: dict[str, Any]) -> None:
        self.members = dict(members)

    def add(self, name: str, delta: Any) -> None:
        """Add a delta to a member."""
        self.members[name] = add(self.members.get(name), delta, name)


def add(before: Any, delta: Any, name: str = "") -> Any:
    """A value with a delta added: lists by their elements' ``index``, texts joined by ``name``.

    A ``before`` that has grown already grows in place.
    """
    if before is None or delta is None:
        return before if delta is None else delta
    if isinstance(before, dict | JoinedObject) and isinstance(delta, dict):
        total = before if isinstance(before, JoinedObject) else JoinedObject(before)
        for key, each in delta.items():
            total.add(key, each)
        return total
    if isinstance(before, list | JoinedList):
        listed = before if isinstance(before, JoinedList) else JoinedList(before)
        listed.add(delta if isinstance(delta, list) else [delta])
        return listed
    if isinstance(before, str | JoinedText) and isinstance(delta, str):
        if name not in _CONTINUED:
            return delta or before
        text = before if isinstance(before, JoinedText) else JoinedText(before)
        text.pieces.append(delta)
        return text
    return delta


def plain(value: Any) -> Any:
    """The value without the classes of this module."""
    match value:
        case JoinedText():
            return "".join(value.pieces)
        case JoinedList():
            return [plain(each) for each in value.elements]
        case JoinedObject():
            return {name: plain(each) for name, each in value.members.items()}
    return value


def _index(element: Any) -> int | None:
    index = element.get("index") if isinstance(element, dict) else None
    return index if isinstance(index, int) else None
