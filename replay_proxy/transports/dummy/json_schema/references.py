"""Parts of a JSON Schema: following references, intersecting schemas, the least depth of a value.

Each look at a schema costs steps, and so do references: a few of them can stand for a schema of
any size.

In here: schemas in, schemas and numbers out. Not in here: values (``values``).
"""

import re
from typing import Any
from urllib.parse import unquote

from replay_proxy.transports.dummy.work_budget import WorkBudget

Schema = dict[str, Any]

#: The deepest nesting of a value, and of a schema.
LEVELS = 150
#: The height of a schema that no finite value fits.
INFINITE = 1_000_000
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
#: The type of each keyword's value; a keyword with another type is ignored.
_KINDS: dict[str, type | tuple[type, ...]] = {
    "$ref": str,
    "format": str,
    "pattern": str,
    "properties": dict,
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems", "enum", "required"), list),
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength"), (int, float)),
    **dict.fromkeys(("minProperties", "maxProperties", "multipleOf"), (int, float)),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (int, float)),
}
#: Steps that each look at a schema costs.
_SCHEMA = 5
#: Keywords whose items are looked at each time.
_LISTS = ("properties", "required", "type")
#: Keywords, names or values that one step looks at.
_PER_STEP = 20
_INDEX = re.compile("[0-9]{1,9}")


def sound_keywords(schema: object) -> Schema:
    """The keywords of a schema whose values have the right type; {} for anything but a schema."""
    if not isinstance(schema, dict):
        return {}
    keywords: Schema = {}
    for keyword, value in schema.items():
        expected = _KINDS.get(keyword, object)
        is_flag = isinstance(value, bool) and expected == (int, float)
        if not isinstance(value, expected) or is_flag:
            continue
        if keyword == "type":
            keywords[keyword] = [kind for kind in TYPES if value == kind or kind in _list(value)]
        elif keyword == "required":
            keywords[keyword] = [name for name in _list(value) if isinstance(name, str)]
        else:
            keywords[keyword] = value
    return keywords


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


class References:
    """The references within one schema."""

    def __init__(self, root: object, budget: WorkBudget) -> None:
        self._root = root
        self._budget = budget
        self._depth = 0
        self._heights = dict.fromkeys(_references(root, budget), INFINITE)
        self._measure()

    def sound_keywords(self, schema: object) -> Schema:
        """``sound_keywords``, paid for."""
        keywords = sound_keywords(schema)
        looked_at = len(keywords)
        for keyword in _LISTS:
            if keyword in keywords:
                value = schema[keyword]  # type: ignore[index]
                looked_at += len(value) if isinstance(value, list | dict) else 1
        self._budget.step(_SCHEMA + looked_at // _PER_STEP)
        return keywords

    def flat_schema(self, schema: object) -> Schema:
        """A schema of finite height without ``$ref`` and ``allOf`` at its top.

        Its ``type`` is a list. Raises ``BudgetSpent``, also for references that lead to themselves.
        """
        flat = self.sound_keywords(schema)
        parts = flat.pop("allOf", [])
        if (reference := flat.pop("$ref", None)) is not None:
            parts = [self._target(reference), *parts]
        if parts:
            self._depth += 1
            self._budget.nest(self._depth)
            for part in parts:
                flat = self.intersection(flat, part)
            self._depth -= 1
        return flat

    def intersection(self, one: Schema, other: object) -> Schema:
        """A schema for the values that fit both, as far as simple means can express it."""
        one, other = self.flat_schema(one), self.flat_schema(other)
        common = {**one, **other}
        for keyword in one.keys() & other.keys():
            left, right = one[keyword], other[keyword]
            match keyword:
                case "properties":
                    both = {n: {"allOf": [left[n], right[n]]} for n in left if n in right}
                    common[keyword] = {**left, **right, **both}
                case "required":
                    common[keyword] = list(dict.fromkeys([*left, *right]))
                case "enum":
                    self._budget.step(len(left) * len(right) // _PER_STEP)
                    common[keyword] = [value for value in left if value in right]
                case "type":
                    common[keyword] = _common_types(left, right)
                case "additionalProperties" if left is False:
                    common[keyword] = False
                case "minimum" | "exclusiveMinimum" | "minLength" | "minItems":
                    common[keyword] = max(left, right)
                case "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems":
                    common[keyword] = min(left, right)
                case "anyOf" | "oneOf":
                    # A value has to fit both unions: one of the pairs.
                    self._budget.step(len(left) * len(right))
                    common[keyword] = [{"allOf": [a, b]} for a in left for b in right]
        return common

    def height(self, schema: object, depth: int = 0) -> int:
        """The number of objects and arrays around the innermost value of the flattest value."""
        if schema is False:
            return INFINITE
        self._budget.nest(depth, LEVELS)
        depth += 1
        keywords = self.sound_keywords(schema)
        if "const" in keywords or "enum" in keywords:
            return 0
        heights = [0, *(self.height(part, depth) for part in keywords.get("allOf", []))]
        if "$ref" in keywords:
            heights.append(self._heights.get(keywords["$ref"], INFINITE))
        unions = [keywords.get("anyOf"), keywords.get("oneOf")]
        heights += [min(self.height(part, depth) for part in union) for union in unions if union]
        if set(keywords.get("type", ())) - {"array", "object"}:
            return max(heights)
        properties = keywords.get("properties", {})
        required = [properties[name] for name in keywords.get("required", ()) if name in properties]
        first = keywords.get("prefixItems", [])
        required += first
        if keywords.get("minItems", 0) > len(first):
            required.append(keywords.get("items", {}))
        heights += [1 + self.height(inner, depth) for inner in required]
        return min(INFINITE, max(heights))

    def _measure(self) -> None:
        """Find the heights of all references, from INFINITE down until nothing changes."""
        references = list(self._heights)
        changed = True
        while changed:
            changed = False
            for reference in references:
                height = self.height(self._target(reference))
                if height < self._heights[reference]:
                    self._heights[reference] = height
                    changed = True
            # So a chain that is written from its end to its beginning takes two rounds, too.
            references.reverse()

    def _target(self, reference: str) -> object:
        """The target of a reference within the schema; {} if it has none."""
        self._budget.step(1 + len(reference) // _PER_STEP)
        if not reference.startswith("#"):
            return {}
        target: Any = self._root
        for step in reference[1:].split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict) and name in target:
                target = target[name]
            elif isinstance(target, list) and _INDEX.fullmatch(name) and int(name) < len(target):
                target = target[int(name)]
            else:
                return {}
        return target


def _common_types(left: list[str], right: list[str]) -> list[str]:
    """The types that two schemas have in common. An integer is a number."""
    common = [kind for kind in left if kind in right]
    if not common and {*left, *right} >= {"integer", "number"}:
        return ["integer"]
    return common


def _references(schema: object, budget: WorkBudget) -> dict[str, None]:
    """Every reference anywhere in a schema, in the same order in every process."""
    references: dict[str, None] = {}
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                references[reference] = None
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        else:
            continue
        budget.step(1 + len(value) // _PER_STEP)
    return references
