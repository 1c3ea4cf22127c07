"""Numbers that fit the bounds of a JSON Schema, drawn at random.

In here: ``minimum``, ``maximum``, their exclusive forms, ``multipleOf``. Not in here: any other
keyword.
"""

import math
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

#: A bound further from 0 is ignored: sums and products with it might not be floats.
_LARGEST = 10**300
#: The width of a range without a bound on one side.
_WIDTH = 100


def random_integer(schema: dict[str, Any], chance: Random) -> int:
    """An integer within the bounds; if there is none, the nearest one."""
    low, high, step = _bounds(schema)
    # The integers among the multiples of a fraction are the multiples of its numerator.
    whole = Fraction(step.numerator if step else 1)
    return int(_multiple(schema, low, high, whole, chance))


def random_number(schema: dict[str, Any], chance: Random) -> int | float:
    """A number within the bounds."""
    low, high, step = _bounds(schema)
    if step:
        multiple = _multiple(schema, low, high, step, chance)
        return int(multiple) if multiple.denominator == 1 else float(multiple)
    for digits in (2, 6, None):
        value = float(low + (high - low) * Fraction(chance.random()))
        value = value if digits is None else round(value, digits)
        if low < Fraction(Decimal(repr(value))) < high:  # Its value in JSON: see ``_bound``.
            return value
    middle = float((low + high) / 2)
    return int(middle) if middle.is_integer() else middle


def _multiple(
    schema: dict[str, Any], low: Fraction, high: Fraction, step: Fraction, chance: Random
) -> Fraction:
    first, last = math.ceil(low / step), math.floor(high / step)
    if first * step == low and _bound(schema, "exclusiveMinimum") == low:
        first += 1
    if last * step == high and _bound(schema, "exclusiveMaximum") == high:
        last -= 1
    return step * chance.randint(first, max(first, last))


def _bounds(schema: dict[str, Any]) -> tuple[Fraction, Fraction, Fraction | None]:
    """The range, and the number of which values are multiples."""
    step = _bound(schema, "multipleOf")
    step = step if step and step > 0 else None
    width = max(Fraction(1), step or Fraction(0)) * _WIDTH
    lows = _all_bounds(schema, "minimum", "exclusiveMinimum")
    highs = _all_bounds(schema, "maximum", "exclusiveMaximum")
    if lows:
        low = max(lows)
        return low, min(highs, default=low + width), step
    high = min(highs, default=None)
    if high is None or high > 0:
        return Fraction(0), width if high is None else high, step
    return high - width, high, step


def _all_bounds(schema: dict[str, Any], *keywords: str) -> list[Fraction]:
    return [b for keyword in keywords if (b := _bound(schema, keyword)) is not None]


def _bound(schema: dict[str, Any], keyword: str) -> Fraction | None:
    """A bound, exactly as JSON has it: 0.1 is one tenth."""
    value = schema.get(keyword)
    if value is None or not -_LARGEST <= value <= _LARGEST:
        return None
    return Fraction(value) if isinstance(value, int) else Fraction(Decimal(repr(value)))
