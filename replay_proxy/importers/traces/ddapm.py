"""DataDog's test agent: one exchange per JSON file, as dd-trace's suites for OpenAI keep them.

Source: ``ddapm_test_agent/vcr_proxy.py`` 1.69; older files are vcrpy's YAML. A body that is not
text is ``base64:`` and its bytes.
"""

import re
from collections.abc import Iterator

from replay_proxy.importers.documents import json_document
from replay_proxy.importers.exchange import Exchange, NotCarried, each
from replay_proxy.importers.shapes import content, headers, integer, mapping, text, unbase64

_PAIR = re.compile(rb"\A\s*\{\s*\"request\"\s*:\s*\{")
_MARK = "base64:"


def recognises(file: bytes) -> bool:
    """Whether a file looks like a cassette of the test agent."""
    return bool(_PAIR.match(file)) and b'"response"' in file and b'"url"' in file


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The file's one exchange. Raises ``Misshapen``."""
    yield from each([json_document(file)], "exchange", _exchange)


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    pair = mapping(item, "the file")
    request = mapping(pair.get("request"), "the request")
    response = mapping(pair.get("response"), "the response")
    status = response.get("status")
    return Exchange(
        where=where,
        method=text(request.get("method"), "the method"),
        url=text(request.get("url"), "the url"),
        request_headers=headers(request.get("headers"), "the request's headers"),
        request_body=_body(request.get("body"), "the request's body"),
        status=integer(
            status if isinstance(status, int) else mapping(status, "the status").get("code"),
            "the status",
        ),
        headers=headers(response.get("headers"), "the response's headers"),
        body=_body(response.get("body"), "the answer's body"),
    )


def _body(value: object, what: str) -> bytes:
    if isinstance(value, str) and value.startswith(_MARK):
        return unbase64(value.removeprefix(_MARK), what)
    return content(value, what)
