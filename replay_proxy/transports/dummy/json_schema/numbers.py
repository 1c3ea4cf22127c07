"""Numbers that fit the bounds of a JSON Schema, drawn at random.

In here: ``minimum``, ``maximum``, their exclusive forms, ``multipleOf``. Not in here: any other
keyword.
"""

import math
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

#: A bound further from 0 says nothing: not all that follows from it could be written as a float.
_LARGEST = 10**300
#: How wide a range is that has no bound on one side.
_WIDTH = 100


def integer(schema: dict[str, Any], chance: Random) -> int:
    """An integer within the bounds; the nearest to them if there is none."""
    low, high, step = _bounds(schema)
    # Integers that are multiples of a fraction are those of its numerator.
    whole = Fraction(step.numerator if step else 1)
    return int(_multiple(schema, low, high, whole, chance))


def number(schema: dict[str, Any], chance: Random) -> int | float:
    """A number within the bounds."""
    low, high, step = _bounds(schema)
    if step:
        found = _multiple(schema, low, high, step, chance)
        return int(found) if found.denominator == 1 else float(found)
    for digits in (2, 6, None):
        value = float(low + (high - low) * Fraction(chance.random()))
        value = value if digits is None else round(value, digits)
        if low < Fraction(Decimal(repr(value))) < high:  # As it is written: see ``_given``.
            return value
    middle = float((low + high) / 2)
    return int(middle) if middle.is_integer() else middle


def _multiple(
    schema: dict[str, Any], low: Fraction, high: Fraction, step: Fraction, chance: Random
) -> Fraction:
    first, last = math.ceil(low / step), math.floor(high / step)
    if first * step == low and _given(schema, "exclusiveMinimum") == low:
        first += 1
    if last * step == high and _given(schema, "exclusiveMaximum") == high:
        last -= 1
    return step * chance.randint(first, max(first, last))


def _bounds(schema: dict[str, Any]) -> tuple[Fraction, Fraction, Fraction | None]:
    """The range, and what a value is a multiple of."""
    step = _given(schema, "multipleOf")
    step = step if step and step > 0 else None
    width = max(Fraction(1), step or Fraction(0)) * _WIDTH
    lows = _all_given(schema, "minimum", "exclusiveMinimum")
    highs = _all_given(schema, "maximum", "exclusiveMaximum")
    if lows:
        low = max(lows)
        return low, min(highs, default=low + width), step
    high = min(highs, default=None)
    if high is None or high > 0:
        return Fraction(0), width if high is None else high, step
    return high - width, high, step


def _all_given(schema: dict[str, Any], *keywords: str) -> list[Fraction]:
    return [b for keyword in keywords if (b := _given(schema, keyword)) is not None]


def _given(schema: dict[str, Any], keyword: str) -> Fraction | None:
    """A bound exactly as it is written: 0.1 is a tenth."""
    value = schema.get(keyword)
    if value is None or not -_LARGEST <= value <= _LARGEST:
        return None
    return Fraction(value) if isinstance(value, int) else Fraction(Decimal(repr(value)))
