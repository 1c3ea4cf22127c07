"""The rule that says which requests are equal, and the key that it gives a request. Pure.

Without further settings the key is the fingerprint. ``MATCH_IGNORE`` leaves parts of a JSON body
out, ``MATCH_REPLACE`` replaces parts of its texts and ``MATCH_HEADERS`` takes headers in, on both
sides at replay; a cassette keeps the plain fingerprints and need not be recorded again.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

from replay_proxy.errors import ConfigurationError
from replay_proxy.matching.fingerprint import FORMER, fingerprint, former_fingerprint
from replay_proxy.matching.json_paths import LEFT_OUT, changer
from replay_proxy.matching.replacements import parse_replacements
from replay_proxy.redaction.storage import STORED_REQUEST_HEADERS
from replay_proxy.wire import Request

#: What is not sent in a header as it is.
_NOT_IN_HEADER = re.compile(r"[^ -~]")


class Rule:
    """Equality of requests without the ``ignore`` paths (RFC 9535 JSONPath), with some headers.

    ``replace`` is a value of ``MATCH_REPLACE``. Raises ``ConfigurationError`` for a path that is
    not a JSONPath, a replacement that cannot be read, or a header that is never stored.
    """

    def __init__(
        self, ignore: Sequence[str] = (), headers: Sequence[str] = (), replace: str = ""
    ) -> None:
        #: The paths that are left out, and the headers that are included.
        self.ignored = tuple(ignore)
        self.headers = tuple(_storable(name) for name in headers)
        #: What is replaced in texts, as it was given.
        self.replaced = replace.strip()
        self._changes: list[Callable[[Any], Any]] = [
            partial(changer(path, "MATCH_IGNORE"), _leave_out) for path in ignore
        ]
        replacements = parse_replacements(self.replaced)
        self._changes += [each.in_body for each in replacements]
        parts = []
        if ignore:
            parts.append(f"ignore={','.join(ignore)}")
        if replacements:
            parts.append(f"replace={','.join(each.name for each in replacements)}")
        if headers:
            parts.append(f"headers={','.join(headers)}")
        #: The value of an answer's header ``x-replay-match``.
        self.name = _NOT_IN_HEADER.sub(_escaped, "; ".join(parts)) or "exact"

    @property
    def _left_out(self) -> Callable[[Any], Any] | None:
        return self.without if self._changes else None

    @property
    def exact(self) -> bool:
        """Whether the key is the fingerprint itself."""
        return not self._changes and not self.headers

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
        return Rule, (self.ignored, [name.decode() for name in self.headers], self.replaced)

    def and_ignoring(self, paths: Sequence[str]) -> "Rule":
        """The rule with further paths to ignore."""
        headers = [name.decode() for name in self.headers]
        return Rule((*self.ignored, *paths), headers, self.replaced)

    def and_replacing(self, replacements: Sequence[str]) -> "Rule":
        """The rule with further replacements, each as in ``MATCH_REPLACE``."""
        headers = [name.decode() for name in self.headers]
        replace = "; ".join(filter(None, (self.replaced, *replacements)))
        return Rule(self.ignored, headers, replace)

    def without(self, body: Any) -> Any:
        """The part of a JSON body that counts. The body stays as it is: others read it too."""
        for change in self._changes:
            if not isinstance(body, dict | list):  # A text would be read as JSON again.
                break
            body = change(body)
        return body


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _leave_out(_: Any) -> Any:
    return LEFT_OUT


def _storable(name: str) -> bytes:
    lowered = name.lower().encode("utf-8", "backslashreplace")
    if lowered not in STORED_REQUEST_HEADERS:
        names = ", ".join(sorted(header.decode() for header in STORED_REQUEST_HEADERS))
        raise ConfigurationError(
            f"MATCH_HEADERS has {name!r}, a header that is never stored and so cannot be matched. "
            f"Possible are {names}."
        )
    return lowered
