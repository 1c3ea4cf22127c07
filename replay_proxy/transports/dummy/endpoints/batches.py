"""Inputs that come alone or in batches, as text or as tokens.

In here: from a field of a request to a list of texts with their numbers of tokens. Not in here:
the answers to them.
"""

from dataclasses import dataclass

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy.sayings.units import unit_count

#: Maximum number of inputs that the API accepts at once.
_MOST = 2048


@dataclass(frozen=True, slots=True)
class InputText:
    """One input. Tokens, which the dummy cannot decode, are written as their numbers."""

    text: str
    tokens: int


def batch(value: object, param: str, unit: str) -> list[InputText]:
    """The inputs in a request. Raises ``InvalidRequest`` for anything else."""
    match value:
        case str():
            return [InputText(value, unit_count(value, unit))]
        case []:
            raise InvalidRequest(
                f"Invalid '{param}': empty array. "
                "Expected an array with minimum length 1, but got an empty array instead.",
                param=param,
                code="empty_array",
            )
        case [*items] if all(map(_is_token, items)):
            return [_of_tokens(items)]
        case [*items] if len(items) <= _MOST:
            return [_one(item, f"{param}[{at}]", unit) for at, item in enumerate(items)]
        case [*items]:
            raise InvalidRequest(
                f"Invalid '{param}': array too long. Expected an array with maximum length "
                f"{_MOST}, but got an array with length {len(items)} instead.",
                param=param,
                code="array_above_max_length",
            )
        case _:
            raise _wrong_type(param)


def _one(item: object, param: str, unit: str) -> InputText:
    if isinstance(item, str):
        return InputText(item, unit_count(item, unit))
    if isinstance(item, list) and item and all(map(_is_token, item)):
        return _of_tokens(item)
    raise _wrong_type(param)


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _of_tokens(tokens: list[object]) -> InputText:
    return InputText(" ".join(map(str, tokens)), len(tokens))


def _wrong_type(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid type for '{param}': expected a string, an array of strings, an array of tokens, "
        "or an array of arrays of tokens.",
        param=param,
        code="invalid_type",
    )
