"""What may be stored of a request. Pure.

Headers are kept from an allow-list, since any header may carry a credential.

Not in here: what is stored of an answer's headers (``answer_headers``).
"""

from functools import lru_cache

from replay_proxy.redaction.credentials import without_credentials
from replay_proxy.redaction.display import redacted
from replay_proxy.wire import SELECTING_FIELDS, Request

#: Stored request headers whose values are free texts, and so may hold a credential.
_TEXTS = frozenset({b"accept", b"openai-beta", b"user-agent", *SELECTING_FIELDS})
#: Request headers that explain a recording to its reader, or are needed to read the body, and are
#: not meant for credentials.
STORED_REQUEST_HEADERS = frozenset({b"content-type", b"content-encoding", *_TEXTS})


@lru_cache(maxsize=1024)
def _stored_value(value: bytes) -> bytes:
    return redacted(value.decode("latin-1")).encode("latin-1")


def stored_request(request: Request) -> Request:
    """The request with the headers and the query that may be written to a cassette.

    It keeps the body, and so the memo.
    """
    stored = Request(
        request.method,
        request.path,
        without_credentials(request.query),
        tuple(
            [
                (name, _stored_value(value)) if name in _TEXTS else (name, value)
                for name, value in request.headers
                if name in STORED_REQUEST_HEADERS
            ]
        ),
        request.body,
        request.arrived_us,
    )
    stored.memo.update(request.memo)
    return stored
