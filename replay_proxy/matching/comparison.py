"""How alike two requests are, and at which leaves they differ. Pure.

Not in here: which requests are worth comparing.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from typing import Any

from replay_proxy.matching.leaves import DEPTH, MOST_LEAVES, is_row, leaves_of, step, tree
from replay_proxy.matching.likeness import (
    agreement_of_members,
    is_leaf,
    leaf_count,
    likeness,
    same,
    unlike_places,
)
from replay_proxy.wire import Request

#: Stands for a leaf that one of two requests does not have.
ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "ABSENT"})()

#: Down to this depth, objects and arrays are first compared as a whole. Deeper ones have been
#: compared often enough, as parts of others.
_WHOLE_DEPTH = 8
#: Elements in which two arrays of numbers may differ one by one; with more they differ as a whole.
_FEW = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """A leaf that differs; ``ABSENT`` on the side whose request does not have it."""

    path: str
    recorded: Any
    asked: Any
    #: Of a value in a list of names and values: the name beside it.
    label: str = ""


class Comparison:
    """Compares one request, which is read once, with recorded ones.

    The similarity is computed for many and the differences for few, so the similarity makes no
    paths, and does not walk through values that are equal, or missing, as a whole. Of the headers
    only ``headers`` count, and of a JSON body the part that ``without`` leaves.

    One comparison looks at ``MOST_LEAVES`` pairs of values and compares the rest as a whole.
    """

    def __init__(
        self,
        request: Request,
        headers: Collection[bytes] = (),
        without: Callable[[Any], Any] | None = None,
    ) -> None:
        self._tree_of = partial(tree, headers=headers, without=without)
        self._tree = self._tree_of(request)
        #: Number of leaves of an object or an array of the tree, by its ``id``.
        self._counts: dict[int, int] = {}
        #: Number of pairs that this comparison has looked at.
        self.pairs = 0

    def similarity(self, recorded: Request) -> float:
        """The share of all leaves that agree, from 0 to 1, texts in part."""
        self.pairs = 0
        agreed, count = self._agreement(self._tree_of(recorded), self._tree, -1)
        return agreed / count

    def differences(self, recorded: Request) -> list[Difference]:
        """The leaves that differ."""
        self.pairs = 0
        old, new = self._tree_of(recorded), self._tree
        members = _members(old, new)
        return [leaf for member in members for leaf in self._differing(*member, 0)]

    def _agreement(self, old: Any, new: Any, depth: int) -> tuple[float, int]:
        """How many leaves of two values agree, and how many there are."""
        if is_leaf(old) and is_leaf(new):
            return likeness(old, new), 1
        if old is ABSENT:
            return 0, self._count(new)
        if new is ABSENT:
            return 0, leaf_count(old)
        if depth <= _WHOLE_DEPTH and same(old, new):
            count = self._count(new)
            return count, count
        if type(old) is not type(new) or is_leaf(old) or is_leaf(new):
            return 0, leaf_count(old) + self._count(new)
        if depth > DEPTH:
            return 1, 1
        if is_row(old) or is_row(new):
            return likeness(old, new), 1
        if self._is_too_much(old, new):
            return agreement_of_members(old, new)
        self.pairs += max(len(old), len(new))
        agreed, total = 0.0, 0
        for before, now in _pairs(old, new):
            share, count = self._agreement(before, now, depth + 1)
            agreed, total = agreed + share, total + count
        return agreed, total

    def _differing(self, path: str, old: Any, new: Any, depth: int) -> Iterator[Difference]:
        """The leaves of two values that differ, by their paths."""
        unlike_types = type(old) is not type(new)
        if unlike_types or is_leaf(old) or is_leaf(new):
            yield from _all_differing(path, old, new, depth)
        elif depth > DEPTH or (depth <= _WHOLE_DEPTH and same(old, new)):
            return
        elif is_row(old) or is_row(new) or self._is_too_much(old, new):
            places = unlike_places(old, new)
            if not places and same(old, new):
                return
            most = _FEW if is_row(old) or is_row(new) else MOST_LEAVES - self.pairs
            if not 0 < len(places) <= most:
                yield Difference(path, old, new)
                return
            self.pairs += len(places)
            for place in places:
                yield from self._differing(*_member(path, old, new, place), depth + 1)
        else:
            self.pairs += max(len(old), len(new))
            label = _label(new) or _label(old)
            for member in _members(old, new, path):
                below = self._differing(*member, depth + 1)
                if label and member[0].endswith(".value"):
                    below = (replace(leaf, label=label) for leaf in below)
                yield from below

    def _is_too_much(self, old: Any, new: Any) -> bool:
        """Whether the members of two values are more than may still be looked at."""
        return max(len(old), len(new)) > (MOST_LEAVES - self.pairs) / 2

    def _count(self, value: Any) -> int:
        if is_leaf(value):
            return 1
        if id(value) not in self._counts:
            self._counts[id(value)] = leaf_count(value)
        return self._counts[id(value)]


def _label(value: Any) -> str:
    """The name of an object with a ``value``."""
    if not isinstance(value, dict) or "value" not in value:
        return ""
    return str(value.get("name") or value.get("key") or "")


def _pairs(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    """The values in the same places of two objects or arrays; ``ABSENT`` for a missing one."""
    if isinstance(old, list):
        yield from zip_longest(old, new, fillvalue=ABSENT)
        return
    for name, before in old.items():
        yield before, new.get(name, ABSENT)
    for name, now in new.items():
        if name not in old:
            yield ABSENT, now


def _members(old: Any, new: Any, path: str | None = None) -> Iterator[tuple[str, Any, Any]]:
    """The same pairs, each with its path; without a ``path``, a name is the path."""
    if isinstance(old, list):
        for number, pair in enumerate(_pairs(old, new)):
            yield f"{path}[{number}]", *pair
        return
    for name in old | new:
        below = name if path is None else path + step(name)
        yield below, old.get(name, ABSENT), new.get(name, ABSENT)


def _member(path: str, old: Any, new: Any, place: Any) -> tuple[str, Any, Any]:
    """The values in one place of two objects or arrays, and their path."""
    if isinstance(old, list):
        return f"{path}[{place}]", old[place], new[place]
    return path + step(place), old.get(place, ABSENT), new.get(place, ABSENT)


def _all_differing(path: str, old: Any, new: Any, depth: int) -> Iterator[Difference]:
    """Each leaf of two values of which at least one is a leaf, or of unlike types."""
    if is_leaf(old) and is_leaf(new):
        if not same(old, new):
            yield Difference(path, old, new)
        return
    before, now = ({} if side is ABSENT else leaves_of({path: side}) for side in (old, new))
    for below in before | now:
        yield Difference(below, before.get(below, ABSENT), now.get(below, ABSENT))
