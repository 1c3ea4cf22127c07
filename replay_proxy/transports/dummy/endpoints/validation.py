"""Validation of requests, with OpenAI's error messages.

In here: from bytes to a typed request, and from an error of pydantic's to the API's message,
``param`` and ``code``. Not in here: which fields there are (``schemas``), the HTTP side of a
refusal (the app).

The messages are those of api.openai.com as clients report them, for instance in
https://github.com/continuedev/continue/issues/2461.
"""

import re
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from replay_proxy.errors import InvalidRequest

_Body = TypeVar("_Body", bound=BaseModel)

#: The API's message for a body that is not a JSON object.
NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was "
    "not valid JSON. If you have trouble figuring out how to fix this, please contact us through "
    "our help center at help.openai.com.)"
)

_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a decimal",
    "bool_type": "a boolean",
    "list_type": "an array of objects",
    "dict_type": "an object",
    "model_type": "an object",
}

_GOT = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def json_object(body: bytes) -> dict[str, object] | None:
    """The JSON object in a body; None for anything else.

    ``NaN``, a lone surrogate and more than some 200 levels of nesting are not JSON either.
    """
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError:
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def typed_body(schema: type[_Body], body: dict[str, object]) -> _Body:
    """The body as its schema types it. Raises ``InvalidRequest``, which names the first error."""
    try:
        return schema.model_validate(body)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False)[0]) from error


def missing_parameter(param: str) -> InvalidRequest:
    """The error for a request without a required field; ``param`` is the path to it."""
    return InvalidRequest(
        f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def _refusal(fault: ErrorDetails) -> InvalidRequest:
    """The API's error for a validation error of pydantic's."""
    param, value = _param(fault["loc"]), fault["input"]
    match fault["type"]:
        case "missing":
            return missing_parameter(param)
        case "wrong_type":
            return _wrong_type(param, value, fault["msg"])
        case kind if kind in _EXPECTED:
            return _wrong_type(param, value, _EXPECTED[kind])
        case "literal_error" if not isinstance(value, str):
            return _wrong_type(param, value, f"one of {_enumeration(_values(fault), 'or')}")
        case _:
            message, code = _out_of_bounds(fault, param)
            return InvalidRequest(message, param=param, code=code)


def _wrong_type(param: str, value: object, expected: str) -> InvalidRequest:
    got = _GOT.get(type(value), "an unsupported value")
    return InvalidRequest(
        f"Invalid type for '{param}': expected {expected}, but got {got} instead.",
        param=param,
        code="invalid_type",
    )


def _out_of_bounds(fault: ErrorDetails, param: str) -> tuple[str, str]:
    """The message and the code for a value of the right type that is not allowed."""
    value, bounds = fault["input"], fault.get("ctx", {})
    match fault["type"]:
        case "literal_error":
            values = _enumeration(_values(fault), "and")
            return f"Invalid value: '{value}'. Supported values are: {values}.", "invalid_value"
        case "greater_than_equal":
            kind, limit = _number(bounds["ge"])
            return (
                f"Invalid '{param}': {kind} below minimum value. "
                f"Expected a value >= {limit}, but got {value} instead."
            ), f"{kind}_below_min_value"
        case "less_than_equal":
            kind, limit = _number(bounds["le"])
            return (
                f"Invalid '{param}': {kind} above maximum value. "
                f"Expected a value <= {limit}, but got {value} instead."
            ), f"{kind}_above_max_value"
        case "too_short":
            return (
                f"Invalid '{param}': empty array. Expected an array with minimum length "
                f"{bounds['min_length']}, but got an empty array instead."
            ), "empty_array"
        case "too_long":
            return (
                f"Invalid '{param}': array too long. Expected an array with maximum length "
                f"{bounds['max_length']}, but got an array with length {len(value)} instead."
            ), "array_above_max_length"
        case _:
            return f"Invalid '{param}': {fault['msg']}.", "invalid_value"


def _values(fault: ErrorDetails) -> list[str]:
    """The values that a field may have, each in quotes."""
    return re.findall("'[^']*'", fault["ctx"]["expected"])


def _param(path: tuple[int | str, ...]) -> str:
    """The path to a value in OpenAI's spelling: ``messages[0].content``."""
    steps = (
        f"[{step}]" if isinstance(step, int) else f".{step}"
        for step in path
        # The tags of a union: see ``schemas``.
        if isinstance(step, int) or not step.startswith("<")
    )
    return "".join(steps).removeprefix(".")


def _number(bound: float) -> tuple[str, str]:
    """The kind of number, and its bound. The bound has the type of the field."""
    return ("decimal" if isinstance(bound, float) else "integer"), f"{bound:g}"


def _enumeration(values: list[str], conjunction: str) -> str:
    """The values as a list in words: ``'a', 'b', and 'c'``, or ``'a' and 'b'``."""
    if len(values) < 3:
        return f" {conjunction} ".join(values)
    return f"{', '.join(values[:-1])}, {conjunction} {values[-1]}"
