"""How alike two requests are, and at which leaves they differ. Pure.

Which requests are worth comparing is not known here.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import zip_longest
from typing import Any

import orjson

from replay_proxy.leaves import DEPTH, leaves_of, tree
from replay_proxy.texts import common_ends
from replay_proxy.wire import Request

#: Stands for a leaf that one of two requests does not have.
ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "ABSENT"})()

#: What a leaf counts that both have, with another value of the same type.
SAME_KIND = 0.1
_CONTAINERS = frozenset({dict, list})


@dataclass(frozen=True, slots=True)
class Difference:
    """A leaf that differs; ``ABSENT`` where one of the requests has none."""

    path: str
    recorded: Any
    asked: Any


class Asked:
    """A request that recorded ones are compared with; it is read once.

    Many are asked for their similarity and few for the differences, so that no path is made for
    the former, and what is equal as a whole, or missing as a whole, is not walked. Of the headers
    only ``headers`` count, and of JSON bodies what ``without`` leaves of them.
    """

    def __init__(
        self,
        request: Request,
        headers: Collection[bytes] = (),
        without: Callable[[Any], Any] | None = None,
    ) -> None:
        self._tree_of = partial(tree, headers=headers, without=without)
        self._tree = self._tree_of(request)
        #: How many leaves an object or an array of the tree has, by its ``id``.
        self._counts: dict[int, int] = {}

    def similarity(self, recorded: Request) -> float:
        """The share of all leaves that agree, from 0 to 1, texts in part."""
        agreed, count = self._agreement(self._tree_of(recorded), self._tree, -1)
        return agreed / count

    def differences(self, recorded: Request) -> list[Difference]:
        """Every leaf that differs."""
        old, new = leaves_of(self._tree_of(recorded)), self._leaves
        pairs = ((path, old.get(path, ABSENT), new.get(path, ABSENT)) for path in old | new)
        return [Difference(*pair) for pair in pairs if not _same(*pair[1:])]

    @cached_property
    def _leaves(self) -> dict[str, Any]:
        return leaves_of(self._tree)

    def _agreement(self, old: Any, new: Any, depth: int) -> tuple[float, int]:
        """How many leaves of two values agree, and how many there are."""
        if _is_leaf(old) and _is_leaf(new):
            return _likeness(old, new), 1
        if old is ABSENT:
            return 0, self._count(new)
        if new is ABSENT:
            return 0, _count(old)
        if _same(old, new):
            count = self._count(new)
            return count, count
        if type(old) is not type(new) or _is_leaf(old) or _is_leaf(new):
            return 0, _count(old) + self._count(new)
        if depth > DEPTH:
            return 1, 1
        agreed, total = 0.0, 0
        for before, now in _pairs(old, new):
            share, count = self._agreement(before, now, depth + 1)
            agreed, total = agreed + share, total + count
        return agreed, total

    def _count(self, value: Any) -> int:
        if _is_leaf(value):
            return 1
        if id(value) not in self._counts:
            self._counts[id(value)] = _count(value)
        return self._counts[id(value)]


def _is_leaf(value: Any) -> bool:
    """Whether nothing is in a value: an empty object or array is a leaf too."""
    return type(value) not in _CONTAINERS or not value


def _count(value: Any, depth: int = 0) -> int:
    """How many leaves a value has."""
    if _is_leaf(value) or depth > DEPTH:
        return 1
    below = value.values() if isinstance(value, dict) else value
    return sum(_count(each, depth + 1) for each in below)


def _pairs(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    """What stands in the same places of two objects, or of two arrays, with ``ABSENT`` for none."""
    if isinstance(old, list):
        yield from zip_longest(old, new, fillvalue=ABSENT)
        return
    for name, before in old.items():
        yield before, new.get(name, ABSENT)
    for name, now in new.items():
        if name not in old:
            yield ABSENT, now


def _same(old: Any, new: Any) -> bool:
    """Whether two values are equal with all their types; of very deep ones it is not known."""
    if type(old) is not type(new):
        return False
    try:
        # Python takes 1, 1.0 and true for equal; as JSON they are written differently.
        return bool(old == new) and (
            not isinstance(old, dict | list) or orjson.dumps(old) == orjson.dumps(new)
        )
    except (TypeError, RecursionError):
        return False


def _likeness(old: Any, new: Any) -> float:
    """How much two leaves agree, from 0 to 1."""
    if type(old) is not type(new):
        return 0
    if old == new:
        return 1
    return SAME_KIND + (0.9 - SAME_KIND) * (
        _text_similarity(old, new) if isinstance(old, str) else 0
    )


def _text_similarity(one: str, other: str) -> float:
    """The share of the longer text that is a common beginning or end."""
    longer = max(len(one), len(other))
    before, after = common_ends(one, other)
    return (before + after) / longer if longer else 1.0
