"""``LRU``: a dictionary whose memory does not grow with what clients name.

Names, keys and requests come from clients, who can send millions of different ones. What is stored
by such a name is either in an LRU, where a dropped entry starts anew, or, where the number matters,
kept up to a limit beyond which it is only counted (``journal``).
"""

from collections import OrderedDict
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class LRU(Generic[_Key, _Value]):
    """A dictionary of at most ``most`` entries; the least recently used one is dropped first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[_Key, _Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: _Key) -> bool:
        return key in self._entries

    def get(self, key: _Key) -> _Value | None:
        """The value of a key, which counts as used now."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: _Key, value: _Value) -> tuple[_Key, _Value] | None:
        """Set the value of a key, which counts as used now; returns the entry that is dropped."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            return self._entries.popitem(last=False)
        return None

    def pop(self, key: _Key) -> _Value | None:
        """Remove a key. Returns its value."""
        return self._entries.pop(key, None)

    def items(self) -> list[tuple[_Key, _Value]]:
        """All entries."""
        return list(self._entries.items())

    def values(self) -> list[_Value]:
        """All values."""
        return list(self._entries.values())

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()
