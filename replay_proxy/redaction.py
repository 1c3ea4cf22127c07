"""What may be stored of a request and of an answer, and what may be shown. Pure rules, no I/O.

Request headers are kept from an allow-list, since any header may carry a credential; response
headers are all kept but those that name an account or carry a session.
"""

import re
from dataclasses import replace

from replay_proxy.wire import Headers, Request, without_keys

#: Request headers that explain a recording to its reader and never carry a credential.
STORED_REQUEST_HEADERS = frozenset(
    {b"accept", b"content-type", b"content-encoding", b"openai-beta", b"user-agent"}
)

#: Response headers that name an account, or carry a session or a credential.
SECRET_RESPONSE_HEADERS = frozenset(
    {
        b"api-key",
        b"authentication-info",
        b"authorization",
        b"openai-organization",
        b"openai-project",
        b"set-cookie",
        b"set-cookie2",
        b"x-api-key",
    }
)


#: The same by other vendors' names: ``anthropic-organization-id``, ``x-goog-api-key``, …
_SECRET_NAME = re.compile(rb"(?:^|-)(?:organi[sz]ation|project)(?:-id)?$|api-?key|cookie|secret")

#: What looks like a key, an organisation, a project or a session wherever it stands. It begins with
#: a set of letters, all that is tried, and not with a word's beginning: that is 5 times as fast.
_SECRET_TEXT = re.compile(
    r"[sroupBb](?<!\w.)(?:"
    r"(?:(?<=s)k|(?<=r)k|(?<=s)ess|(?<=o)rg|(?<=p)roj|(?<=u)ser)[-_][A-Za-z0-9_*-]{8,}"
    r"|(?<=[Bb])(?i:earer )[\w.~+/-]{8,}=*)"
)

#: Neither XML nor a terminal can show these: control characters, surrogates, non-characters.
_UNPRINTABLE = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def redacted(text: str) -> str:
    """A text to be shown, with everything that looks like a credential blanked."""
    return _SECRET_TEXT.sub("[redacted]", text)


def printable(shown: str) -> str:
    """The text with everything that XML forbids or a terminal obeys written as an escape."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), shown)


def stored_request(request: Request) -> Request:
    """The request with the headers and the query that may be written to a cassette."""
    return replace(
        request,
        query=without_keys(request.query),
        headers=tuple(pair for pair in request.headers if pair[0] in STORED_REQUEST_HEADERS),
    )


def stored_response_headers(headers: Headers) -> Headers:
    """The response headers that may be written to a cassette."""
    return tuple(
        pair
        for pair in headers
        if pair[0] not in SECRET_RESPONSE_HEADERS
        and not _SECRET_NAME.search(pair[0])
        and not pair[0].startswith(b"x-replay-")  # Another replay-proxy's, of another answer.
    )
