"""DataDog's test agent: one exchange per JSON file, as dd-trace's suites for OpenAI keep them.

Source: ``ddapm_test_agent/vcr_proxy.py`` 1.69; older files are vcrpy's YAML. A body that is not
text is ``base64:`` and its bytes.
"""

import re
from collections.abc import Iterator, Mapping

from replay_proxy.importers.bodies import body_of, unbase64
from replay_proxy.importers.documents import json_document
from replay_proxy.importers.exchange import Exchange, NotCarried, exchanges_of
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, mapping, status, text

_PAIR = re.compile(rb"\A\s*\{\s*\"request\"\s*:\s*\{")
_MARK = "base64:"


def recognises(file: bytes) -> bool:
    """Whether a file looks like a cassette of the test agent."""
    return bool(_PAIR.match(file)) and b'"response"' in file and b'"url"' in file


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The file's one exchange. Raises ``Misshapen``."""
    yield from exchanges_of([json_document(file)], "exchange", _exchange)


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    pair = mapping(item, "the file")
    request = mapping(pair.get("request"), "the request")
    response = mapping(pair.get("response"), "the response")
    refuse_unread(request, "method url headers body", "the request")
    refuse_unread(response, "status headers body", "the response")
    return Exchange(
        where=where,
        method=text(request.get("method"), "the method"),
        url=text(request.get("url"), "the url"),
        request_headers=headers(request.get("headers"), "the request's headers"),
        request_body=_body(request, "the request's body"),
        status=status(response.get("status")),
        headers=headers(response.get("headers"), "the response's headers"),
        body=_body(response, "the answer's body"),
    )


def _body(message: Mapping[object, object], what: str) -> bytes | None:
    value = message.get("body")
    if isinstance(value, str) and value.startswith(_MARK):
        return unbase64(value.removeprefix(_MARK), what)
    return body_of(message, what)
