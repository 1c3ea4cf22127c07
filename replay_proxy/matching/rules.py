"""The rule that says which requests are equal, and the key that it gives a request. Pure.

Without further settings the key is the fingerprint. ``MATCH_IGNORE`` leaves parts of a JSON body
out and ``MATCH_HEADERS`` takes headers in, on both sides at replay; a cassette keeps the plain
fingerprints and need not be recorded again.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

from replay_proxy.errors import ConfigurationError
from replay_proxy.matching.fingerprint import FORMER, fingerprint, former_fingerprint
from replay_proxy.redaction.storage import STORED_REQUEST_HEADERS
from replay_proxy.wire import Request

#: Steps of the longest path; no JSON that a client sends is nested deeper.
MOST_STEPS = 200
#: The step of a path that leads to everything in an object or an array: ``[*]``.
_EACH = object()


class Rule:
    """Equality of requests without the ``ignore`` paths (RFC 9535 JSONPath), with some headers.

    Raises ``ConfigurationError`` for a path that is not valid, or a header that is never stored.
    """

    def __init__(self, ignore: Sequence[str] = (), headers: Sequence[str] = ()) -> None:
        #: The paths that are left out, and the headers that are included.
        self.ignored = tuple(ignore)
        self.headers = tuple(_storable(name) for name in headers)
        self._ignore = [_remover(path) for path in ignore]
        parts = []
        if ignore:
            parts.append(f"ignore={','.join(ignore)}")
        if headers:
            parts.append(f"headers={','.join(headers)}")
        #: The value of an answer's header ``x-replay-match``.
        self.name = "; ".join(parts) or "exact"

    @property
    def _left_out(self) -> Callable[[Any], Any] | None:
        return self.without if self._ignore else None

    @property
    def exact(self) -> bool:
        """Whether the key is the fingerprint itself."""
        return not self._ignore and not self.headers

    def key(self, request: Request) -> str:
        """The match key: equal for requests that count as the same."""
        if self.exact:
            return fingerprint(request)
        key = fingerprint(request, self._left_out)
        if not self.headers:
            return key
        headers = [(name, value) for name, value in request.headers if name in self.headers]
        return f"{key}+{sha256(repr(sorted(headers)).encode()).hexdigest()}"

    def former_key(self, request: Request) -> str | None:
        """The key in a cassette of an earlier version, if it differs.

        Under a rule that is not exact, the keys of all recordings are made anew.
        """
        return former_fingerprint(request) if self.exact else None

    def fingerprints(self, request: Request) -> tuple[str, str, str]:
        """All values that are computed from a request's body, for ``note`` in another process."""
        own = fingerprint(request)
        return own, fingerprint(request, self._left_out), self.former_key(request) or ""

    def note(self, request: Request, fingerprints: tuple[str, str, str]) -> None:
        """Keep the ``fingerprints`` of a request, so that they are not computed again."""
        request.memo.update(zip((None, self._left_out, FORMER), fingerprints, strict=True))

    def __reduce__(self) -> tuple[Any, ...]:
        return Rule, (self.ignored, [name.decode() for name in self.headers])

    def and_ignoring(self, paths: Sequence[str]) -> "Rule":
        """The rule with further paths to ignore."""
        return Rule((*self.ignored, *paths), [name.decode() for name in self.headers])

    def without(self, body: Any) -> Any:
        """A JSON body without what is ignored. The body is not changed: others read it too."""
        for remove in self._ignore:
            if not isinstance(body, dict | list):  # A text would be read as JSON again.
                break
            body = remove(body)
        return body


def _plain_steps(query: Any) -> list[Any] | None:
    """The names, indexes and ``_EACH`` that make a path; None for a path with anything else."""
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
                steps.append(_EACH)
            case _:
                return None
    return steps


def _without_steps(steps: Sequence[Any], body: Any) -> Any:
    """The body without what plain steps lead to: like ``_without_query``, five times as fast.

    The holders of a removed value are copied; everything else is shared with ``body``.
    """
    if not steps:
        return None
    step, *rest = steps
    keys: Iterable[Any] = ()
    if isinstance(body, dict):
        keys = list(body) if step is _EACH else [step] if step in body else ()
    elif isinstance(body, list) and not isinstance(step, str):
        places = range(len(body))
        keys = places if step is _EACH else places[step:][:1] if -len(body) <= step else ()
    copy: Any = None
    for key in keys:
        value = _without_steps(rest, body[key]) if rest else None
        if rest and value is body[key]:
            continue
        copy = body.copy() if copy is None else copy
        if rest or isinstance(body, list):
            copy[key] = value  # An array's other elements keep their places.
        else:
            del copy[key]
    return body if copy is None else copy


def _without_query(query: Any, body: Any) -> Any:
    """The body without what a path leads to; unchanged if it is too deep for the library."""
    from jsonpath.exceptions import JSONPathRecursionError

    try:
        nodes = list(query.finditer(body))
    except JSONPathRecursionError:
        return body
    copies: dict[int, Any] = {}
    for node in nodes:
        body = _without_member(body, node.parts, copies)
    return body


def _without_member(body: Any, parts: Sequence[str | int], copies: dict[int, Any]) -> Any:
    """The body without a member, which may already be gone together with its holder.

    An array's element becomes null, so that the others keep their places; so does the root.
    ``copies`` are the objects and arrays that were copied already, by their ``id``.
    """
    if not parts:
        return None
    holder = body
    try:
        for part in parts[:-1]:
            holder = holder[part]
    except (KeyError, TypeError):
        return body
    if not isinstance(holder, list | dict):
        return body
    body = holder = _copy(body, copies)
    for part in parts[:-1]:
        holder[part] = below = _copy(holder[part], copies)
        holder = below
    if isinstance(holder, list):
        holder[int(parts[-1])] = None
    else:
        holder.pop(parts[-1], None)
    return body


def _copy(value: Any, copies: dict[int, Any]) -> Any:
    """An object or array that may be changed."""
    if id(value) not in copies:
        value = value.copy()
        copies[id(value)] = value  # Kept, so that nothing else gets its id.
    return value


def _remover(path: str) -> Callable[[Any], Any]:
    """The function that takes a path out of a body."""
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
            f"MATCH_IGNORE has {path!r}, which is not a JSONPath: {cause}. Write it like "
            "$.user,$.messages[*].tool_call_id."
        ) from None
    steps = _plain_steps(query)
    return partial(_without_query, query) if steps is None else partial(_without_steps, steps)


def _storable(name: str) -> bytes:
    lowered = name.lower().encode("utf-8", "backslashreplace")
    if lowered not in STORED_REQUEST_HEADERS:
        names = ", ".join(sorted(header.decode() for header in STORED_REQUEST_HEADERS))
        raise ConfigurationError(
            f"MATCH_HEADERS has {name!r}, a header that is never stored and so cannot be matched. "
            f"Possible are {names}."
        )
    return lowered
