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

#: The largest number in a script, in whatever unit: 30 years in seconds.
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
    found = _CALL.fullmatch(text)
    if not found or found[1] not in FAULTS:
        name = found[1] if found else text
        near = difflib.get_close_matches(name, FAULTS, n=1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(FAULTS)}"
        raise ValueError(f"{name!r} is not a fault: {meant}")
    fault = FAULTS[found[1]]
    known = parameters(fault)
    order = list(known)
    arguments: dict[str, Any] = {}
    for number, (name, written) in enumerate(_arguments(found[2] or "")):
        name = name or (order[number] if number < len(order) else "")
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ValueError(f"{found[1]} has no argument {name or written!r}: {takes}")
        if name in arguments:
            raise ValueError(f"{found[1]} is given {name} twice")
        try:
            arguments[name] = _READ[known[name].annotation](written)
        except ValueError as error:
            raise ValueError(f"{found[1]}: {name}={written} is not valid: {error}") from None
    missing = [
        name for name, one in known.items() if one.default is one.empty and name not in arguments
    ]
    if missing:
        raise ValueError(f"{found[1]} needs the argument {missing[0]}")
    return FaultCall(found[1], fault, arguments)


def parameters(fault: Fault) -> dict[str, inspect.Parameter]:
    """The parameters that a script can set: all but the positional ones of its function."""
    known = inspect.signature(fault.function).parameters
    return {name: one for name, one in known.items() if one.kind is not one.POSITIONAL_ONLY}


def unquoted(written: str) -> str:
    r"""A value without its quotes; within them ``\"`` stands for a quote."""
    return re.sub(_QUOTED, lambda found: re.sub(r"\\(.)", r"\1", found[0][1:-1]), written)


def _arguments(text: str) -> list[tuple[str, str]]:
    """Each argument's name, if it has one, and its value as it is written."""
    if not text.strip():
        return []
    found = []
    at = 0
    while at < len(text) or text.endswith(",", 0, at):
        match = _ARGUMENT.match(text, at)
        if not match or not match[2].strip():
            raise ValueError(f"the arguments ({text}) cannot be read at {text[at:]!r}")
        found.append((match[1] or "", match[2].strip()))
        at = match.end()
    return found


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
        raise ValueError(f"it has to be a number that is not negative, and at most {_LARGEST:g}")
    return value


def _text(written: str) -> str:
    """A text that can be sent in a header and in JSON."""
    text = unquoted(written)
    if not text.isprintable():  # Nor can half a surrogate pair.
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
