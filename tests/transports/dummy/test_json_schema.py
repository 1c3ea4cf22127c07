"""JSON by schema: every value fits, and drawing it ends."""

import re
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from replay_proxy.transports.dummy.json_schema.patterns import random_match
from replay_proxy.transports.dummy.json_schema.references import _KINDS
from replay_proxy.transports.dummy.json_schema.values import random_value
from replay_proxy.transports.dummy.work_budget import BudgetSpent

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "number"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["value", "next"],
    "additionalProperties": False,
}


def in_object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


FORMATS_OF_THE_GUIDE = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
]
#: The examples in the guide to structured outputs, and the keywords in its list.
OF_THE_GUIDE: dict[str, Any] = {
    "event": in_object(
        name={"type": "string"},
        date={"type": "string"},
        participants={"type": "array", "items": {"type": "string"}},
    ),
    "steps": in_object(
        steps={
            "type": "array",
            "items": in_object(explanation={"type": "string"}, output={"type": "string"}),
        },
        final_answer={"type": "string"},
    ),
    "enum": in_object(unit={"type": "string", "enum": ["F", "C"]}, one={"enum": [1, None, "a"]}),
    "const": in_object(kind={"type": "string", "const": "cat"}, nothing={"const": None}),
    "nullable": in_object(unit={"type": ["string", "null"], "enum": ["F", "C", None]}),
    "type list": in_object(value={"type": ["integer", "boolean", "null"]}),
    "any of": in_object(
        item={
            "anyOf": [
                in_object(name={"type": "string"}, age={"type": "number"}),
                in_object(number={"type": "string"}, street={"type": "string"}),
            ]
        }
    ),
    "definitions": {
        **in_object(
            steps={"type": "array", "items": {"$ref": "#/$defs/step"}},
            final={"$ref": "#/$defs/step"},
        ),
        "$defs": {"step": in_object(output={"type": "string"})},
    },
    "old definitions": {
        **in_object(a={"$ref": "#/definitions/x~1y%20z"}),
        "definitions": {"x/y z": {"type": "integer"}},
    },
    "linked list": {**in_object(linked_list={"$ref": "#/$defs/node"}), "$defs": {"node": NODE}},
    "user interface": in_object(
        type={"type": "string", "enum": ["div", "button"]},
        label={"type": "string"},
        children={"type": "array", "items": {"$ref": "#"}},
        attributes={
            "type": "array",
            "items": in_object(name={"type": "string"}, value={"type": "string"}),
        },
    ),
    "tree": {
        "$ref": "#/$defs/tree",
        "$defs": {
            "tree": in_object(
                left={"anyOf": [{"type": "null"}, {"$ref": "#/$defs/tree"}]},
                right={"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
            )
        },
    },
    "mutual": {
        **in_object(expression={"$ref": "#/$defs/expression"}),
        "$defs": {
            "expression": {
                "anyOf": [
                    {"$ref": "#/$defs/sum"},
                    in_object(literal={"type": "integer"}),
                ]
            },
            "sum": in_object(
                terms={
                    "type": "array",
                    "items": {"$ref": "#/$defs/expression"},
                    "minItems": 2,
                }
            ),
        },
    },
    "array bounds": in_object(
        some={"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 4},
        none={"type": "array", "items": {"type": "integer"}, "maxItems": 0},
        exactly={"type": "array", "items": {"type": "boolean"}, "minItems": 5, "maxItems": 5},
    ),
    "number bounds": in_object(
        temperature={"type": "number", "minimum": -130, "maximum": 130},
        exclusive={"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2},
        share={"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.0001},
        multiple={"type": "number", "multipleOf": 0.25, "minimum": 1.3, "maximum": 1.6},
        step={"type": "integer", "multipleOf": 7, "minimum": 100},
        below={"type": "integer", "maximum": -1000},
        large={"type": "integer", "minimum": 10**30},
        point={"type": "number", "minimum": 0.1, "maximum": 0.1},
    ),
    "patterns": in_object(
        username={"type": "string", "pattern": "^@[a-zA-Z0-9_]+$"},
        phone={"type": "string", "pattern": r"^(\([0-9]{3}\))?[0-9]{3}-[0-9]{4}$"},
        code={"type": "string", "pattern": r"^(?:A|B|[^\W\d_]{2})\d{2,}\.x?$"},
        sized={"type": "string", "pattern": "^[a-z]+$", "minLength": 9, "maxLength": 12},
    ),
    "formats": in_object(
        **{
            form: {"type": "string", "format": form}
            for form in [*FORMATS_OF_THE_GUIDE, "uri", "regex", "unheard-of"]
        }
    ),
}
#: Keywords outside the guide, which schemas that are not strict have.
BEYOND: dict[str, Any] = {
    "anything": {},
    "true": True,
    "optional": {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"type": "null"}}},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    "required alone": {"type": "object", "required": ["a", "b"]},
    "all of": {
        "allOf": [
            {"properties": {"a": {"type": "integer", "minimum": 5}}, "required": ["a"]},
            {"properties": {"a": {"maximum": 5}, "b": {"const": 1}}, "required": ["b"]},
        ],
        "type": "object",
    },
    "beside": {
        "type": "object",
        "properties": {"id": {"type": "string"}},
        "required": ["id"],
        "oneOf": [
            {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "integer"}}, "required": ["b"],
             "additionalProperties": {"type": "string"}},
        ],
    },
    "tuple": {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "integer"}],
        "items": False,
        "minItems": 2,
    },
    "unique": {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
    "contains": {"type": "array", "items": {"type": "integer"}, "contains": {"const": 7}},
    "lengths": {"type": "string", "minLength": 50, "maxLength": 52},
    "properties counted": {"type": "object", "minProperties": 3, "maxProperties": 3},
    "no type": {"properties": {"a": {"minimum": 3}}, "required": ["a"]},
}  # fmt: skip
#: Schemas that no value fits, and values that are not schemas: they get an answer too.
HOPELESS: list[Any] = [
    False,
    None,
    7,
    [],
    {"type": "whatever"},
    {"$ref": "#"},
    {"$ref": "https://example.com/elsewhere.json"},
    {"$ref": "#/$defs/missing"},
    {"allOf": [{"$ref": "#"}]},
    {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    in_object(a={"$ref": "#"}, b={"$ref": "#"}),
    {"type": "array", "items": {"$ref": "#"}, "minItems": 3},
    {"type": "integer", "minimum": 5, "maximum": 3},
    {"type": "string", "pattern": "(unclosed["},
    {"type": "string", "pattern": r"^(?=a)b\1(?<!c)\p{L}*+$"},
    {"enum": []},
    {"type": "array", "minItems": 1e300, "items": {"type": "null"}},
    {"type": "string", "minLength": 10**30},
    {"required": 7, "properties": [], "type": "object"},
    {"minItems": "x", "items": 3, "maxItems": -1, "type": "array"},
    {"minimum": "x", "type": "number"},
    {"allOf": [{"minimum": 1}, {"minimum": "x"}]},
    {"required": [["a"]], "properties": {"b": {"type": ["a", {}]}}},
]


def _form(pattern: str) -> tuple[Callable[[Any], bool], tuple[()]]:
    return lambda value: not isinstance(value, str) or bool(re.fullmatch(pattern, value)), ()


#: Formats that the checker does not know without further packages.
FORMATS = copy(Draft202012Validator.FORMAT_CHECKER)
FORMATS.checkers = {
    **FORMATS.checkers,
    "time": _form(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ"),
    "date-time": _form(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\dZ"),
    "duration": _form(r"P\d+DT\d+H"),
    "hostname": _form(r"[a-z]+\.example\.com"),
    "uri": _form(r"https://[a-z./]+"),
}


def faults(value: Any, schema: Any) -> list[str]:
    checker = Draft202012Validator(schema, format_checker=FORMATS)
    return [error.message for error in checker.iter_errors(value)]


@pytest.mark.parametrize("schema", OF_THE_GUIDE.values(), ids=OF_THE_GUIDE)
def test_what_structured_outputs_allow_is_fitted(schema: Any) -> None:
    for seed in range(40):
        value = random_value(schema, Random(seed))
        assert not faults(value, schema), value


@pytest.mark.parametrize("schema", BEYOND.values(), ids=BEYOND)
def test_what_else_is_usual_is_fitted(schema: Any) -> None:
    for seed in range(40):
        value = random_value(schema, Random(seed))
        assert not faults(value, schema), value


@pytest.mark.parametrize("schema", HOPELESS, ids=str)
def test_what_nothing_fits_ends_too(schema: Any) -> None:
    random_value(schema, Random(0))


def test_a_schema_that_asks_for_an_endless_value_ends() -> None:
    names = [f"d{index}" for index in range(40)]
    defs: dict[str, Any] = {
        name: in_object(a={"$ref": f"#/$defs/{after}"}, b={"$ref": f"#/$defs/{after}"})
        for name, after in pairwise(names)
    }
    random_value({"$ref": "#/$defs/d0", "$defs": {**defs, "d39": {"type": "null"}}}, Random(0))


def test_the_same_chance_draws_the_same_value() -> None:
    schema = OF_THE_GUIDE["user interface"]

    assert random_value(schema, Random(1)) == random_value(schema, Random(1))
    assert random_value(schema, Random(1)) != random_value(schema, Random(2))


def test_a_recursive_value_has_some_depth_and_few_values() -> None:
    drawn = [str(random_value(OF_THE_GUIDE["tree"], Random(seed))) for seed in range(50)]

    assert max(text.count("left") for text in drawn) > 5
    assert max(map(len, drawn)) < 20_000


names = st.sampled_from(["a", "b", "next", "이름"])
leaves = st.one_of(
    st.just({"type": "null"}),
    st.just({"type": "boolean"}),
    st.tuples(st.integers(-50, 50), st.integers(0, 50)).map(
        lambda pair: {"type": "integer", "minimum": pair[0], "maximum": pair[0] + pair[1]}
    ),
    st.tuples(st.floats(-1e6, 1e6), st.floats(0.001, 1e6)).map(
        lambda pair: {"type": "number", "exclusiveMinimum": pair[0],
                      "exclusiveMaximum": pair[0] + pair[1]}
    ),
    st.just({"type": ["string", "null"]}),
    st.lists(st.integers() | st.text() | st.none(), min_size=1).map(lambda each: {"enum": each}),
    st.sampled_from(FORMATS_OF_THE_GUIDE).map(lambda form: {"type": "string", "format": form}),
    st.sampled_from([{"$ref": "#/$defs/node"}, {"$ref": "#/$defs/leaf"}]),
)  # fmt: skip
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.dictionaries(names, inner, max_size=3).map(lambda found: in_object(**found)),
        st.tuples(inner, st.integers(0, 3), st.integers(0, 2)).map(
            lambda three: {"type": "array", "items": three[0], "minItems": three[1],
                           "maxItems": three[1] + three[2]}
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"anyOf": found}),
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(schemas, st.integers(0, 1000))
def test_any_schema_that_is_allowed_is_fitted(schema: dict[str, Any], seed: int) -> None:
    whole = {**in_object(root=schema), "$defs": {"node": NODE, "leaf": {"type": "integer"}}}

    assert not faults(random_value(whole, Random(seed)), whole)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [*_KINDS, "type", "items", "const", "contains", "additionalProperties",
                     "uniqueItems", "object"]
                ),
                inner | st.sampled_from(["object", "array", "string", "#", "number"]),
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)  # fmt: skip
def test_any_json_in_the_place_of_a_schema_gets_a_value_unless_it_has_no_end(schema: Any) -> None:
    with suppress(BudgetSpent):  # A schema that refers to itself has no finite value.
        random_value(schema, Random(0))


@pytest.mark.parametrize(
    "pattern",
    [
        "", "abc", "^$", "a|b|", r"^\d{3}$", r"[^abc]", "[]]", r"[\]\\-]", "[a-]", "[a-fA-F0-9]{8}",
        r"^\w+([.-]\w+)*@\w+\.[a-z]{2,3}$", "(a(b(c|d))?)*", r"x{2}y{1,}z{0,2}", r"^.{5}\s\S\W\D$",
        "(?:ab)+?", r"(?P<name>a)", r"\x41\u0042\t\/", "가|나", r"^[가-힣]{2,4}$", "a{,3}", "{x}",
    ],
)  # fmt: skip
def test_a_pattern_is_matched(pattern: str) -> None:
    for seed in range(20):
        assert re.search(pattern, random_match(pattern, Random(seed), 3)), seed
