"""Requests that a browser sends for a web page: refused, unless the page's origin is listed.

Any page can send requests to any address, including this machine; it only cannot read the answer.
But a request alone can spend a key, record an answer or use up a recorded one. Of the fields that
are checked here, programs send only ``Host``; pages can neither omit nor forge them
(https://fetch.spec.whatwg.org, section 2.2.2).
"""

import re
from dataclasses import dataclass
from typing import Any

from replay_proxy.errors import NotAllowed
from replay_proxy.serving.admission.hosts import Hosts, InvalidHost
from replay_proxy.serving.connection import Scope, Send
from replay_proxy.wire import Headers, Response

_REQUESTED_METHOD = b"access-control-request-method"
_REQUESTED_HEADERS = b"access-control-request-headers"
_REQUESTED_NETWORK = b"access-control-request-private-network"
_CHECKED_FIELDS = frozenset(
    {
        b"host",
        b"origin",
        b"referer",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"upgrade-insecure-requests",
        _REQUESTED_METHOD,
        _REQUESTED_HEADERS,
        _REQUESTED_NETWORK,
    }
)
#: ``Sec-Fetch-Site`` of a request by the proxy's own page, or by no page: a typed address, a
#: bookmark.
_OWN = frozenset({b"same-origin", b"none"})
#: A replayed document would otherwise run its scripts with the rights of the proxy's own page.
_SANDBOX: Headers = (
    (b"content-security-policy", b"sandbox"),
    (b"x-content-type-options", b"nosniff"),
)
#: The origin of a page that a server on this machine serves.
_LOCAL_ORIGIN = re.compile(rb"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")
#: Seconds for which a browser need not repeat a preflight.
_MAX_AGE = b"600"
#: The origin of a ``Referer``; a value such as ``about:blank`` has none.
_PAGE = re.compile(rb"[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE)
#: The characters of a refused origin that an error repeats.
_SHOWN = 100


class OriginNotAllowed(NotAllowed):
    """The request comes from a web page whose origin is not listed."""

    code = "origin_not_allowed"


@dataclass(frozen=True, slots=True)
class Visit:
    """An admitted request of a browser.

    ``preflight`` is its whole answer, if it is a preflight. ``origin`` is the listed origin of the
    page that may read the answer. ``navigates`` is whether the browser opens the answer as a page.
    """

    preflight: Response | None = None
    origin: bytes | None = None
    navigates: bool = False

    def send(self, send: Send, *, data: bool) -> Send:
        """``send`` with the headers for the browser; ``data`` is whether an API answers."""
        sandbox = _SANDBOX if self.navigates and data else ()
        return _Edge(send, self.origin, sandbox) if self.origin or sandbox else send


class Browsers:
    """Admits or refuses each request by its head, before anything is served.

    Pages of ``origins`` may send requests. With ``own_pages``, so may pages that this machine
    serves under ``localhost``: for a proxy that has neither a key nor recordings.
    """

    def __init__(self, hosts: Hosts, origins: frozenset[bytes], *, own_pages: bool = False) -> None:
        self._hosts = hosts
        self._origins = origins
        self._own_pages = own_pages

    def check(self, scope: Scope) -> Visit | None:
        """None for a program's request. Raises ``InvalidHost`` or ``NotAllowed``."""
        fields = [pair for pair in scope["headers"] if pair[0] in _CHECKED_FIELDS]
        server = scope.get("server")
        local = server[0] if server and server[1] is not None else None
        if len(fields) == 1 and fields[0][0] == b"host":
            self._hosts.check(fields[0][1], local)
            return None
        hosts = [value for name, value in fields if name == b"host"]
        if len(hosts) == 1:
            self._hosts.check(hosts[0], local)
        # HTTP/1.0 has requests without a Host, and no browser sends one.
        elif hosts or scope["http_version"] != "1.0":
            raise InvalidHost(
                f"The request has {len(hosts) or 'no'} Host fields; it needs one "
                "(RFC 9112, section 3.2). Let the client name the host of its base_url."
            )
        own = scope["scheme"].encode() + b"://" + hosts[0].lower() if hosts else b""
        return self._visit(scope["method"], fields, own)

    def _visit(self, method: str, pairs: list[tuple[bytes, bytes]], own: bytes) -> Visit | None:
        fields = dict(pairs)
        origins = {value for name, value in pairs if name == b"origin"}
        listed = origins & self._origins
        if self._own_pages:
            listed |= set(filter(_LOCAL_ORIGIN.fullmatch, origins))
        if refused := origins - listed - {own}:
            raise _not_listed(min(refused))
        if method == "OPTIONS" and _REQUESTED_METHOD in fields:
            if len(listed) != 1:
                raise _not_listed(min(origins, default=b"null"))
            return Visit(_preflight(fields, listed.pop()))
        sites = {value for name, value in pairs if name == b"sec-fetch-site"}
        if not listed and not sites <= _OWN:
            raise OriginNotAllowed(
                "A page of another site has made the browser send this request "
                f"(Sec-Fetch-Site: {min(sites - _OWN)[:_SHOWN].decode('latin-1')}), and it does "
                "not name its origin. Use fetch() on a page whose origin CORS_ORIGINS lists. To "
                "look at an answer in a browser, type its address."
            )
        if not sites and not origins:  # A browser without these fields still names the page.
            self._check_pages({value for name, value in pairs if name == b"referer"}, own)
        navigates = fields.get(b"sec-fetch-mode") == b"navigate"
        navigates = navigates or b"upgrade-insecure-requests" in fields
        if listed or navigates:
            return Visit(origin=min(listed, default=None), navigates=navigates)
        return None

    def _check_pages(self, referers: set[bytes], own: bytes) -> None:
        for page in filter(None, map(_PAGE.match, referers)):
            origin = page[0].lower()
            local = self._own_pages and _LOCAL_ORIGIN.fullmatch(origin)
            if origin != own and origin not in self._origins and not local:
                raise _not_listed(origin)


def _not_listed(origin: bytes) -> OriginNotAllowed:
    shown = origin[:_SHOWN].decode("latin-1")
    if origin == b"null":
        remedy = "An origin of null cannot be listed: serve the page from http://localhost:PORT."
    else:
        remedy = f"If the page is yours, set REPLAY_PROXY_CORS_ORIGINS={shown}."
    return OriginNotAllowed(
        f"A web page of the origin {shown!r} has sent this request, and CORS_ORIGINS does not list "
        "that origin. Any page could otherwise spend the proxy's API key and change its cassettes. "
        + remedy
    )


def _preflight(fields: dict[bytes, bytes], origin: bytes) -> Response:
    """The answer to a preflight: the page may send its request."""
    headers = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", fields[_REQUESTED_METHOD]),
        (b"access-control-max-age", _MAX_AGE),
        (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    if _REQUESTED_HEADERS in fields:
        headers.append((b"access-control-allow-headers", fields[_REQUESTED_HEADERS]))
    if fields.get(_REQUESTED_NETWORK) == b"true":
        headers.append((b"access-control-allow-private-network", b"true"))
    return Response(204, tuple(headers), b"")


class _Edge:
    """``send`` with headers for the browser, which are never stored.

    Its ``__self__`` is that of the server's own ``send``, since ``connection`` needs it.
    """

    def __init__(self, send: Send, origin: bytes | None, more: Headers) -> None:
        self.__self__ = getattr(send, "__self__", None)
        self._send = send
        self._origin = origin
        self._more = more

    async def __call__(self, message: Any) -> None:
        """Send an ASGI message."""
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*self._headers(message["headers"]), *self._more]}
        await self._send(message)

    def _headers(self, headers: Any) -> Headers:
        """The answer's headers, with this proxy's CORS fields in place of the recorded API's."""
        if self._origin is None:
            return tuple(headers)
        others = [pair for pair in headers if not pair[0].lower().startswith(b"access-control-")]
        varies = b",".join(value for name, value in others if name.lower() == b"vary").lower()
        if not {b"origin", b"*"} & {name.strip() for name in varies.split(b",")}:
            others.append((b"vary", b"Origin"))
        return (
            *others,
            (b"access-control-allow-origin", self._origin),
            (b"access-control-expose-headers", b"*"),
        )
