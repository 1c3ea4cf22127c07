"""vcrpy and pytest-recording: YAML or JSON, in every layout that their versions and plugins write.

Sources: ``vcr/serialize.py``, ``vcr/migration.py`` and ``vcr/stubs/httpx_stubs.py`` of vcrpy,
pydantic-ai's ``json_body_serializer.py`` (``parsed_body``), and ``langchain_tests.conftest``
(parallel lists ``requests`` and ``responses``, gzip).
"""

import re
from collections.abc import Iterator, Mapping

from replay_proxy.importers.bodies import body_of, content, dumped
from replay_proxy.importers.documents import document
from replay_proxy.importers.exchange import Exchange, Misshapen, NotCarried, exchanges_of
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, mapping, sequence, status, text
from replay_proxy.importers.timestamps import moment_us

_PARALLEL = re.compile(rb"^requests:", re.MULTILINE)
_PARALLEL_TOO = re.compile(rb"^responses:", re.MULTILINE)
_OLD = re.compile(rb"\A(?:---\s+)?- request:|\A\s*\[\s*\{\s*\"re(?:quest|sponse)\"")
_REQUEST_KEYS = "method uri url headers body parsed_body protocol host port path"
_RESPONSE_KEYS = "status status_code headers body parsed_body content"
_INTERACTIONS = re.compile(rb"^interactions:", re.MULTILINE)
_ADDRESS = re.compile(rb"^( +)(uri|url):", re.MULTILINE)
_JSON_INTERACTIONS = re.compile(rb"\A\s*\{[^{\[]*\"interactions\"\s*:\s*\[")
_JSON_ADDRESS = re.compile(rb"()\"(uri|url)\"\s*:")


def names_address(file: bytes) -> bytes | None:
    """Whether the interactions of a file call their URL ``uri`` (vcrpy) or ``url`` (go-vcr).

    None for a file without interactions. The least indented such line counts, since the lines of a
    body are indented further; JSON inside JSON has its quotes escaped.
    """
    if _JSON_INTERACTIONS.match(file):
        pattern = _JSON_ADDRESS
    elif _INTERACTIONS.search(file):
        pattern = _ADDRESS
    else:
        return None
    keys = [(len(match[1]), match[2]) for match in pattern.finditer(file)]
    least = min((indent for indent, _ in keys), default=0)
    names = [name for indent, name in keys if indent == least]
    # Answers of aiohttp have a url, besides the uri of the request.
    return b"url" if names and b"uri" not in names else b"uri"


def recognises(file: bytes) -> bool:
    """Whether a file looks like a cassette of vcrpy."""
    if _OLD.search(file) or (_PARALLEL.search(file) and _PARALLEL_TOO.search(file)):
        return True
    return names_address(file) == b"uri"


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a cassette. Raises ``Misshapen``."""
    pairs = _pairs(document(file))
    if pairs and all(map(_is_message, pairs)):
        yield NotCarried(
            "the session", f"it is a WebSocket of {len(pairs)} messages, which cannot be replayed"
        )
        return
    yield from exchanges_of(pairs, "interaction", _exchange)


def _is_message(item: object) -> bool:
    """Whether an item is a message of a WebSocket, as pydantic-ai's tests keep them."""
    return isinstance(item, Mapping) and "direction" in item and "request" not in item


def _pairs(data: object) -> list[object]:
    if isinstance(data, list):
        return data  # Before version 1 there was nothing around the list.
    cassette = mapping(data, "the file")
    if "interactions" in cassette:
        return list(sequence(cassette["interactions"] or [], "interactions"))
    if "requests" in cassette and "responses" in cassette:
        requests = sequence(cassette["requests"] or [], "requests")
        responses = sequence(cassette["responses"] or [], "responses")
        if len(requests) != len(responses):
            raise Misshapen(f"it has {len(requests)} requests and {len(responses)} responses")
        return [
            {"request": request, "response": response}
            for request, response in zip(requests, responses, strict=True)
        ]
    raise Misshapen("it has no interactions")


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    pair = mapping(item, "it")
    request = mapping(pair.get("request"), "the request")
    response = mapping(pair.get("response"), "the response")
    refuse_unread(request, _REQUEST_KEYS, "the request")
    refuse_unread(response, _RESPONSE_KEYS, "the response")
    refuse_unread(pair, "request response", "it")
    return Exchange(
        where=where,
        method=text(request.get("method"), "the method"),
        url=_url(request),
        request_headers=headers(request.get("headers"), "the request's headers"),
        request_body=_request_body(request),
        status=status(response.get("status", response.get("status_code"))),
        headers=headers(response.get("headers"), "the response's headers"),
        body=_body(response),
        recorded_us=moment_us(pair.get("recorded_at")),
    )


def _url(request: Mapping[object, object]) -> str:
    if "uri" in request or "url" in request:
        return text(request.get("uri", request.get("url")), "the uri")
    scheme = text(request.get("protocol"), "the protocol")
    host = text(request.get("host"), "the host")
    return f"{scheme}://{host}{text(request.get('path'), 'the path')}"


def _request_body(request: Mapping[object, object]) -> bytes | None:
    if request.get("parsed_body") is not None:
        return dumped(request["parsed_body"], "the request's body")
    return body_of(request, "the request's body")


def _body(response: Mapping[object, object]) -> bytes | None:
    if "body" in response and not (response["body"] is None and "parsed_body" in response):
        return content(response["body"], "the answer's body")
    if "parsed_body" in response:
        return dumped(response["parsed_body"], "the answer's body")
    if "content" in response:
        return content(response["content"], "the answer's body")
    return None
