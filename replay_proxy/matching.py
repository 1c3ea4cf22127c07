"""Which requests count as the same: the rule, and the key that it gives a request. Pure.

Without further settings the key is the fingerprint. ``MATCH_IGNORE`` leaves parts of a JSON body
out and ``MATCH_HEADERS`` takes headers in, on both sides at replay; a cassette keeps the plain
fingerprints and need not be recorded again.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import jsonpath
import orjson
from jsonpath.exceptions import JSONPathError

from replay_proxy.errors import ConfigurationError
from replay_proxy.fingerprint import fingerprint
from replay_proxy.redaction import STORED_REQUEST_HEADERS
from replay_proxy.wire import Request


class Rule:
    """Equality of requests, less the ``ignore`` paths (RFC 9535 JSONPath), with some headers.

    Raises ``ConfigurationError`` for a path that is none, or a header that is never stored.
    """

    def __init__(self, ignore: Sequence[str] = (), headers: Sequence[str] = ()) -> None:
        self._ignore = [_compiled(path) for path in ignore]
        self._headers = [_storable(name) for name in headers]
        parts = []
        if ignore:
            parts.append(f"ignore={','.join(ignore)}")
        if headers:
            parts.append(f"headers={','.join(headers)}")
        #: What ``x-replay-match`` says of an answer.
        self.name = "; ".join(parts) or "exact"

    @property
    def exact(self) -> bool:
        """Whether the key is the fingerprint itself."""
        return not self._ignore and not self._headers

    def key(self, request: Request) -> str:
        """Equal for requests that count as the same."""
        if self.exact:
            return fingerprint(request)
        key = fingerprint(self._masked(request))
        if not self._headers:
            return key
        taken = [(name, value) for name, value in request.headers if name in self._headers]
        return f"{key}+{sha256(repr(sorted(taken)).encode()).hexdigest()}"

    def _masked(self, request: Request) -> Request:
        """The request without what is ignored; a body that is no JSON has nothing to ignore."""
        if not self._ignore:
            return request
        try:
            body = orjson.loads(request.body)
        except ValueError:
            return request
        for query in self._ignore:
            for node in list(query.finditer(body)):
                _remove(body, node.parts)
        try:
            return replace(request, body=orjson.dumps(body))
        except TypeError:  # Nested deeper than orjson writes.
            return request


def _remove(body: Any, parts: Sequence[str | int]) -> None:
    """Take a member out; an array's element becomes null, so that the others keep their places."""
    if not parts:
        return
    for part in parts[:-1]:
        body = body[part]
    if isinstance(body, list):
        body[int(parts[-1])] = None
    else:
        body.pop(parts[-1], None)


def _compiled(path: str) -> Any:
    try:
        return jsonpath.compile(path, strict=True)
    except JSONPathError as error:
        cause = str(error).splitlines()[0]
        raise ConfigurationError(
            f"MATCH_IGNORE has {path!r}, which is no JSONPath: {cause}. Write it like "
            "$.user,$.messages[*].tool_call_id."
        ) from None


def _storable(name: str) -> bytes:
    lowered = name.lower().encode()
    if lowered not in STORED_REQUEST_HEADERS:
        known = ", ".join(sorted(each.decode() for each in STORED_REQUEST_HEADERS))
        raise ConfigurationError(
            f"MATCH_HEADERS has {name!r}, a header that is never stored and so cannot be matched. "
            f"Possible are {known}."
        )
    return lowered
