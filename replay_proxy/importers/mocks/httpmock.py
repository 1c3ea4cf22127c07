"""httpmock for Rust: YAML documents of ``when`` and ``then``, as its recorder writes them.

Source: ``StaticMockDefinition`` in ``src/common/data.rs`` of httpmock 0.7 and 0.8; rig writes the
same with binary bodies in base64 under ``body``. There is no host: the path is the server's.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from replay_proxy.importers.bodies import content, minified, unbase64
from replay_proxy.importers.documents import core_documents
from replay_proxy.importers.exchange import Exchange, Misshapen, NotCarried, exchanges_of
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, integer, mapping, sequence, text
from replay_proxy.importers.timestamps import milliseconds_us
from replay_proxy.wire import Headers, header

_WHEN = re.compile(rb"^when:", re.MULTILINE)
_THEN = re.compile(rb"^then:", re.MULTILINE)
#: Rules that make up a whole request, and rules about parts that the fingerprint ignores.
_WHOLE = re.compile(
    r"method|path|query_param|body|body_base64|json_body|(?:header|cookie|scheme|host|port).*"
)
#: Media types whose content is never a text in the alphabet of base64.
_BINARY = re.compile(rb"(?:audio|image|video|font)/|application/(?:octet-stream|pdf|zip)")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")


def recognises(file: bytes) -> bool:
    """Whether a file looks like mocks of httpmock."""
    return bool(_WHEN.search(file) and _THEN.search(file))


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of the mocks. Raises ``Misshapen``."""
    documents = (document for document in core_documents(file) if document is not None)
    yield from exchanges_of(documents, "mock", _exchange)


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    mock = mapping(item, "it")
    when = mapping(mock.get("when"), "when")
    then = mapping(mock.get("then"), "then")
    rules = [str(rule) for rule, value in when.items() if value not in (None, [], {})]
    if not all(map(_WHOLE.fullmatch, rules)) or not {"method", "path"} <= set(rules):
        raise Misshapen(
            f"it holds no whole request, only what it is matched by ({', '.join(rules)})"
        )
    refuse_unread(then, "status header body body_base64 delay", "then")
    request_headers = headers(when.get("header"), "the request's headers")
    response_headers = headers(then.get("header"), "the response's headers")
    return Exchange(
        where=where,
        method=text(when["method"], "the method"),
        url=_url(when),
        request_headers=request_headers,
        request_body=_body(when, request_headers, "the request's body"),
        status=integer(then.get("status", 200), "the status"),
        headers=response_headers,
        body=_body(then, response_headers, "the answer's body"),
        took_us=milliseconds_us(then.get("delay")),
    )


def _url(when: Mapping[object, object]) -> str:
    path = text(when["path"], "the path")
    fields = [
        mapping(field, "the query") for field in sequence(when.get("query_param") or [], "it")
    ]
    pairs = [(text(f.get("name"), "a name"), text(f.get("value"), "a value")) for f in fields]
    return f"{path}?{urlencode(pairs, errors='replace')}" if pairs else path


def _body(message: Mapping[object, object], fields: Headers, what: str) -> bytes | None:
    if message.get("body_base64") is not None:
        return unbase64(message["body_base64"], what)
    if message.get("json_body") is not None:
        return minified(message["json_body"], what)
    body = message.get("body")
    if body is None:
        return None
    media = (header(fields, b"content-type") or b"").lower()
    if isinstance(body, str) and _BASE64.fullmatch(body):
        is_form = media.startswith(b"multipart/")
        if is_form or _BINARY.match(media):
            return unbase64(body, what)
    return content(body, what)
