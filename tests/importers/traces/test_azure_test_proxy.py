"""Azure's test-proxy: parsed JSON, lists of lines, base64, and what its sanitizers took away."""

import base64
import json
from typing import Any

import pytest

from replay_proxy.importers import NotCarried
from tests.importers.exchanges import URL, interaction, one, reason, told

JSON = {"Content-Type": "application/json; charset=utf-8"}
MULTIPART = {"Content-Type": 'multipart/form-data; boundary="b"'}
UPLOAD = [
    "--b\r\n",
    "Content-Disposition: form-data; name=file; filename=a.wav\r\n",
    "\r\n",
    "b64:" + base64.b64encode(b"RIFF\xff").decode(),
    "\r\n",
    "--b\r\n",
    "Content-Disposition: form-data; name=empty\r\n",
    "\r\n",
    [],
    "\r\n",
    "--b--\r\n",
]
BYTES = (
    b"--b\r\nContent-Disposition: form-data; name=file; filename=a.wav\r\n\r\nRIFF\xff\r\n"
    b"--b\r\nContent-Disposition: form-data; name=empty\r\n\r\n\r\n--b--\r\n"
)


def recording(**changes: Any) -> str:
    entry = {
        "RequestUri": URL,
        "RequestMethod": "POST",
        "RequestHeaders": {"Authorization": "Sanitized", **JSON},
        "RequestBody": {"model": "m", "text": "안"},
        "StatusCode": 200,
        "ResponseHeaders": JSON,
        "ResponseBody": {"id": 1, "n": 1.5},
    }
    return json.dumps({"Entries": [entry | changes], "Variables": {}})


@pytest.mark.parametrize(
    ("media", "value", "body"),
    [
        ("application/json", {"id": 1, "안": [1.5, None]}, b'{"id": 1, "\\uc548": [1.5, null]}'),
        ("application/json", "[1, 2]", b"[1, 2]"),
        ("application/problem+json", ["[\n", "1]"], b"[\n1]"),
        ("application/json", 7, b"7"),
        (
            "text/event-stream; charset=utf-8",
            ["data: 1\n\n", "data: 2\r\n"],
            b"data: 1\n\ndata: 2\r\n",
        ),
        ("text/plain", "aGk=", b"aGk="),
        ("audio/mpeg", "SUQz/w==", b"ID3\xff"),
        ("application/octet-stream", [], b""),
        (None, "SUQz/w==", b"ID3\xff"),
        (None, "plain: text", b"plain: text"),
        (None, {"id": 1}, b'{"id": 1}'),
    ],
)
def test_a_body_is_read_by_its_media_type(media: str | None, value: Any, body: bytes) -> None:
    named = {"Content-Type": media} if media else {}
    found = one(recording(ResponseHeaders=named, ResponseBody=value), "test-proxy")
    assert found.body == body


def test_a_multipart_request_has_the_bytes_of_its_parts() -> None:
    found = one(recording(RequestHeaders=MULTIPART, RequestBody=UPLOAD), "test-proxy")
    assert found.request_body == BYTES


def test_a_header_that_was_sanitized_is_left_out() -> None:
    named = JSON | {
        "Set-Cookie": ["Sanitized", "Sanitized"],
        "Date": "Sanitized",
        "X-A": ["a", "b"],
    }
    found = interaction(one(recording(ResponseHeaders=named), "test-proxy"))
    assert found.headers[1:] == ((b"x-a", b"a"), (b"x-a", b"b"))
    assert found.request.headers == ((b"content-type", b"application/json; charset=utf-8"),)


def test_an_upload_that_the_recorder_left_out_is_told() -> None:
    headers = MULTIPART | {"Content-Length": "5000"}
    found = one(recording(RequestHeaders=headers, RequestBody=None), "test-proxy")
    assert reason(found) == "the request's body is not in the file"
    cancel = one(
        recording(
            RequestUri="https://api.openai.com/v1/batches/b/cancel",
            RequestHeaders={"Content-Length": "0"},
            RequestBody=None,
        ),
        "test-proxy",
    )
    assert interaction(cancel).request.body == b""


@pytest.mark.parametrize(
    "changes",
    [
        {"ResponseHeaders": {"Content-Type": "audio/mpeg"}, "ResponseBody": "plain: text"},
        {"RequestHeaders": MULTIPART, "RequestBody": ["b64:*"]},
        {"RequestBody": [{"a": 1}]},
        {"ResponseBodyChunks": ["a"]},
    ],
)
def test_a_body_that_cannot_be_read_is_told(changes: dict[str, Any]) -> None:
    (lost,) = told(recording(**changes), "test-proxy")
    assert isinstance(lost, NotCarried)


def test_an_answer_without_its_body_is_told() -> None:
    assert "the answer's body" in reason(one(recording(ResponseBody=None), "test-proxy"))
    deleted = recording(RequestMethod="DELETE", StatusCode=204, ResponseBody=None)
    assert interaction(one(deleted, "test-proxy")).body == b""
