"""php-vcr, recognised by its content; it resembles vcrpy before version 1."""

import json
from typing import Any

import pytest

from replay_proxy.importers import NotCarried
from tests.importers.exchanges import URL, interaction, one, told

YAML = """

-
    request:
        method: POST
        url: 'https://api.openai.com/v1/chat/completions?a=b'
        headers:
            Host: api.openai.com
            Content-Type: application/json
        body: '{"model":"m","text":"안"}'
    response:
        status:
            http_version: '1.1'
            code: '200'
            message: OK
        headers:
            Content-Type: application/json
            Set-Cookie: [a, b]
            X-Time: 12:30:45
            Date: 'Sun, 02 Aug 2026 22:26:36 GMT'
        body: "{\\n  \\"id\\": 1\\n}"
    index: 0
-
    request:
        method: GET
        url: 'https://api.openai.com/v1/models'
        headers:
            Host: api.openai.com
    response:
        status: 200
        headers: {}
        body: hi
"""


def recording(request: dict[str, Any], response: dict[str, Any]) -> str:
    asked = {"method": "POST", "url": URL, "headers": {"Host": "api.openai.com"}} | request
    status = {"http_version": "1.1", "code": "200", "message": "OK"}
    return json.dumps([{"request": asked, "response": {"status": status} | response}])


@pytest.mark.parametrize("head", ["", "---"])
def test_yaml_is_read(head: str) -> None:
    first, second = told(head + YAML, "php-vcr")
    assert not isinstance(first, NotCarried)
    assert not isinstance(second, NotCarried)
    found = interaction(first)
    assert (found.request.query, found.body) == ("a=b", b'{\n  "id": 1\n}')
    assert (b"x-time", b"12:30:45") in found.headers
    assert found.request.body == '{"model":"m","text":"안"}'.encode()
    assert found.request.arrived_us // 1_000_000 == 1_785_709_596
    assert (second.method, second.request_body, second.body) == ("GET", b"", b"hi")


def test_json_is_read() -> None:
    found = one(recording({"body": "{}"}, {"body": "hi"}), "php-vcr")
    assert (found.status, found.request_body, found.body) == (200, b"{}", b"hi")


@pytest.mark.parametrize(
    "named", [{"Content-Transfer-Encoding": "binary"}, {"Content-Type": "application/x-gzip"}]
)
def test_an_answer_that_its_headers_call_binary_is_decoded(named: dict[str, str]) -> None:
    found = one(recording({"body": "{}"}, {"headers": named, "body": "iVBORw=="}), "php-vcr")
    assert found.body == b"\x89PNG"


@pytest.mark.parametrize(
    "form",
    [
        {"post_fields": {"purpose": "batch"}},
        {"post_files": [{"fieldName": "file", "filename": "a"}]},
    ],
)
def test_a_form_without_its_bytes_is_told(form: dict[str, Any]) -> None:
    (lost,) = told(recording(form, {"body": "hi"}), "php-vcr")
    assert isinstance(lost, NotCarried)
    assert "fields of a form" in lost.reason
    assert one(recording(form | {"body": "a=b"}, {"body": "hi"}), "php-vcr").request_body == b"a=b"
