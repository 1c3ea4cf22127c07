"""A JSON Schema taken apart: references followed, schemas joined, and how deep a value must be.

In here: schemas in, schemas and numbers out. Not in here: values (``json_schema``).
"""

from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]

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

    def __init__(self, root: object) -> None:
        self._root = root
        self._heights = dict.fromkeys(_references(root), INFINITE)
        self._measure()

    def resolved(self, schema: object) -> Schema:
        """A schema of finite height without ``$ref`` and ``allOf`` at its top.

        Its ``type`` is a list.
        """
        found = sound(schema)
        parts = found.pop("allOf", [])
        if (reference := found.pop("$ref", None)) is not None:
            parts = [self._target(reference), *parts]
        for part in parts:
            found = self.joined(found, part)
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
                    found[keyword] = [*left, *(name for name in right if name not in left)]
                case "enum":
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
                    found[keyword] = [{"allOf": [a, b]} for a in left for b in right]
        return found

    def height(self, schema: object) -> int:
        """How many objects and arrays the flattest value has around its innermost one."""
        if schema is False:
            return INFINITE
        found = sound(schema)
        if "const" in found or "enum" in found:
            return 0
        heights = [0, *map(self.height, found.get("allOf", []))]
        if "$ref" in found:
            heights.append(self._heights[found["$ref"]])
        unions = [found.get("anyOf"), found.get("oneOf")]
        heights += [min(map(self.height, branches)) for branches in unions if branches]
        if set(found.get("type", ())) - {"array", "object"}:
            return max(heights)
        properties = found.get("properties", {})
        needed = [properties[name] for name in found.get("required", ()) if name in properties]
        first = found.get("prefixItems", [])
        needed += first
        if found.get("minItems", 0) > len(first):
            needed.append(found.get("items", {}))
        heights += [1 + self.height(inner) for inner in needed]
        return min(INFINITE, max(heights))

    def _measure(self) -> None:
        """Find the heights of all references, from INFINITE down until nothing changes."""
        changed = True
        while changed:
            changed = False
            for reference, known in self._heights.items():
                height = self.height(self._target(reference))
                if height < known:
                    self._heights[reference] = height
                    changed = True

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


def _common(left: list[str], right: list[str]) -> list[str]:
    """The types that two schemas have in common; an integer is a number."""
    common = [kind for kind in left if kind in right]
    if not common and {*left, *right} >= {"integer", "number"}:
        return ["integer"]
    return common


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
