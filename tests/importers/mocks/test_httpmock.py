"""httpmock: documents of ``when`` and ``then`` that hold whole requests, and others."""

import base64
import json
from typing import Any

import pytest

from replay_proxy.errors import ImportRefused
from replay_proxy.importers import Exchange, NotCarried
from tests.importers.exchanges import interaction, one, reason, told

MOCKS = """\
when:
  path: /v1/chat/completions
  method: POST
  query_param:
  - name: a
    value: b c
  header:
  - name: content-type
    value: application/json
  body: '{"model":"m","stream":true}'
then:
  status: 200
  header:
  - name: content-type
    value: text/event-stream; charset=utf-8
  - name: x-time
    value: 12:30:45
  body: |+
    data: {"id":1}

    data: [DONE]

  delay: 40
---
when:
  path: /v1/models
  method: GET
  query_param: []
then:
  status: 404
  body: no
---
"""


def mock(when: dict[str, Any] | None = None, then: dict[str, Any] | None = None) -> str:
    rules = {"path": "/v1/chat/completions", "method": "POST", "body": "{}"} | (when or {})
    answer = {"status": 200, "body": "hi"} | (then or {})
    return f"when: {json.dumps(rules)}\nthen: {json.dumps(answer)}\n"


def typed(media: str, body: str) -> dict[str, Any]:
    return {"header": [{"name": "content-type", "value": media}], "body": body}


def test_each_document_is_an_exchange_in_order() -> None:
    first, second = told(MOCKS, "httpmock")
    assert isinstance(first, Exchange)
    assert isinstance(second, Exchange)
    found = interaction(first)
    assert found.body == b'data: {"id":1}\n\ndata: [DONE]\n\n'
    assert (found.request.path, found.request.query) == ("/v1/chat/completions", "a=b+c")
    assert found.request.body == b'{"model":"m","stream":true}'
    assert found.headers[1] == (b"x-time", b"12:30:45")
    assert (len(found.timeline.ends), found.timeline.total_us) == (2, 40_000)
    assert (second.where, second.method, second.status, second.body) == (
        "mock 2",
        "GET",
        404,
        b"no",
    )


@pytest.mark.parametrize(
    ("then", "body"),
    [
        ({"body": None, "body_base64": base64.b64encode(b"ID3\xff").decode()}, b"ID3\xff"),
        (typed("audio/wav", "UklGRv8="), b"RIFF\xff"),
        (typed("text/plain", "UklGRv8="), b"UklGRv8="),
        (typed("application/json", "7"), b"7"),
    ],
)
def test_an_answer_is_read_in_every_form(then: dict[str, Any], body: bytes) -> None:
    assert one(mock(then=then), "httpmock").body == body


@pytest.mark.parametrize(
    ("when", "body"),
    [
        ({"body": None, "json_body": {"b": 1, "a": "안"}}, '{"b":1,"a":"안"}'.encode()),
        ({"body": None, "body_base64": "LS1i/w=="}, b"--b\xff"),
        (typed("multipart/form-data; boundary=b", "LS1i/w=="), b"--b\xff"),
        (typed("multipart/form-data; boundary=b", "--b\r\n"), b"--b\r\n"),
    ],
)
def test_a_request_is_read_in_every_form(when: dict[str, Any], body: bytes) -> None:
    assert one(mock(when), "httpmock").request_body == body


@pytest.mark.parametrize(
    "when",
    [
        {"body": None, "body_contains": ["a"]},
        {"body_matches": ["a.*"]},
        {"json_body_includes": [{"model": "m"}]},
        {"path": None, "path_matches": ["/v1/.*"]},
        {"query_param_exists": ["a"]},
        {"form_urlencoded_tuple": [{"name": "a", "value": "b"}]},
        {"method": None},
        {"a_rule_of_tomorrow": "a"},
    ],
)
def test_rules_for_several_requests_are_told(when: dict[str, Any]) -> None:
    (lost,) = told(mock(when), "httpmock")
    assert isinstance(lost, NotCarried)
    assert "no whole request" in lost.reason


def test_rules_about_headers_do_not_matter() -> None:
    rules = {
        "header_exists": ["a"],
        "cookie": [{"name": "a", "value": "b"}],
        "host": "h",
        "port": 1,
    }
    assert one(mock(rules), "httpmock").request_body == b"{}"


def test_what_is_not_in_the_mock_is_told() -> None:
    assert reason(one(mock({"body": None}), "httpmock")) == "the request's body is not in the file"
    assert (
        reason(one(mock(then={"body": None}), "httpmock")) == "the answer's body is not in the file"
    )
    (lost,) = told(mock(then={"body_from_file": "a"}), "httpmock")
    assert isinstance(lost, NotCarried)


def test_a_broken_document_refuses_the_file() -> None:
    with pytest.raises(ImportRefused, match="cannot be read as httpmock"):
        told(MOCKS + "when: [\nthen: a\n")
