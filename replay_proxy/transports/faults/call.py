"""A fault with its arguments, as a script writes it: ``rate_limit(retry_after=2)``. Pure."""

import difflib
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from replay_proxy.transports.faults.replacements import ErrorStatus
from replay_proxy.transports.faults.table import FAULTS, Fault

#: The largest number in a script, whatever its unit: 30 years in seconds.
_LARGEST = 1e9
_CALL = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ARGUMENT = re.compile(rf"\s*(?:(\w+)\s*=)?((?:[^,\"]|{_QUOTED})*)(?:,|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FaultCall:
    """A fault of the table, its name, and the arguments for its function."""

    name: str
    fault: Fault
    arguments: Mapping[str, Any]


def read_call(text: str) -> FaultCall:
    """Read a call. Raises ``ValueError`` with the mistake and the possible names."""
    call = _CALL.fullmatch(text)
    if not call or call[1] not in FAULTS:
        name = call[1] if call else text
        near = difflib.get_close_matches(name, FAULTS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FAULTS)}"
        raise ValueError(f"{name!r} is not a fault: {hint}")
    fault = FAULTS[call[1]]
    known = parameters(fault)
    order = list(known)
    arguments: dict[str, Any] = {}
    for number, (name, value) in enumerate(_arguments(call[2] or "")):
        name = name or (order[number] if number < len(order) else "")
        if name not in known:
            hint = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ValueError(f"{call[1]} has no argument {name or value!r}: {hint}")
        if name in arguments:
            raise ValueError(f"{call[1]} is given {name} twice")
        try:
            arguments[name] = _READ[known[name].annotation](value)
        except ValueError as error:
            raise ValueError(f"{call[1]}: {name}={value} is not valid: {error}") from None
    missing = [
        name for name, one in known.items() if one.default is one.empty and name not in arguments
    ]
    if missing:
        raise ValueError(f"{call[1]} needs the argument {missing[0]}")
    return FaultCall(call[1], fault, arguments)


def parameters(fault: Fault) -> dict[str, inspect.Parameter]:
    """The parameters that a script can set: all but the positional ones of its function."""
    every = inspect.signature(fault.function).parameters
    return {name: one for name, one in every.items() if one.kind is not one.POSITIONAL_ONLY}


def unquoted(value: str) -> str:
    r"""A value without its quotes; within them ``\"`` stands for a quote."""
    return re.sub(_QUOTED, lambda quoted: re.sub(r"\\(.)", r"\1", quoted[0][1:-1]), value)


def _arguments(text: str) -> list[tuple[str, str]]:
    """Each argument's name, or "", and its value as written."""
    if not text.strip():
        return []
    arguments = []
    at = 0
    while at < len(text) or text.endswith(",", 0, at):
        match = _ARGUMENT.match(text, at)
        if not match or not match[2].strip():
            raise ValueError(f"the arguments ({text}) cannot be read at {text[at:]!r}")
        arguments.append((match[1] or "", match[2].strip()))
        at = match.end()
    return arguments


def _count(written: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", written):
        raise ValueError("it has to be a whole number")
    return int(written)


def _number(written: str) -> float:
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not (written.isascii() and 0 <= value <= _LARGEST):
        raise ValueError(f"it has to be a number from 0 to {_LARGEST:g}")
    return value


def _text(written: str) -> str:
    """A text that can be sent in a header and in JSON."""
    text = unquoted(written)
    if not text.isprintable():  # Half a surrogate pair is not.
        raise ValueError("it has characters that cannot be printed")
    return text


def _error_status(written: str) -> int:
    if not re.fullmatch(r"[45][0-9]{2}", written):
        raise ValueError("it has to be a status from 400 to 599")
    return int(written)


_READ: dict[Any, Callable[[str], Any]] = {
    int: _count,
    int | None: _count,
    float: _number,
    str: _text,
    ErrorStatus: _error_status,
}
