"""Rules: what a request may ask for, and where an answer may send its client. Pure.

A path is appended to the address of the upstream, and the request carries the upstream's key. These
rules keep a path from changing the host, the base path or the number of requests, wherever it comes
from: a client, a row of a cassette, a text twin, another tool's recording.
Sources: RFC 9112, section 3.2; RFC 3986, sections 3.3 and 5.2.4.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit, urlunsplit

from replay_proxy.wire import Headers

#: Every path below these is recorded, replayed or synthesised.
DATA_PATHS = ("/v1/", "/openai/")

#: Headers of an answer that hold an address at the server: of a redirect's target, of a new object,
#: of an operation's status.
ADDRESS_FIELDS = frozenset({b"location", b"content-location", b"operation-location"})
#: Stands for the API's origin in a stored address. No DNS server resolves it (RFC 6761, section
#: 6.4).
UPSTREAM_ORIGIN = "http://upstream.invalid"

_METHOD = re.compile(r"[A-Z]{1,20}")
#: CONNECT opens a tunnel; the answer to TRACE repeats the request, and with it the key.
_REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})
#: Visible ASCII. Servers differ about a backslash, which some take for a slash.
_PATH = re.compile(r"[!-~]*")
_NOT_IN_PATH = re.compile(r"[?#\\]")
_QUERY = re.compile(r'[!"$-~]*')
#: A segment that leads to the one above. Some servers cut off what follows a semicolon; those that
#: decode before they look for a query cut off what follows a '?' or a '#'.
_UPWARDS = re.compile(r"(?:^|[/\\])\.\.(?:[/\\;?#]|$)")
#: A reference that names no server (RFC 3986, section 4.2), even for a client that takes a
#: backslash for a slash or ignores white space.
_ON_SAME_SERVER = re.compile(
    r"(?:|/(?![/\\])[!-~]*|[?#][!-~]*|[\w.~%-]+(?:[/?#][!-~]*)?)", re.ASCII
)
#: Characters that a server that decodes a path may take for the end of a line or of a text.
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
#: How often a path may be percent-encoded: each of several servers in a row decodes it once.
_ENCODINGS = 3


@lru_cache(maxsize=64)  # Most requests are for one of a few paths.
def flaw(method: str, path: str, query: str) -> str | None:
    """Why such a request is not served, stored or sent, as text; None if it may be.

    ``path`` and ``query`` are raw, as in ``Request``.
    """
    if not _METHOD.fullmatch(method):
        return "its method is not a word of capital letters"
    if method in _REFUSED_METHODS:
        return f"its method is {method}"
    if not path.startswith(DATA_PATHS):
        return f"its path does not begin with {' or '.join(DATA_PATHS)}"
    if not _QUERY.fullmatch(query):
        return "its query has a '#', or a character that is not visible ASCII"
    return path_flaw(path)


def path_flaw(path: str) -> str | None:
    """Why a path may not be appended to an address, as text; None if it may."""
    if not path.startswith("/") or path.startswith("//"):
        return "its path does not begin with exactly one '/'"
    if not _PATH.fullmatch(path):
        return "its path has a character that is not visible ASCII"
    if match := _NOT_IN_PATH.search(path):
        return f"its path has a {match[0]!r}"
    return _decoded_flaw(path) if "%" in path or "/.." in path else None


def _decoded_flaw(path: str) -> str | None:
    """The same for what servers may read after decoding the path once or more often."""
    for _ in range(_ENCODINGS + 1):
        if _UPWARDS.search(path):
            return "its path has a '..' segment"
        if _CONTROL.search(path):
            return "its path has a percent-encoded control character"
        try:
            decoded = unquote_to_bytes(path).decode()
        except UnicodeDecodeError:
            return "its path percent-encodes what is not UTF-8"
        if decoded == path:
            return None
        path = decoded
    return f"its path is percent-encoded more than {_ENCODINGS} times"


def leads_away(status: int, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The location to which an answer redirects its client, if that is another server; else None.

    A client that follows a redirect sends its request there, and some clients also send their key.
    """
    if 300 <= status < 400:
        for name, value in headers:
            location = _at_upstream(value.decode("latin-1"))
            if name.lower() == b"location" and not _ON_SAME_SERVER.fullmatch(location):
                return location
    return None


def as_stored(headers: Headers, base_url: str) -> Headers:
    """The headers as a cassette holds them, without the server and the base path of ``base_url``.

    An address at this server becomes ``UPSTREAM_ORIGIN`` and a path of the proxy, and a path
    becomes a path of the proxy. What the proxy does not serve stays as it is.
    """
    for name, _ in headers:
        if name in ADDRESS_FIELDS:
            break
    else:
        return headers  # As for almost every answer.
    return tuple(
        (name, _stored(value.decode("latin-1"), base_url).encode("latin-1"))
        if name in ADDRESS_FIELDS
        else (name, value)
        for name, value in headers
    )


def as_sent(headers: Headers, origin: str, prefix: str, base_url: str) -> Headers:
    """The headers as clients get them: stored addresses at ``origin``, all paths below ``prefix``.

    An address at the server of ``base_url``, which earlier versions stored, counts as a stored one.
    The former value of a header that changes is added under its name with ``x-replay-`` before it.
    """
    result: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name not in ADDRESS_FIELDS:
            result.append((name, value))
            continue
        stored = value.decode("latin-1")
        if not _at_upstream(stored).startswith(DATA_PATHS):
            stored = _stored(stored, base_url)
        path = _at_upstream(stored)
        if not path.startswith(DATA_PATHS):
            result.append((name, value))
            continue
        sent = f"{origin if path != stored else ''}{prefix}{path}".encode("latin-1")
        result.append((name, sent))
        if sent != value:
            result.append((b"x-replay-" + name, value))
    return tuple(result)


def _stored(address: str, base_url: str) -> str:
    path = _path(address, base_url)
    return path if path == address or address.startswith("/") else UPSTREAM_ORIGIN + path


def _at_upstream(address: str) -> str:
    """The path of a stored address; any other address as it is."""
    path = address.removeprefix(UPSTREAM_ORIGIN)
    return path if path.startswith(DATA_PATHS) else address


def _path(address: str, base_url: str) -> str:
    try:
        url, base = urlsplit(address), urlsplit(base_url)
        if url.netloc and _place(url) != _place(base):
            return address
    except ValueError:  # Its port or IPv6 address is not valid.
        return address
    path, base_path = url.path, base.path.rstrip("/")
    if not path.startswith("/") or (url.scheme and not url.netloc):
        return address
    if base_path and path.startswith(f"{base_path}/"):
        path = f"/v1{path.removeprefix(base_path)}"
    elif not path.startswith("/openai/"):  # Such a path is the same here and at the upstream.
        if base_path:
            return address
        path = f"/v1{path}"
    return urlunsplit(("", "", path, url.query, url.fragment))


def _place(url: SplitResult) -> tuple[str | None, int, str | None]:
    """The host, the port (443 for the default of http or https) and the user of a URL."""
    port = url.port or (443 if url.scheme == "https" else 80)
    return url.hostname, 443 if port == 80 else port, url.username
