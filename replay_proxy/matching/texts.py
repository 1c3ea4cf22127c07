"""Where two texts or arrays differ, and the part of them that is shown. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

#: Maximum number of elements of an array that are shown.
_ELEMENTS = 5


def around_difference(one: str, other: str, context: int) -> tuple[str, str]:
    """The parts of two texts that differ, with some characters of context on either side."""
    before, after = common_ends(one, other)
    start = max(0, before - context)
    parts = [
        ("…" if start else "")
        + text[start : len(text) - max(0, after - context)]
        + ("…" if after > context else "")
        for text in (one, other)
    ]
    return parts[0], parts[1]


def ends(text: str, chars: int) -> str:
    """A text; of one of more than ``6 * chars`` characters, ``3 * chars`` at each end.

    Nothing marks the gap: this is for a text that will be shortened in the middle.
    """
    return text if len(text) <= 6 * chars else text[: 3 * chars] + text[-3 * chars :]


def elements(values: Sequence[Any], at: int, text_of: Callable[[Any], str]) -> str:
    """An array for a person: some elements from number ``at`` on, and the number of all."""
    some = [
        "[…]" if isinstance(value, list) and value else text_of(value)
        for value in values[at : at + _ELEMENTS]
    ]
    before = ["…"] if at else []
    after = ["…"] if at + _ELEMENTS < len(values) else []
    where = f", from [{at}] on" if at else ""
    return f"[{', '.join(before + some + after)}] ({len(values):,} elements{where})"


def common_ends(one: Any, other: Any) -> tuple[int, int]:
    """How much two texts, or two lists, have in common at their beginning, and at their end."""
    before = _common(one, other, lambda start, end: slice(start, end))
    rest = min(len(one), len(other)) - before
    return before, min(_common(one, other, lambda start, end: slice(-end, -start or None)), rest)


def _common(one: Any, other: Any, part: Any) -> int:
    """How many elements two texts or lists have in common, where ``part`` makes their slices.

    By halving, which compares slices in C: one character at a time takes 30 times as long. It
    starts with a short slice, since most texts differ soon or not at all.
    """
    common, size, shortest = 0, 64, min(len(one), len(other))
    while common < shortest:
        end = min(common + size, shortest)
        if one[part(common, end)] != other[part(common, end)]:
            break
        common, size = end, 2 * size
    else:
        return common
    while common + 1 < end:
        middle = (common + end) // 2
        if one[part(common, middle)] == other[part(common, middle)]:
            common = middle
        else:
            end = middle
    return common
