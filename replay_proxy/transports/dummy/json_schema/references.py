"""A JSON Schema taken apart: references followed, schemas joined, and how deep a value must be.

Each schema that is looked at costs a step, and so do references: a few of them can stand for a
schema of any size.

In here: schemas in, schemas and numbers out. Not in here: values (``json_schema``).
"""

import re
from typing import Any
from urllib.parse import unquote

from replay_proxy.transports.dummy.budget import Budget

Schema = dict[str, Any]

#: No value, and no schema, is nested deeper.
LEVELS = 150
#: The height of a schema that no finite value fits.
INFINITE = 1_000_000
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
#: What a keyword has to be; one that is something else says nothing.
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


#: The steps that a schema costs each time that it is looked at.
_SCHEMA = 5
#: Keywords that have more in them that is looked at each time.
_LISTS = ("properties", "required", "type")
#: So many keywords, names or values are looked at in a step.
_PER_STEP = 20
_INDEX = re.compile("[0-9]{1,9}")


def sound(schema: object) -> Schema:
    """The keywords of a schema that are what they have to be; {} for what is no schema."""
    if not isinstance(schema, dict):
        return {}
    found: Schema = {}
    for keyword, value in schema.items():
        kind = _KINDS.get(keyword, object)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind == (int, float)):
            continue
        if keyword == "type":
            found[keyword] = [each for each in TYPES if value == each or each in _list(value)]
        elif keyword == "required":
            found[keyword] = [name for name in _list(value) if isinstance(name, str)]
        else:
            found[keyword] = value
    return found


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


class References:
    """The references within one schema."""

    def __init__(self, root: object, budget: Budget) -> None:
        self._root = root
        self._budget = budget
        self._depth = 0
        self._heights = dict.fromkeys(_references(root, budget), INFINITE)
        self._measure()

    def sound(self, schema: object) -> Schema:
        """``sound``, paid for."""
        found = sound(schema)
        looked_at = len(found)
        for keyword in _LISTS:
            if keyword in found:
                written = schema[keyword]  # type: ignore[index]
                looked_at += len(written) if isinstance(written, list | dict) else 1
        self._budget.step(_SCHEMA + looked_at // _PER_STEP)
        return found

    def resolved(self, schema: object) -> Schema:
        """A schema of finite height without ``$ref`` and ``allOf`` at its top.

        Its ``type`` is a list. Raises ``BudgetSpent``, also for references that lead to themselves.
        """
        found = self.sound(schema)
        parts = found.pop("allOf", [])
        if (reference := found.pop("$ref", None)) is not None:
            parts = [self._target(reference), *parts]
        if parts:
            self._depth += 1
            self._budget.nest(self._depth)
            for part in parts:
                found = self.joined(found, part)
            self._depth -= 1
        return found

    def joined(self, one: Schema, other: object) -> Schema:
        """A schema for what fits both, as far as that can be said with simple means."""
        one, other = self.resolved(one), self.resolved(other)
        found = {**one, **other}
        for keyword in one.keys() & other.keys():
            left, right = one[keyword], other[keyword]
            match keyword:
                case "properties":
                    both = {n: {"allOf": [left[n], right[n]]} for n in left if n in right}
                    found[keyword] = {**left, **right, **both}
                case "required":
                    found[keyword] = list(dict.fromkeys([*left, *right]))
                case "enum":
                    self._budget.step(len(left) * len(right) // _PER_STEP)
                    found[keyword] = [value for value in left if value in right]
                case "type":
                    found[keyword] = _common(left, right)
                case "additionalProperties" if left is False:
                    found[keyword] = False
                case "minimum" | "exclusiveMinimum" | "minLength" | "minItems":
                    found[keyword] = max(left, right)
                case "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems":
                    found[keyword] = min(left, right)
                case "anyOf" | "oneOf":
                    # Both unions have to be met: one of the pairs.
                    self._budget.step(len(left) * len(right))
                    found[keyword] = [{"allOf": [a, b]} for a in left for b in right]
        return found

    def height(self, schema: object, depth: int = 0) -> int:
        """How many objects and arrays the flattest value has around its innermost one."""
        if schema is False:
            return INFINITE
        self._budget.nest(depth, LEVELS)
        depth += 1
        found = self.sound(schema)
        if "const" in found or "enum" in found:
            return 0
        heights = [0, *(self.height(each, depth) for each in found.get("allOf", []))]
        if "$ref" in found:
            heights.append(self._heights.get(found["$ref"], INFINITE))
        unions = [found.get("anyOf"), found.get("oneOf")]
        heights += [min(self.height(each, depth) for each in union) for union in unions if union]
        if set(found.get("type", ())) - {"array", "object"}:
            return max(heights)
        properties = found.get("properties", {})
        needed = [properties[name] for name in found.get("required", ()) if name in properties]
        first = found.get("prefixItems", [])
        needed += first
        if found.get("minItems", 0) > len(first):
            needed.append(found.get("items", {}))
        heights += [1 + self.height(inner, depth) for inner in needed]
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
            # A chain that is written from its end to its beginning takes two rounds like others.
            references.reverse()

    def _target(self, reference: str) -> object:
        """What a reference within the schema points to; {} for one that leads nowhere."""
        self._budget.step(1 + len(reference) // _PER_STEP)
        if not reference.startswith("#"):
            return {}
        found: Any = self._root
        for step in reference[1:].split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and _INDEX.fullmatch(name) and int(name) < len(found):
                found = found[int(name)]
            else:
                return {}
        return found


def _common(left: list[str], right: list[str]) -> list[str]:
    """The types that two schemas have in common; an integer is a number."""
    common = [kind for kind in left if kind in right]
    if not common and {*left, *right} >= {"integer", "number"}:
        return ["integer"]
    return common


def _references(schema: object, budget: Budget) -> dict[str, None]:
    """Every reference anywhere in a schema, in an order that is the same in each process."""
    found: dict[str, None] = {}
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                found[reference] = None
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        else:
            continue
        budget.step(1 + len(value) // _PER_STEP)
    return found
