"""Values that fit a JSON Schema, drawn at random.

In here: which branch, how many items, which properties. Not in here: strings (``strings``),
numbers (``numbers``), following references and intersecting schemas (``references``).

All that OpenAI's structured outputs allow is supported exactly, recursive schemas included
(https://platform.openai.com/docs/guides/structured-outputs); of the rest of JSON Schema, the common
parts. A schema that no value fits, or that is not a schema, still gets a value: the answer tests an
application, not the schema.
"""

import json
from random import Random
from typing import Any

from replay_proxy.transports.dummy.json_schema.numbers import random_integer, random_number
from replay_proxy.transports.dummy.json_schema.references import (
    INFINITE,
    LEVELS,
    References,
    Schema,
)
from replay_proxy.transports.dummy.json_schema.strings import random_string
from replay_proxy.transports.dummy.sayings.lorem import phrase
from replay_proxy.transports.dummy.work_budget import WorkBudget

#: Below this depth, and after this many values, only required values are drawn: drawing has to end.
_DEPTH, _VALUES = 6, 200
#: Once this few values are left, the rest is null: a small schema can ask for any size.
_BOTTOM = -20_000
#: The largest size of an array, and of an object.
_MOST = 100_000
#: Steps per value, and characters of JSON around it.
_STEPS, _FRAME = 5, 4
#: Characters or values that one step looks at.
_PER_STEP = 20
_NULLS = ("null", {"type": "null"})
#: Keywords that imply the type of a schema without ``type``.
_HINTS = (
    ("object", ("properties", "required", "additionalProperties", "patternProperties")),
    ("array", ("items", "prefixItems", "minItems", "maxItems", "contains")),
    ("string", ("pattern", "format", "minLength", "maxLength")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)


def random_value(schema: object, chance: Random, budget: WorkBudget | None = None) -> Any:
    """A value that fits the schema. Raises ``BudgetSpent``."""
    return _Drawing(schema, chance, budget or WorkBudget()).value(schema, 0)


class _Drawing:
    """One value being drawn."""

    def __init__(self, root: object, chance: Random, budget: WorkBudget) -> None:
        self._references = References(root, budget)
        self._chance = chance
        self._budget = budget
        self._left = _VALUES
        self._sizes: dict[int, int] = {}

    def value(self, schema: object, depth: int) -> Any:
        self._left -= 1
        self._budget.step(_STEPS)
        self._budget.write(_FRAME)
        if self._left < _BOTTOM or self._references.height(schema) >= INFINITE:
            return None
        self._budget.nest(depth, LEVELS)
        short = depth > _DEPTH or self._left < 0
        flat = self._without_unions(self._references.flat_schema(schema), short)
        if "const" in flat:
            return self._quoted(flat["const"])
        if flat.get("enum"):
            return self._quoted(self._chance.choice(flat["enum"]))
        match self._type(flat, short):
            case "null":
                return None
            case "boolean":
                return self._chance.random() < 0.5
            case "integer":
                return random_integer(flat, self._chance)
            case "number":
                return random_number(flat, self._chance)
            case "array":
                return self._array(flat, depth, short)
            case "object":
                return self._object(flat, depth, short)
            case _:
                text = random_string(flat, self._chance, self._budget)
                self._budget.write(len(text))
                return text

    def _quoted(self, value: Any) -> Any:
        """A value from the schema, paid for by its size each time."""
        size = self._sizes.get(id(value))
        if size is None:  # The value lives as long as the schema, so its id stays valid.
            size = self._sizes[id(value)] = _size_of(value)
            self._budget.step(size // _PER_STEP)
        self._budget.write(size)
        return value

    def _without_unions(self, schema: Schema, short: bool, unions: int = 0) -> Schema:
        """A schema without unions: one branch of each is intersected with the other keywords."""
        for keyword in ("anyOf", "oneOf"):
            branches = schema.get(keyword)
            if not branches:
                continue
            self._budget.nest(unions)
            rest = {name: value for name, value in schema.items() if name != keyword}
            heights = [self._references.height(branch) for branch in branches]
            limit = min(heights) if short else INFINITE - 1
            possible = [b for b, height in zip(branches, heights, strict=True) if height <= limit]
            schema_without = self._references.intersection(rest, self._rarely_null(possible, short))
            return self._without_unions(schema_without, short, unions + 1)
        return schema

    def _rarely_null(self, branches: list[Any], short: bool) -> Any:
        """One branch. Null tests little, and is drawn in one of four cases, or to end a chain."""
        self._budget.step(len(branches) // _PER_STEP)
        nulls = [branch for branch in branches if branch in _NULLS]
        others = [branch for branch in branches if branch not in _NULLS]
        if nulls and others:
            return (
                nulls[0] if short or self._chance.random() < 0.25 else self._chance.choice(others)
            )
        return self._chance.choice(branches)

    def _type(self, schema: Schema, short: bool) -> str:
        if schema.get("type"):
            return str(self._rarely_null(schema["type"], short))
        for kind, keywords in _HINTS:
            if any(keyword in schema for keyword in keywords):
                return kind
        return "string"

    def _array(self, schema: Schema, depth: int, short: bool) -> list[Any]:
        first, items = schema.get("prefixItems", []), schema.get("items", {})
        least, most = _size(schema, "minItems"), _size(schema, "maxItems")
        contained = schema.get("contains")
        low = max(least or 0, len(first), 1 if contained is not None else 0)
        if not short and self._references.height(items) < INFINITE:
            # An empty list would not test an application.
            low = max(low, 1) + self._chance.randint(0, 2)
        length = low if most is None else min(low, most)
        schemas = [*first, *([items] * max(0, length - len(first)))][:length]
        if contained is not None and schemas:
            schemas[-1] = contained
        values: list[Any] = []
        for item_schema in schemas:
            value = self.value(item_schema, depth + 1)
            if schema.get("uniqueItems") is True:
                for _ in range(50):
                    self._budget.step(len(values) // _PER_STEP)
                    if value not in values:
                        break
                    value = self.value(item_schema, depth + 1)
                else:
                    continue
            values.append(value)
        return values

    def _object(self, schema: Schema, depth: int, short: bool) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = dict.fromkeys(schema.get("required", []))
        others = schema.get("additionalProperties", {})
        drawn: dict[str, Any] = {}
        for name, inner in properties.items():
            if name not in required and (
                short or inner is False or self._references.height(inner) >= INFINITE
            ):
                continue
            self._budget.write(len(name))
            drawn[name] = self.value(inner, depth + 1)
        for name in required:
            if name not in drawn:
                self._budget.write(len(name))
                drawn[name] = self.value(others, depth + 1)
        least = _size(schema, "minProperties") or 0
        # A map of names to values, such as dict[str, int], gets at least one.
        if not properties and isinstance(schema.get("additionalProperties"), dict) and not short:
            least = max(least, 1)
        most = _size(schema, "maxProperties")
        while len(drawn) < least and others is not False and (most is None or len(drawn) < most):
            drawn[f"{phrase(self._chance)} {len(drawn) + 1}"] = self.value(others, depth + 1)
        if most is not None:
            for name in [name for name in drawn if name not in required][most - len(required) :]:
                del drawn[name]
        return drawn


def _size_of(value: Any) -> int:
    """The size of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False))


def _size(schema: Schema, keyword: str) -> int | None:
    size = schema.get(keyword)
    return None if size is None else int(max(0, min(size, _MOST)))
