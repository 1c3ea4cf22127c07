"""How similar two JSON values are, without paths and without a budget. Pure.

Not in here: walking through two requests value by value (``comparison``).
"""

from itertools import compress
from operator import ne
from typing import Any

import orjson

from replay_proxy.matching.leaves import DEPTH, MOST_LEAVES, is_row
from replay_proxy.matching.texts import common_ends

#: Likeness of two leaves with different values of the same type.
SAME_KIND = 0.1
_CONTAINERS = frozenset({dict, list})


def is_leaf(value: Any) -> bool:
    """Whether a value holds no other value: an empty object or array is a leaf too."""
    return type(value) not in _CONTAINERS or not value


def leaf_count(value: Any) -> int:
    """The number of leaves of a value; after ``MOST_LEAVES`` each object or array counts as one."""
    total = looked_at = 0
    left = [(value, 0)]
    while left and looked_at < MOST_LEAVES:
        part, depth = left.pop()
        looked_at += 1
        if is_leaf(part) or depth > DEPTH or is_row(part):
            total += 1
        elif len(part) > MOST_LEAVES:
            total += len(part)
        else:
            members = part.values() if isinstance(part, dict) else part
            left += [(member, depth + 1) for member in members]
    return total + len(left)


def unlike_places(old: Any, new: Any) -> list[Any]:
    """The places in which two objects or arrays differ; none for arrays of unequal length.

    Values are compared as Python compares them: 1 and true are the same.
    """
    try:
        if isinstance(old, list):
            if len(old) != len(new):
                return []
            return list(compress(range(len(old)), map(ne, old, new)))
        return [
            name
            for name in old | new
            if name not in old or name not in new or old[name] != new[name]
        ]
    except RecursionError:
        return []


def agreement_of_members(old: Any, new: Any) -> tuple[float, int]:
    """How many members of two objects, or of two arrays, are the same, and how many there are."""
    count = len(old | new) if isinstance(old, dict) else max(len(old), len(new))
    if isinstance(old, list) and len(old) != len(new):
        return sum(common_ends(old, new)), count
    unlike = len(unlike_places(old, new)) or 1  # Only values of unequal types look equal here.
    return count - unlike, count


def same(old: Any, new: Any) -> bool:
    """Whether two values are equal with all their types; False for very deep ones."""
    if type(old) is not type(new):
        return False
    try:
        # Python takes 1, 1.0 and true for equal; as JSON they are written differently.
        return bool(old == new) and (
            not isinstance(old, dict | list)
            or orjson.dumps(old, option=orjson.OPT_SORT_KEYS)
            == orjson.dumps(new, option=orjson.OPT_SORT_KEYS)
        )
    except (TypeError, RecursionError):
        return False


def likeness(old: Any, new: Any) -> float:
    """How much two leaves agree, from 0 to 1."""
    if type(old) is not type(new):
        return 0
    if same(old, new):
        return 1
    alike = _share_of_ends(old, new) if isinstance(old, str | list) else 0
    return SAME_KIND + (0.9 - SAME_KIND) * alike


def _share_of_ends(one: Any, other: Any) -> float:
    """The share of the longer text, or array, that is a common beginning or end."""
    longer = max(len(one), len(other))
    if isinstance(one, list) and len(one) == len(other):
        return 1 - len(unlike_places(one, other)) / longer
    return sum(common_ends(one, other)) / longer if longer else 1.0
