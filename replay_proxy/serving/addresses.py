"""The addresses of the proxy: the cassette that a request's names, and those in an answer."""

from urllib.parse import quote, unquote_to_bytes

from replay_proxy.serving.connection import Scope
from replay_proxy.target import as_sent
from replay_proxy.wire import Headers, Request, header

#: The prefix of paths that name their cassette.
CASSETTES = "/cassettes/"


def raw_path(scope: Scope) -> str:
    """The path as it was sent, percent-encoded, without the query."""
    raw: bytes | None = scope.get("raw_path")
    return raw.decode("latin-1") if raw else quote(scope["path"])


def split_cassette(path: str) -> tuple[str | None, str]:
    """``/cassettes/{name}/v1/…`` as its cassette and the rest; any other path has none."""
    if not path.startswith(CASSETTES):
        return None, path
    sent, slash, rest = path.removeprefix(CASSETTES).partition("/")
    try:
        name = unquote_to_bytes(sent.encode("latin-1")).decode()
    except UnicodeDecodeError:
        name = sent  # Not the name of a cassette; an error shows it as it is.
    return name, slash + rest


def cassette_of(cassette: str | None, request: Request) -> str | None:
    """The cassette that a request names, by its path or else by its header."""
    if cassette is None and (name := header(request.headers, b"x-replay-cassette")) is not None:
        try:
            return name.decode()
        except UnicodeDecodeError:
            return name.decode("latin-1")  # Some clients encode it like this.
    return cassette


def with_own_addresses(headers: Headers, upstream_url: str, scope: Scope) -> Headers:
    """The headers of an answer, with addresses of this proxy in place of those at the upstream.

    ``upstream_url`` is the API's base URL.
    """
    raw = raw_path(scope)
    prefix = raw.removesuffix(split_cassette(raw)[1])
    host = header(tuple(scope["headers"]), b"host")
    origin = f"{scope['scheme']}://{host.decode('latin-1')}" if host else ""
    return as_sent(headers, origin, prefix, upstream_url)
