"""The bodies of requests, received whole and within bounds.

A body whose ``content-length`` is too large is refused before a byte of it is read, and before a
client that asks (``Expect: 100-continue``) is told to send it.
"""

import io

from replay_proxy.bounds.budget import Budget
from replay_proxy.errors import RequestError
from replay_proxy.matching.content_coding import MOST_BYTES, is_too_large
from replay_proxy.serving.connection import Receive
from replay_proxy.wire import Headers, Request

#: The largest body. A row of a cassette can hold more; OpenAI accepts files of up to 512 MB.
MAX_BODY_BYTES = 640 * 1024 * 1024
#: Maximum number of bytes of large bodies that a process holds at once.
LARGE_BODIES_BYTES = 1 << 30
#: Maximum size of a body that is not counted: the number of connections bounds these.
LARGE_BYTES = 1 << 20
#: The characters of a field that an error repeats.
_SHOWN = 100
#: Maximum number of digits of the length of a small body.
_SMALL_DIGITS = 6


class BodyTooLarge(RequestError):
    """The request's body is larger than the proxy takes."""

    status = 413
    code = "request_too_large"


class TooManyLargeBodies(BodyTooLarge):
    """The large bodies of other requests use all of the memory for large bodies."""

    status = 503
    code = "too_many_large_requests"
    retry = True


class UnknownTransferCoding(RequestError):
    """The body is encoded for its transfer, and not only in chunks."""

    status = 501
    code = "transfer_coding_not_supported"


class RequestBodies:
    """Receives bodies, and counts the memory that large ones take while they are in use."""

    def __init__(self) -> None:
        self._budget = Budget(LARGE_BODIES_BYTES)

    async def receive(self, headers: Headers, receive: Receive) -> bytes | None:
        """A request's whole body, or None when the client left while sending it.

        The caller has to ``release`` it afterwards. Raises ``BodyTooLarge``,
        ``TooManyLargeBodies``, ``UnknownTransferCoding``.
        """
        length = _length(headers)
        taken = self._take(length, 0) if length else 0
        whole: io.BytesIO | None = None
        try:
            while (message := await receive())["type"] == "http.request":
                body: bytes = message.get("body", b"")
                more = message.get("more_body", False)
                if whole is not None or more:
                    whole = whole or io.BytesIO()
                    whole.write(body)
                    size = whole.tell()
                    if size > LARGE_BYTES and size > taken:
                        ahead = min(size + LARGE_BYTES, MAX_BODY_BYTES)
                        taken = self._take(max(size, ahead), taken)
                    if more:
                        continue
                    body = whole.getvalue()  # The buffer itself, not a copy.
                if len(body) > LARGE_BYTES:
                    taken -= len(body)
                return body
            return None
        finally:
            if taken:
                self._budget.give(taken)

    def release(self, body: bytes) -> None:
        """Release a body that is no longer needed."""
        self._budget.give(_counted(len(body)))

    def _take(self, size: int, taken: int) -> int:
        """The share of the budget for a body of this size, instead of the share ``taken``."""
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge(
                f"The request's body is larger than {MAX_BODY_BYTES} bytes, the most that the "
                "proxy accepts. Send it in parts (/v1/uploads)."
            )
        if not self._budget.take(_counted(size) - taken):
            raise TooManyLargeBodies(
                f"The large bodies of the requests in progress have {LARGE_BODIES_BYTES >> 20} "
                "MiB, the most that the proxy accepts at once. Retry when they are answered, or "
                "send fewer at once."
            )
        return _counted(size)


def check_content(request: Request) -> None:
    """Raise ``BodyTooLarge`` for a compressed body whose content is too large."""
    if is_too_large(request):
        raise BodyTooLarge(
            f"The content of the request's compressed body is larger than {MOST_BYTES >> 20} MiB, "
            "the most that the proxy decompresses. Send it without Content-Encoding."
        )


def _length(headers: Headers) -> int:
    """The length of a large body; 0 for a small body, and for one without a length.

    Raises ``UnknownTransferCoding``.
    """
    for name, value in headers:
        if name == b"content-length":
            return int(value) if len(value) > _SMALL_DIGITS else 0
    _check_coding(headers)  # No request has both fields: the server refuses it.
    return 0


def _check_coding(headers: Headers) -> None:
    """Refuse a coding that the server would not decode: it decodes only ``chunked``.

    Source: RFC 9112, section 6.1.
    """
    codings = b",".join([value for name, value in headers if name == b"transfer-encoding"])
    if codings and codings.strip(b", \t").lower() != b"chunked":
        raise UnknownTransferCoding(
            "The proxy supports no Transfer-Encoding except chunked, and the request has "
            f"{codings[:_SHOWN].decode('latin-1')!r}. Send a compressed body with Content-Encoding."
        )


def _counted(size: int) -> int:
    return size if size > LARGE_BYTES else 0
