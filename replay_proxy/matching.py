"""Which requests count as the same: the rule, and the key that it gives a request. Pure.

Without further settings the key is the fingerprint. ``MATCH_IGNORE`` leaves parts of a JSON body
out and ``MATCH_HEADERS`` takes headers in, on both sides at replay; a cassette keeps the plain
fingerprints and need not be recorded again.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import jsonpath
import orjson
from jsonpath.exceptions import JSONPathError, JSONPathRecursionError

from replay_proxy.errors import ConfigurationError
from replay_proxy.fingerprint import fingerprint, is_deep, json_value
from replay_proxy.redaction import STORED_REQUEST_HEADERS
from replay_proxy.wire import Request


class Rule:
    """Equality of requests, less the ``ignore`` paths (RFC 9535 JSONPath), with some headers.

    Raises ``ConfigurationError`` for a path that is none, or a header that is never stored.
    """

    def __init__(self, ignore: Sequence[str] = (), headers: Sequence[str] = ()) -> None:
        #: What is left out, and which headers are taken in.
        self.ignored = tuple(ignore)
        self.headers = tuple(_storable(name) for name in headers)
        self._ignore = [_compiled(path) for path in ignore]
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
        return not self._ignore and not self.headers

    def key(self, request: Request) -> str:
        """Equal for requests that count as the same."""
        if self.exact:
            return fingerprint(request)
        key = fingerprint(self.masked(request))
        if not self.headers:
            return key
        taken = [(name, value) for name, value in request.headers if name in self.headers]
        return f"{key}+{sha256(repr(sorted(taken)).encode()).hexdigest()}"

    def and_ignoring(self, paths: Sequence[str]) -> "Rule":
        """The same with further paths that do not count."""
        return Rule((*self.ignored, *paths), [name.decode() for name in self.headers])

    def masked(self, request: Request) -> Request:
        """The request without what is ignored; a body that is no JSON has nothing to ignore."""
        if not self._ignore:
            return request
        try:
            body = json_value(request.body)
        except ValueError:
            return request
        if not isinstance(body, dict | list):  # A text would be read as JSON again.
            return request
        try:
            for query in self._ignore:
                for node in list(query.finditer(body)):
                    body = _without(body, node.parts)
        except JSONPathRecursionError:
            return request
        try:
            return replace(request, body=orjson.dumps(body))
        except TypeError:  # Half a surrogate pair, a long integer, or deeper than orjson writes.
            if is_deep(request.body):
                return request
            text = json.dumps(body, ensure_ascii=False)
            return replace(request, body=text.encode("utf-8", "surrogatepass"))


def _without(body: Any, parts: Sequence[str | int]) -> Any:
    """The body without a member, which may have gone with one that it stood in.

    An array's element becomes null, so that the others keep their places; so does the root.
    """
    if not parts:
        return None
    holder = body
    try:
        for part in parts[:-1]:
            holder = holder[part]
    except (KeyError, TypeError):
        return body
    if isinstance(holder, list):
        holder[int(parts[-1])] = None
    elif isinstance(holder, dict):
        holder.pop(parts[-1], None)
    return body


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
