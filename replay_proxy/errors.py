"""The errors that replay-proxy raises on purpose; those of one place are defined there.

    ReplayProxyError
    ├── ConfigurationError          a setting is unknown, wrong or contradicts another: exit 2
    ├── ImportRefused               a file cannot be read as recordings: exit 2
    ├── CassetteMiss                a request that no recording answers: 404
    ├── RequestError                the client's request cannot be served
    │   ├── NotAllowed              403, a request that only another site's web page sends
    │   ├── InvalidTarget           400
    │   ├── WebSocketUnsupported    426
    │   ├── InvalidRequest          400, as OpenAI words it
    │   ├── InvalidCassetteName     400
    │   ├── InvalidFault            400
    │   └── NotImplementedByDummy   404
    ├── StoreError                  an answer could not be read or kept: 500
    │   ├── CassetteMissing         the cassette does not exist
    │   ├── CassetteInUse           another process has locked it: 503
    │   └── CassetteDamaged         there is a file, and it cannot be trusted
    ├── ConnectionDropped           a fault ends the client's connection
    └── UpstreamError               the real API gave no whole answer
        ├── UpstreamUnreachable     502
        ├── UpstreamTooSlow         504
        └── UpstreamCut             the answer broke off after its head

A message names the thing, the cause and the remedy. A caller that knows a part better replaces it.
"""

#: Maximum characters of a part that is kept whole, and characters at each end of a longer part.
_LONGEST_CHARS = 20_000
_ENDS_CHARS = 900


class ReplayProxyError(Exception):
    """The root of the tree.

    ``status`` is the HTTP status of the error for a client, ``type`` and ``code`` are
    the fields of OpenAI's error object, ``retry`` is whether a retry could help
    (``x-should-retry`` tells the OpenAI SDKs, which otherwise retry 408, 409, 429 and >= 500).
    ``is_loss`` is set on an error that the report lists as a loss.

    The message is ``{thing} {cause}. {remedy}``; an error with one text has only a cause.
    """

    status: int = 500
    type: str = "replay_proxy_error"
    code: str | None = None
    param: str | None = None
    retry: bool = False
    is_loss: bool = False

    def __init__(self, cause: str, *, thing: str = "", remedy: str = "") -> None:
        super().__init__(cause)
        self.thing, self.cause, self.remedy = map(_shortened, (thing, cause, remedy))
        self.details: dict[str, object] = {}

    def __str__(self) -> str:
        return self.message

    @property
    def explanation(self) -> str:
        """The message without its remedy."""
        return f"{self.thing} {self.cause}" if self.thing else self.cause

    @property
    def message(self) -> str:
        """All parts as one text."""
        explanation = self.explanation
        if not self.remedy:
            return explanation
        return f"{explanation}{'' if explanation.endswith('.') else '.'} {self.remedy}"

    def as_json(self) -> dict[str, object]:
        """OpenAI's error object: its four fields, then ``details``."""
        own = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return own | self.details


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_CHARS:
        return text
    return f"{text[:_ENDS_CHARS]} … {text[-_ENDS_CHARS:]}"


class ConfigurationError(ReplayProxyError):
    """A setting is unknown, wrong or contradicts another; the process exits with 2."""

    code = "configuration"


class ImportRefused(ReplayProxyError):
    """A file has an unknown format, or not the one that was named; nothing is imported."""

    code = "import_refused"


class CassetteMiss(ReplayProxyError):
    """No recording answers the request.

    404, since the OpenAI SDKs retry 408, 409, 429 and >= 500. ``code`` is the reason;
    ``details`` (for JSON) are members of the error object, after OpenAI's four fields.
    """

    status = 404
    type = "cassette_miss"

    def __init__(
        self, cause: str, *, remedy: str = "", reason: str, details: dict[str, object]
    ) -> None:
        super().__init__(cause, remedy=remedy)
        self.code = reason
        self.details = details

    @property
    def message(self) -> str:
        """All parts; the remedy is a line of its own."""
        return f"{self.explanation}\n  {self.remedy}" if self.remedy else self.explanation


class RequestError(ReplayProxyError):
    """The client's request cannot be served, and a retry would not change that."""

    status = 400
    type = "invalid_request_error"


class NotAllowed(RequestError):
    """A request that any web page could make a browser send, and that is not allowed."""

    status = 403


class InvalidTarget(RequestError):
    """The request's method, path or query could lead elsewhere than to the upstream."""

    code = "invalid_target"

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"is refused: {cause}",
            thing="The request",
            remedy="Send a path below /v1/ or /openai/, without '..', and percent-encode what is "
            "not visible ASCII.",
        )


class WebSocketUnsupported(RequestError):
    """A WebSocket's handshake. WebSockets are neither recorded nor replayed."""

    status = 426
    code = "websocket_unsupported"


class InvalidRequest(RequestError):
    """The dummy refuses a malformed request in OpenAI's words."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class InvalidCassetteName(RequestError):
    """The name of a cassette in a request is not valid. ``name`` is printable."""

    code = "invalid_cassette_name"

    def __init__(self, name: str, cause: ValueError) -> None:
        super().__init__(f"'{name}' is not the name of a cassette: {cause}.")


class InvalidFault(RequestError):
    """The header ``x-replay-fault`` is not a script of faults."""

    code = "invalid_fault"

    def __init__(self, cause: ValueError) -> None:
        super().__init__(f"The header x-replay-fault cannot be followed: {cause}.")


class NotImplementedByDummy(RequestError):
    """The dummy has no answer for this endpoint."""

    status = 404
    code = "not_implemented_by_dummy"


class StoreError(ReplayProxyError):
    """An answer could not be read from a cassette or stored in it."""

    type = "store_error"
    code = "store_failed"


class CassetteMissing(StoreError):
    """The cassette does not exist."""

    code = "no_cassette"


class CassetteInUse(StoreError):
    """Another process has the cassette locked for longer than a request waits."""

    status = 503
    code = "cassette_in_use"


class CassetteDamaged(StoreError):
    """There is a file of this name, but not a cassette that this version can trust."""

    code = "cassette_damaged"


class ConnectionDropped(ReplayProxyError):
    """The fault of this name ends the client's connection, before or in the middle of an answer.

    ``reset`` is whether the client sees it reset (TCP RST) rather than closed.
    """

    def __init__(self, message: str, *, fault: str, reset: bool) -> None:
        super().__init__(message)
        self.fault = fault
        self.reset = reset


class UpstreamError(ReplayProxyError):
    """The real API did not give a whole answer."""

    type = "upstream_error"
    retry = True


class UpstreamUnreachable(UpstreamError):
    """There was no connection to the real API, or it ended before an answer began."""

    status = 502
    code = "upstream_unreachable"


class UpstreamTooSlow(UpstreamError):
    """The real API did not answer within ``UPSTREAM_TIMEOUT_S``."""

    status = 504
    code = "upstream_timeout"


class UpstreamCut(UpstreamError):
    """The answer broke off after its head: the client's connection has to break off too."""

    status = 502
    code = "upstream_cut"
