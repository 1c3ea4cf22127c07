"""JSONPaths (RFC 9535) to the parts of a body that a rule changes. Pure.

Not in here: what a rule does with these parts.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from replay_proxy.errors import ConfigurationError

#: Steps of the longest path; no JSON that a client sends is nested deeper.
MOST_STEPS = 200
#: Stands for a value that is left out.
LEFT_OUT: Any = type("LeftOut", (), {"__repr__": lambda _: "LEFT_OUT"})()
#: The step of a path that leads to everything in an object or an array: ``[*]``.
_ALL = object()

#: A function from a value to its replacement: ``LEFT_OUT`` to leave it out, or itself to keep it.
Change = Callable[[Any], Any]


def changer(path: str, setting: str) -> Callable[[Change, Any], Any]:
    """A function that changes what a path leads to, and returns the changed body.

    The body itself stays as it is: others read it too. An element of an array that is left out
    becomes null, so that the others keep their places; so does the whole body. Raises
    ``ConfigurationError``, which names the ``setting`` that has the path.
    """
    # Imported late: it loads as slowly as all other modules of matching, and is rarely needed.
    import jsonpath
    from jsonpath.exceptions import JSONPathError

    try:
        query = jsonpath.compile(path, strict=True)
        if len(getattr(query, "segments", ())) > MOST_STEPS:
            raise ValueError(f"it has more than {MOST_STEPS} steps")
    except (JSONPathError, ArithmeticError, RecursionError, ValueError) as error:
        # Not str(error): the library's errors cannot format every path.
        cause = next(iter(str(*error.args[:1]).splitlines()), type(error).__name__)
        raise ConfigurationError(
            f"{setting} has {path!r}, which is not a JSONPath: {cause}. Write it like "
            "$.user,$.messages[*].tool_call_id."
        ) from None
    steps = _plain_steps(query)
    return partial(_change_by_query, query) if steps is None else partial(_change_by_steps, steps)


def _plain_steps(query: Any) -> list[Any] | None:
    """The names, indexes and ``_ALL`` that make a path; None for a path with anything else."""
    from jsonpath.segments import JSONPathChildSegment
    from jsonpath.selectors import IndexSelector, NameSelector, WildcardSelector

    steps: list[Any] = []
    for segment in getattr(query, "segments", [None]):
        selectors = segment.selectors if type(segment) is JSONPathChildSegment else ()
        match selectors:
            case (NameSelector() as one,):
                steps.append(one.name)
            case (IndexSelector() as one,):
                steps.append(one.index)
            case (WildcardSelector(),):
                steps.append(_ALL)
            case _:
                return None
    return steps


def _change_by_steps(steps: Sequence[Any], change: Change, body: Any) -> Any:
    """The body, changed where plain steps lead: like ``_change_by_query``, five times as fast.

    The holders of a changed value are copied; everything else is shared with ``body``.
    """
    changed = _changed(steps, change, body)
    return None if changed is LEFT_OUT else changed


def _changed(steps: Sequence[Any], change: Change, value: Any) -> Any:
    if not steps:
        return change(value)
    step, *rest = steps
    keys: Iterable[Any] = ()
    if isinstance(value, dict):
        keys = list(value) if step is _ALL else [step] if step in value else ()
    elif isinstance(value, list) and not isinstance(step, str):
        places = range(len(value))
        keys = places if step is _ALL else places[step:][:1] if -len(value) <= step else ()
    copy: Any = None
    for key in keys:
        below = _changed(rest, change, value[key])
        if below is value[key]:
            continue
        copy = value.copy() if copy is None else copy
        _put(copy, key, below)
    return value if copy is None else copy


def _change_by_query(query: Any, change: Change, body: Any) -> Any:
    """The body, changed where a path leads; unchanged if it is too deep for the library."""
    from jsonpath.exceptions import JSONPathRecursionError

    try:
        nodes = list(query.finditer(body))
    except JSONPathRecursionError:
        return body
    copies: dict[int, Any] = {}
    for node in nodes:
        body = _with_change(body, node.parts, change, copies)
    return body


def _with_change(
    body: Any, parts: Sequence[str | int], change: Change, copies: dict[int, Any]
) -> Any:
    """The body with one value changed, unless that is already gone together with its holder.

    ``copies`` are the objects and arrays that were copied already, by their ``id``.
    """
    if not parts:
        changed = change(body)
        return None if changed is LEFT_OUT else changed
    holder = body
    try:
        for part in parts[:-1]:
            holder = holder[part]
        value = holder[parts[-1]]
    except (LookupError, TypeError):
        return body
    if not isinstance(holder, list | dict) or (changed := change(value)) is value:
        return body
    body = holder = _copy(body, copies)
    for part in parts[:-1]:
        holder[part] = below = _copy(holder[part], copies)
        holder = below
    _put(holder, parts[-1], changed)
    return body


def _put(holder: Any, key: Any, value: Any) -> None:
    """Set a member or an element, or leave it out."""
    if value is not LEFT_OUT:
        holder[key] = value
    elif isinstance(holder, list):
        holder[int(key)] = None
    else:
        del holder[key]


def _copy(value: Any, copies: dict[int, Any]) -> Any:
    """An object or array that may be changed."""
    if id(value) not in copies:
        value = value.copy()
        copies[id(value)] = value  # Kept, so that nothing else gets its id.
    return value
