"""An exchange is carried over whole, or listed with the reason: never a part of it."""

import json
from typing import Any

import pytest

from replay_proxy.importers import NotCarried
from tests.importers.exchanges import URL, carried, interaction, make, reason, told

FILES = "https://api.openai.com/v1/files"


def vcrpy(request: dict[str, Any], response: dict[str, Any], **more: Any) -> str:
    asked = {"method": "POST", "uri": URL, "headers": {}} | request
    answered = {"status": {"code": 200}, "headers": {}} | response
    return json.dumps({"interactions": [{"request": asked, "response": answered} | more]})


def why(file: str) -> str:
    (item,) = carried(file)
    assert isinstance(item, NotCarried), item
    return item.reason


ASKED: dict[str, Any] = {"body": '{"model":"m"}'}
ANSWERED: dict[str, Any] = {"body": {"string": "{}"}}


@pytest.mark.parametrize(
    "more",
    [
        {"query_string": "limit=2"},
        {"query": {"limit": "2"}},
        {"qs": {"limit": 2}},
        {"params": [["limit", "2"]]},
        {"body_json": {"model": "m"}},
        {"json": {"model": "m"}},
        {"body_base64": "e30="},
        {"body_encoding": "base64"},
        {"is_base64": True},
        {"form": {"purpose": "batch"}},
        {"files": [{"name": "a"}]},
        {"payload": "{}"},
        {"request_body": "{}"},
        {"raw_headers": ["Range", "bytes=0-9"]},
    ],
)
def test_a_key_of_a_request_that_is_not_read_is_told(more: dict[str, Any]) -> None:
    assert f"the request has the key {next(iter(more))}" in why(vcrpy(ASKED | more, ANSWERED))


@pytest.mark.parametrize(
    "more",
    [
        {"body_json": {"id": 1}},
        {"encoding": "base64"},
        {"isBinary": True},
        {"chunks": ["a"]},
        {"raw_gzip": "H4s="},
    ],
)
def test_a_key_of_a_response_that_is_not_read_is_told(more: dict[str, Any]) -> None:
    assert f"the response has the key {next(iter(more))}" in why(vcrpy(ASKED, ANSWERED | more))


@pytest.mark.parametrize(
    "body",
    [
        {"string": "", "json": {"a": 1}},
        {"string": "path/of/a.file", "file": True},
        {"raw_gzip": "H4s="},
        {"id": 1},
    ],
)
def test_a_body_in_a_form_that_is_not_read_is_told(body: dict[str, Any]) -> None:
    for file in (vcrpy({"body": body}, ANSWERED), vcrpy(ASKED, {"body": body})):
        assert "body" in why(file)


def test_keys_that_hold_nothing_of_an_exchange_do_not_matter() -> None:
    request = {"timestamp": 7, "http_version": "HTTP/2", "content_length": 13, "form": {}}
    response = {"url": URL, "reason": "OK", "elapsed_ms": 9, "encoding": "utf-8", "chunks": []}
    (item,) = carried(vcrpy(ASKED | request, ANSWERED | response, id=3, comment="why"))
    assert not isinstance(item, NotCarried), item
    assert item.request.body == b'{"model":"m"}'


def test_a_stream_beside_its_exchange_is_told() -> None:
    assert "it has the key stream_chunks" in why(vcrpy(ASKED, ANSWERED, stream_chunks=["a"]))


@pytest.mark.parametrize(
    "changed",
    [
        {"request_body": b""},
        {"request_body": None},
        {"request_body": None, "url": FILES + "/a/b"},
        {"request_body": b"", "url": FILES},
        {"request_body": None, "method": "PUT", "url": FILES},
        {"request_body": b"", "request_headers": ((b"content-length", b"9"),)},
        {"request_body": None, "method": "DELETE", "request_headers": ((b"content-length", b"9"),)},
    ],
)
def test_a_request_whose_body_was_not_kept_is_told(changed: dict[str, Any]) -> None:
    assert reason(make(**changed)) == "the request's body is not in the file"


@pytest.mark.parametrize(
    "changed",
    [
        {"request_body": None, "method": "GET", "url": FILES},
        {"request_body": None, "method": "DELETE", "url": FILES + "/a"},
        {"request_body": None, "url": "https://api.openai.com/v1/batches/b/cancel"},
        {"request_body": None, "request_headers": ((b"content-length", b"0"),)},
        {"request_body": b"", "url": "https://api.openai.com/v1/threads"},
        {"request_body": b"", "status": 400},
    ],
)
def test_a_request_that_had_no_body_is_carried_over(changed: dict[str, Any]) -> None:
    assert interaction(make(**changed)).request.body == b""


JSON = (b"content-type", b"application/json; charset=utf-8")
EVENTS = (b"content-type", b"text/event-stream")


@pytest.mark.parametrize(
    "changed",
    [
        {"body": None, "headers": ()},
        {"body": b"", "headers": (JSON,)},
        {"body": b"", "headers": (EVENTS,)},
        {"body": b"", "headers": ((b"content-length", b"9"),)},
        {"body": None, "headers": (JSON,), "status": 500},
    ],
)
def test_an_answer_whose_body_was_not_kept_is_told(changed: dict[str, Any]) -> None:
    assert reason(make(**changed)) == "the answer's body is not in the file"


@pytest.mark.parametrize(
    "changed",
    [
        {"body": None, "method": "HEAD", "headers": (JSON, (b"content-length", b"9"))},
        {"body": None, "status": 204},
        {"body": b"", "status": 304, "headers": (JSON,)},
        {"body": b"", "headers": (JSON, (b"content-length", b"0"))},
        {"body": b"", "headers": ()},
        {"body": b"", "headers": (JSON,), "status": 500},
    ],
)
def test_an_answer_that_had_no_body_is_carried_over(changed: dict[str, Any]) -> None:
    assert interaction(make(**changed)).body == b""


REQUEST = {"method": "POST", "uri": URL, "url": URL}
RESPONSE = {"status": {"code": 200}, "headers": {}, "body": {"string": "{}"}}
PAIR = {"request": REQUEST, "response": RESPONSE}
GO = f"""
version: 2
interactions:
  - request:
      method: POST
      content_length: 9
      url: {URL}
    response: {{code: 200, body: '{{}}'}}
"""


@pytest.mark.parametrize(
    "file",
    [vcrpy({}, ANSWERED), json.dumps(PAIR), json.dumps({"http_interactions": [PAIR]}), GO],
    ids=["vcrpy", "test-agent", "ruby-vcr", "go-vcr"],
)
def test_a_request_without_its_body_is_told_in_every_format(file: str) -> None:
    assert why(file) == "the request's body is not in the file"


def test_a_session_of_a_websocket_is_told_once() -> None:
    message = {"kind": "message", "direction": "sent", "data": {"type": "response.create"}}
    file = "interactions:\n" + "".join(f"- {json.dumps(message)}\n" for _ in range(3))
    (lost,) = told(file, "vcrpy")
    assert isinstance(lost, NotCarried)
    assert lost.reason == "it is a WebSocket of 3 messages, which cannot be replayed"
