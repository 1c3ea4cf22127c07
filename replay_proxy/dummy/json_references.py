"""A JSON Schema taken apart: references followed, schemas joined, and how deep a value must be.

In here: schemas in, schemas and numbers out. Not in here: values (``json_schema``).
"""

from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]

#: The height of a schema that no finite value fits.
INFINITE = 1_000_000
#: References to references, allOf within allOf: a schema that goes on longer goes in circles.
_STEPS = 50


class References:
    """The references within one schema."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._heights: dict[str, int] | None = None

    def resolved(self, schema: object, steps: int = 0) -> Schema:
        """A schema without ``$ref`` and ``allOf`` at its top; {} for what is none."""
        if not isinstance(schema, dict) or steps > _STEPS:
            return {}
        if isinstance(reference := schema.get("$ref"), str):
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            target = self.resolved(self._target(reference), steps + 1)
            return self.joined(rest, target, steps + 1) if rest else target
        if isinstance(parts := schema.get("allOf"), list):
            found = {name: value for name, value in schema.items() if name != "allOf"}
            for part in parts:
                found = self.joined(found, part, steps + 1)
            return found
        return schema

    def joined(self, one: Schema, other: object, steps: int = 0) -> Schema:
        """A schema for what fits both, as far as that can be said with simple means."""
        one, other = self.resolved(one, steps + 1), self.resolved(other, steps + 1)
        found = {**one, **other}
        for keyword in one.keys() & other.keys():
            left, right = one[keyword], other[keyword]
            match keyword, left, right:
                case "properties", dict(), dict():
                    both = {n: {"allOf": [left[n], right[n]]} for n in left if n in right}
                    found[keyword] = {**left, **right, **both}
                case "required", list(), list():
                    found[keyword] = [*left, *(name for name in right if name not in left)]
                case "enum", list(), list():
                    found[keyword] = [value for value in left if value in right]
                case "type", _, _:
                    found[keyword] = _common(left, right)
                case "additionalProperties", False, _:
                    found[keyword] = False
                case (("minimum" | "exclusiveMinimum" | "minLength" | "minItems"), _, _):
                    found[keyword] = max(left, right)
                case (("maximum" | "exclusiveMaximum" | "maxLength" | "maxItems"), _, _):
                    found[keyword] = min(left, right)
                case (("anyOf" | "oneOf"), list(), list()):
                    # Both unions have to be met: one of the pairs.
                    found[keyword] = [{"allOf": [a, b]} for a in left for b in right]
        return found

    def height(self, schema: object) -> int:
        """How many objects and arrays the flattest value has around its innermost one."""
        if self._heights is None:
            self._heights = {}
            self._measure(schema)
        missing = [ref for ref in _references(schema) if ref not in self._heights]
        if missing:
            self._measure(schema)
        return self._height(schema)

    def _measure(self, schema: object) -> None:
        """Find the heights of all references, from INFINITE down until nothing changes."""
        assert self._heights is not None
        waiting = list(_references(schema))
        while waiting:
            reference = waiting.pop()
            if reference not in self._heights:
                self._heights[reference] = INFINITE
                waiting += _references(self._target(reference))
        changed = True
        while changed:
            changed = False
            for reference, known in self._heights.items():
                height = self._height(self._target(reference))
                if height < known:
                    self._heights[reference] = height
                    changed = True

    def _height(self, schema: object) -> int:
        assert self._heights is not None
        if not isinstance(schema, dict):
            return INFINITE if schema is False else 0
        if "const" in schema or "enum" in schema:
            return 0
        heights = [0]
        if isinstance(reference := schema.get("$ref"), str):
            heights.append(self._heights.get(reference, INFINITE))
        heights += map(self._height, _listed(schema, "allOf"))
        unions = [_listed(schema, keyword) for keyword in ("anyOf", "oneOf")]
        heights += [min(map(self._height, branches)) for branches in unions if branches]
        kinds = schema.get("type")
        if isinstance(kinds, list) and set(kinds) - {"array", "object"}:
            return max(heights)
        inner = [0]
        properties, required = schema.get("properties"), schema.get("required")
        if isinstance(properties, dict) and isinstance(required, list):
            inner += [1 + self._height(properties.get(name, {})) for name in required
                      if isinstance(name, str)]  # fmt: skip
        least = schema.get("minItems")
        if isinstance(least, int) and least > 0:
            inner.append(1 + self._height(schema.get("items", {})))
        return min(INFINITE, max(*heights, *inner))

    def _target(self, reference: str) -> object:
        """What a reference within the schema points to; {} for one that leads nowhere."""
        if not reference.startswith("#"):
            return {}
        found: Any = self._root
        for step in reference[1:].split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            else:
                return {}
        return found


def _common(left: Any, right: Any) -> Any:
    """The types that two schemas have in common; an integer is a number."""
    lefts = left if isinstance(left, list) else [left]
    rights = right if isinstance(right, list) else [right]
    common = [kind for kind in lefts if kind in rights]
    if not common and {*lefts, *rights} >= {"integer", "number"}:
        common = ["integer"]
    return common[0] if len(common) == 1 else common or right


def _listed(schema: Schema, keyword: str) -> list[Any]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []


def _references(schema: object) -> set[str]:
    """Every reference anywhere in a schema."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                found.add(reference)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found
