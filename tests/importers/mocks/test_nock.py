"""nock: parsed JSON, texts, hexadecimal, and pieces of an encoded answer."""

import gzip
import json
from typing import Any

import pytest

from replay_proxy.importers import Exchange, NotCarried
from tests.importers.exchanges import interaction, one, reason, told

EVENTS = 'data: {"id": 1}\n\ndata: [DONE]\n\n'


def definitions(**changes: Any) -> str:
    usual = {
        "scope": "https://api.openai.com:443",
        "method": "POST",
        "path": "/v1/chat/completions?a=b",
        "body": {"model": "m", "text": "안"},
        "status": 200,
        "response": {"id": 1},
        "rawHeaders": ["Content-Type", "application/json", "X-A", "a", "X-A", "b"],
        "responseIsBinary": False,
    }
    return json.dumps([usual | changes])


def in_pieces(data: bytes) -> list[str]:
    return [data[:9].hex(), data[9:].hex()]


@pytest.mark.parametrize(
    ("response", "media", "encoding", "body"),
    [
        ({"id": 1, "t": "안"}, "application/json", None, '{"id":1,"t":"안"}'.encode()),
        ([{"id": 1}, "aa"], "application/json", None, b'[{"id":1},"aa"]'),
        (["aa", "bb"], "application/json", None, b'["aa","bb"]'),
        (EVENTS, "text/event-stream", None, EVENTS.encode()),
        ("cafe", "text/plain", None, b"cafe"),
        (in_pieces(gzip.compress(b'{"id":1}', mtime=0)), "application/json", "gzip", b'{"id":1}'),
        (["not hex"], "application/json", "gzip", b'["not hex"]'),
    ],
)
def test_an_answer_is_read_in_every_form(
    response: Any, media: str, encoding: str | None, body: bytes
) -> None:
    raw = {"content-type": media} | ({"content-encoding": encoding} if encoding else {})
    found = interaction(one(definitions(response=response, rawHeaders=raw), "nock"))
    assert (found.status, found.body) == (200, body)
    assert (found.request.path, found.request.query) == ("/v1/chat/completions", "a=b")
    assert found.request.body == '{"model":"m","text":"안"}'.encode()


@pytest.mark.parametrize("is_binary", [True, None])
def test_a_binary_answer_is_hexadecimal(is_binary: bool | None) -> None:
    file = definitions(response=b"RIFF\xff".hex(), responseIsBinary=is_binary)
    assert one(file, "nock").body == b"RIFF\xff"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a=b&c=d", b"a=b&c=d"),
        (b"--b\r\n\xff".hex(), b"--b\r\n\xff"),
        ("6869", b"6869"),
        ([1, 2], b"[1,2]"),
        ("", b""),
    ],
)
def test_a_request_body_is_read_in_every_form(body: Any, expected: bytes) -> None:
    assert one(definitions(body=body), "nock").request_body == expected


def test_raw_headers_are_pairs_of_a_list_and_older_ones_a_mapping() -> None:
    found = interaction(one(definitions(), "nock"))
    assert found.headers[1:] == ((b"x-a", b"a"), (b"x-a", b"b"))
    older = json.loads(definitions())
    del older[0]["rawHeaders"], older[0]["responseIsBinary"], older[0]["status"]
    older[0] |= {"headers": {"content-type": "text/plain"}, "reply": "201"}
    found = interaction(one(json.dumps(older), "nock"))
    assert (found.status, found.headers) == (201, ((b"content-type", b"text/plain"),))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"body": "*"}, "any body matches"),
        ({"rawHeaders": ["Content-Type"]}, "without a value"),
        ({"response": "xyz", "responseIsBinary": True}, "not hexadecimal"),
        ({"query": {"limit": 2}}, "the key query"),
        ({"responseFile": "a.json"}, "the key responseFile"),
        ({"status": None}, "the status is missing"),
    ],
)
def test_a_definition_that_is_no_whole_exchange_is_told(changes: dict[str, Any], said: str) -> None:
    (lost,) = told(definitions(**changes), "nock")
    assert isinstance(lost, NotCarried)
    assert said in lost.reason


def test_a_definition_without_a_request_body_is_told() -> None:
    (found,) = told(definitions(body=None), "nock")
    assert isinstance(found, Exchange)
    assert reason(found) == "the request's body is not in the file"
