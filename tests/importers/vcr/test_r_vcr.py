"""R's vcr in its versions, as YAML and as JSON: Ruby's layout, and yet not Ruby's."""

import base64
import gzip
import json
import zlib
from typing import Any

import pytest

from replay_proxy.importers import NotCarried
from tests.importers.exchanges import URL, interaction, one, told

#: Version 2 writes a number for the status, and no request headers.
SECOND = """\
http_interactions:
- request:
    method: POST
    uri: https://api.openai.com/v1/responses
    body:
      string: '{{"input":"Tell me
        a joke","model":"gpt-5"}}'
  response:
    status: 200
    headers:
      content-encoding: gzip
      content-type: application/json
      date: Sun, 02 Aug 2026 22:26:36 GMT
      access-control-expose-headers:
      - X-Request-ID
      - CF-Ray
    body:
      {body}
  recorded_at: 2026-08-02 22:26:37
recorded_with: VCR-vcr/2.0.0
"""
FIRST = """\
http_interactions:
- request:
    method: post
    uri: https://api.openai.com/v1/embeddings
    body:
      encoding: ''
      string: '{{"input":"a"}}'
    headers:
      Accept: application/json, text/xml
      Authorization: <redacted>
  response:
    status:
      status_code: 200
      message: OK
      explanation: Request fulfilled, document follows
    headers:
      status: HTTP/1.1 200 OK
      content-type: application/json
    body:
      encoding: ''
      file: no
      {body}
  recorded_at: 2018-04-13 00:33:14 GMT
  recorded_with: vcr/1.0.2, webmockr/0.8.0
"""


def folded(data: bytes) -> str:
    text = base64.b64encode(data).decode()
    lines = [text[at : at + 8] for at in range(0, len(text), 8)]
    return "|-\n        " + "\n        ".join(lines)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('string: \'{"id": "resp_1"}\'', b'{"id": "resp_1"}'),
        ('string: |\n        {\n          "id": 1\n        }', b'{\n  "id": 1\n}\n'),
        ("raw_gzip: " + folded(zlib.compress(b'{"a": "\xff"}')), b'{"a": "\xff"}'),
        ("raw_gzip: " + folded(gzip.compress(b'{"a": 1}', mtime=0)), b'{"a": 1}'),
        ("base64_string: " + folded(b"\x89PNG\xff"), b"\x89PNG\xff"),
    ],
)
def test_a_body_of_version_2_is_read_in_every_form(body: str, expected: bytes) -> None:
    found = interaction(one(SECOND.format(body=body), "r-vcr"))
    assert (found.status, found.body) == (200, expected)
    assert found.request.body == b'{"input":"Tell me a joke","model":"gpt-5"}'
    assert found.request.arrived_us // 1_000_000 == 1_785_709_597
    exposed = [value for name, value in found.headers if name == b"access-control-expose-headers"]
    assert exposed == [b"X-Request-ID", b"CF-Ray"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("string: '{\"id\": 1}'", b'{"id": 1}'),
        ("base64_string: " + folded(b'{"id": 1}'), b'{"id": 1}'),
    ],
)
def test_version_1_is_read_without_the_status_line_among_its_headers(
    body: str, expected: bytes
) -> None:
    found = interaction(one(FIRST.format(body=body), "r-vcr"))
    assert (found.status, found.body) == (200, expected)
    assert found.headers == ((b"content-type", b"application/json"),)
    assert (found.request.method, found.request.body) == ("POST", b'{"input":"a"}')
    assert found.request.arrived_us // 1_000_000 == 1_523_579_594


@pytest.mark.parametrize("nothing", ["string: no", "string: ''"])
def test_version_1_says_that_a_request_had_no_body(nothing: str) -> None:
    file = FIRST.format(body="string: '{}'").replace("""string: '{"input":"a"}'""", nothing)
    found = one(file.replace("post", "get"), "r-vcr")
    assert found.request_body == b""


@pytest.mark.parametrize("status", [200, {"status_code": 200, "category": "Success"}])
def test_json_is_read_like_yaml(status: Any) -> None:
    pair = {
        "request": {"method": "POST", "uri": URL, "body": {"string": "{}"}, "headers": []},
        "response": {
            "status": status,
            "headers": {"content-type": "application/json"},
            "body": {"string": '{"id": 1}'},
        },
        "recorded_at": "2026-08-02 22:26:37",
        "recorded_with": "vcr/1.6.0, webmockr/0.9.0",
    }
    assert interaction(one(json.dumps({"http_interactions": [pair]}), "r-vcr")).body == b'{"id": 1}'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("fields: {purpose: user_data, file: {path: a.pdf}}", "fields of a form"),
        ("on_disk: a/b.json", "in another file: a/b.json"),
        ("string: a/b.json\n      file: yes", "in another file: a/b.json"),
        ("raw_gzip: aGk=", "cannot be decompressed"),
        ("raw_bzip2: aGk=", "the key raw_bzip2"),
    ],
)
def test_a_body_that_is_not_in_the_file_is_told(body: str, said: str) -> None:
    (lost,) = told(SECOND.format(body=body), "r-vcr")
    assert isinstance(lost, NotCarried)
    assert said in lost.reason


def test_a_request_whose_body_was_not_matched_by_is_told() -> None:
    file = SECOND.format(body="string: '{}'").split("    body:", 1)
    without = file[0] + "  response:" + file[1].split("  response:", 1)[1]
    found = one(without, "r-vcr")
    assert found.request_body is None
