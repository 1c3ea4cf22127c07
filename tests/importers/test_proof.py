"""The proof over files of other projects: that it passes, and sees each part that differs."""

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replay_proxy.importers import Exchange
from replay_proxy.timeline import Timeline
from tests import imports
from tests.importers.exchanges import DATA, URL, interaction, one
from tests.support.independent_reader import Original, originals

VCR = (DATA / "elastic_embeddings.yaml").read_bytes()


def test_files_of_other_projects_are_carried_over_to_the_byte(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert imports.main([str(DATA)]) == 0
    said = capsys.readouterr().out
    assert "9 files: {'ruby-vcr': 1, 'vcrpy': 4, 'go-vcr': 1, 'httprr': 1, 'har': 2}" in said
    assert "0 not carried over" in said


def exchange() -> tuple[Exchange, Any, Original]:
    found = one(VCR, "vcrpy")
    (original,) = originals(VCR)
    return found, interaction(found), original


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("method or status", {"status": 500}),
        ("method or status", {"method": "PUT"}),
        ("path", {"url": "https://api.openai.com/v1/other"}),
        ("query", {"url": URL.replace("chat/completions", "embeddings?a=b")}),
        ("request headers", {"request_headers": ((b"content-type", b"text/plain"),)}),
        ("headers", {"headers": ((b"content-type", b"text/plain"),)}),
        ("headers as stored", {"headers": ((b"date", b"today"),)}),
        ("request body", {"request_body": b"{}"}),
        ("bytes", {"body": b"{}"}),
        ("ends of chunks", {"body": b"{}"}),
    ],
)
def test_the_proof_sees_a_part_that_differs(part: str, change: dict[str, Any]) -> None:
    found, item, original = exchange()
    assert list(imports.differences(found, item, original)) == []
    assert part in imports.differences(found, item, replace(original, **change))


def test_the_proof_sees_a_header_that_is_not_stored_and_a_chunk_that_ends_elsewhere() -> None:
    found, item, original = exchange()
    less = replace(item, headers=item.headers[1:])
    assert list(imports.differences(found, less, original)) == ["headers as stored"]
    unasked = replace(item, request=replace(item.request, headers=()))
    assert list(imports.differences(found, unasked, original)) == ["request headers as stored"]
    cut = replace(item, timeline=Timeline(0, (0, 0), (1, len(item.body)), 0))
    assert list(imports.differences(found, cut, original)) == ["ends of chunks"]


PAIR: dict[str, Any] = {
    "request": {"method": "POST", "url": URL, "uri": URL, "headers": {"accept": "a"}, "body": "{}"},
    "response": {
        "status": 200,
        "headers": {"Content-Type": "text/event-stream"},
        "body": "data: 1\n\ndata: 2",
    },
}
#: One file of each format that the corpora have none of.
FILES = {
    "agent.json": json.dumps(PAIR),
    "agent-binary.json": json.dumps(PAIR).replace('"data: 1\\n\\ndata: 2"', '"base64:/w=="'),
    "old.yaml": f"""\
interactions:
- request: {{method: POST, uri: '{URL}', headers: {{}}, body: '{{}}'}}
  response: {{status_code: 201, headers: {{a: b}}, content: 'hi'}}
""",
    "r.yml": f"""\
http_interactions:
- request: {{method: POST, uri: '{URL}', body: {{string: '{{}}'}}}}
  response:
    status: 200
    headers: {{content-type: text/plain}}
    body: {{raw_gzip: {base64.b64encode(zlib.compress(b"hi")).decode()}}}
recorded_with: VCR-vcr/2.0.0
""",
    "php.yml": f"""
-
    request:
        method: POST
        url: '{URL}'
        body: '{{}}'
    response: {{status: {{code: '200'}}, headers: {{a: b}}, body: hi}}
""",
    "elixir.json": json.dumps(
        {
            "version": "1.0",
            "interactions": [
                {
                    "request": {
                        "method": "GET",
                        "uri": URL,
                        "query_string": "a=b",
                        "body_type": "text",
                        "body": "",
                    },
                    "response": {
                        "status": 200,
                        "headers": {},
                        "body_type": "json",
                        "body_json": {"a": [1.5]},
                    },
                }
            ],
        }
    ),
    "session.json": json.dumps(
        {
            "Entries": [
                {
                    "RequestUri": URL,
                    "RequestMethod": "POST",
                    "RequestHeaders": {
                        "Content-Type": "application/json",
                        "Authorization": "Sanitized",
                    },
                    "RequestBody": {"a": 1},
                    "StatusCode": 200,
                    "ResponseHeaders": {"Content-Type": "text/event-stream; charset=utf-8"},
                    "ResponseBody": ["data: 1\n\n", "data: 2\n\n"],
                }
            ]
        }
    ),
    "back.json": json.dumps(
        [
            {
                "scope": "https://api.openai.com:443",
                "method": "POST",
                "path": "/v1/embeddings?a=b",
                "body": {"a": 1},
                "status": 200,
                "response": {"b": 2},
                "rawHeaders": ["Content-Type", "application/json"],
                "responseIsBinary": False,
            }
        ]
    ),
    "mock.yaml": """\
when: {path: /v1/embeddings, method: POST, query_param: [{name: a, value: b}], body: '{}'}
then: {status: 200, header: [{name: content-type, value: text/plain}], body: hi}
---
when: {path: /v1/models, method: GET}
then: {status: 200, body: hi}
""",
    "polly.har.yaml": f"""\
log:
  entries:
  - startedDateTime: 2026-01-01T00:00:00Z
    request: {{method: POST, url: '{URL}', headers: [], postData: {{textJSON: {{a: 1}}}}}}
    response: {{status: 200, headers: [], content: {{text: hi}}}}
""",
    "reel.jsonl": json.dumps(
        {
            "schema_version": 1,
            "request": {"method": "POST", "path": "/v1/chat/completions", "body": {"a": 1}},
            "response": {
                "status": 200,
                "headers": {},
                "stream_chunks": [{"data": {"b": 2}, "t_offset_ms": 1}],
            },
        }
    ),
}


def test_the_proof_reads_every_format_below_a_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in FILES.items():
        (tmp_path / name[0]).mkdir(exist_ok=True)
        (tmp_path / name[0] / name).write_text(content)
    (tmp_path / "README.md").write_text("no recording")
    assert imports.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"{len(FILES)} files" in said
    assert f"{len(FILES) + 1} exchanges carried over" in said
    assert "1 files of no known format" in said
    for name in ("r-vcr", "php-vcr", "req-cassette", "test-proxy", "nock", "httpmock", "reel"):
        assert f"'{name}': " in said


def test_the_proof_fails_on_a_byte_that_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_bytes(VCR)
    (original,) = originals(VCR)
    monkeypatch.setattr(imports, "originals", lambda file: [replace(original, body=b"?")])
    assert imports.main([str(tmp_path)]) == 1
    assert "not the original's bytes" in capsys.readouterr().out
