"""Other tools' recordings: every dialect to the byte, and files that mean harm."""

import base64
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from replay_proxy.cassette import Interaction
from replay_proxy.errors import ImportRefused
from replay_proxy.importers import FORMATS, Exchange, NotCarried, carry_over, detect, read
from replay_proxy.matching.fingerprint import fingerprint
from tests.importers.exchanges import (
    BEGIN_US,
    DATA,
    GZIPPED,
    URL,
    carried,
    interaction,
    make,
    one,
    reason,
    told,
)
from tests.support.paths import ROOT
from tests.support.requests import post

# --- vcrpy --------------------------------------------------------------------------------------

VCR = """\
interactions:
- request:
    body: '{{"url": 1}}'
    headers:
      {header}
    method: POST
    uri: https://api.openai.com/v1/chat/completions
  response:
{response}
version: 1
"""
STATUS = "    status: {code: 200, message: OK}\n    headers: {}\n"


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (STATUS + "    body: {string: 'a'}", b"a"),
        (STATUS + "    body:\n      string: !!binary |\n        " + GZIPPED, b'{"a": 1}'),
        (STATUS + "    body: {base64_string: aGk=}", b"hi"),
        (STATUS + "    body: {encoding: base64, string: aGk=}", b"hi"),
        (STATUS + "    body: plain", b"plain"),
        (STATUS + "    body: {string: null}", b""),
        (STATUS + "    parsed_body: {a: [1, 2.5, null, true, 안]}", None),
        ("    status_code: 200\n    headers: {}\n    content: '{}'", b"{}"),
        ("    status_code: 200\n    headers: []\n    content: !!binary aGk=", b"hi"),
        (STATUS + "    body: {string: !!python/unicode 'é'}", "é".encode()),
        (STATUS + '    body: {string: "a\\r\\n\\r\\n\\x00\\uFFFD"}', b"a\r\n\r\n\0\xef\xbf\xbd"),
    ],
)
def test_a_body_of_vcrpy_is_read_in_every_layout(response: str, body: bytes | None) -> None:
    headers = ((b"content-type", b"text/plain"),)
    found = one(VCR.format(header="a: b", response=response), "vcrpy")
    expected = b'{"a": [1, 2.5, null, true, "\\uc548"]}' if body is None else body
    got = interaction(make(body=found.body, status=found.status, headers=headers))
    assert (got.status, got.body) == (200, expected)
    assert (found.url, found.request_body) == (URL, b'{"url": 1}')


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("Accept: [a, b]", ((b"accept", b"a"), (b"accept", b"b"))),
        ("Accept: a", ((b"accept", b"a"),)),
        ("Accept: 7", ((b"accept", b"7"),)),
        ("Accept: true", ((b"accept", b"true"),)),
        ("Accept: 2024-05-01", ((b"accept", b"2024-05-01"),)),
        ("Accept: null", ((b"accept", b""),)),
        ("Accept: [!!binary YWI=]", ((b"accept", b"ab"),)),
        ('Accept: ["a\\r\\nb: c"]', ((b"accept", b"a b: c"),)),
        ("':status': ['200']", ()),
        ("? !!python/object/apply:multidict._multidict.istr [Accept]\n      : [a]", None),
        ("? !!python/object/new:multidict._istr.istr [Accept]\n      : a", None),
        ("!!python/str Accept: !!python/tuple [a]", None),
    ],
)
def test_headers_of_vcrpy_are_read_in_every_spelling(header: str, field: Any) -> None:
    response = STATUS + "    body: {string: ''}"
    found = one(VCR.format(header=header, response=response), "vcrpy")
    assert found.request_headers == (((b"accept", b"a"),) if field is None else field)


def test_json_of_vcrpy_joins_surrogates_and_keeps_order() -> None:
    pair = {
        "request": {"method": "POST", "uri": URL, "body": '{"url": "x"}', "headers": {"A": ["1"]}},
        "response": {
            "status": {"code": 200, "message": "OK"},
            "headers": {},
            "body": {"string": "\U0001f600"},
            "url": URL,
        },
    }
    found = told(json.dumps({"version": 1, "interactions": [pair, pair]}), "vcrpy")
    assert [item.where for item in found] == ["interaction 1", "interaction 2"]
    assert isinstance(found[0], Exchange)
    assert found[0].body == "\U0001f600".encode()


def test_langchains_gzipped_parallel_lists_are_read() -> None:
    text = f"""\
requests:
- {{body: '{{}}', headers: {{a: [b]}}, method: POST, uri: '{URL}'}}
responses:
- {{body: {{string: hi}}, headers: {{}}, status: {{code: 200, message: OK}}}}
"""
    assert one(gzip.compress(text.encode()), "vcrpy").body == b"hi"


def test_parallel_lists_of_unequal_length_are_refused() -> None:
    with pytest.raises(ImportRefused, match="1 requests and 0 responses"):
        told("requests:\n- {}\nresponses: []\n", "vcrpy")


def test_the_layout_before_version_1_is_read() -> None:
    text = """\
- request: !!python/object:vcr.request.Request
    body: null
    headers: !!python/object/apply:__builtin__.frozenset
    - - !!python/tuple [accept, '*/*']
    host: api.openai.com
    method: GET
    path: /v1/models
    port: 443
    protocol: https
  response:
    body: {string: hi}
    headers: ["Content-Type: text/plain\\r\\n"]
    status: {code: 200, message: OK}
"""
    found = one(text, "vcrpy")
    assert found.url == "https://api.openai.com/v1/models"
    assert found.request_headers == ((b"accept", b"*/*"),)
    assert found.headers == ((b"content-type", b"text/plain"),)


def test_a_request_body_that_was_a_file_is_its_bytes() -> None:
    text = VCR.format(header="a: b", response=STATUS + "    body: {string: ''}").replace(
        """'{"url": 1}'""",
        "!!python/object/new:_io.BytesIO\n      state: !!python/tuple [!!binary aGk=, 0, null]",
    )
    assert one(text, "vcrpy").request_body == b"hi"


def test_a_lost_interaction_is_told_and_the_others_are_read() -> None:
    good = VCR.format(header="a: b", response=STATUS + "    body: {string: ''}")
    bad = "- 7\n- {request: {uri: a, method: b, headers: 5}, response: {status: {code: 200}}}\n"
    items = told(good.replace("version: 1", bad + "version: 1"), "vcrpy")
    assert [(item.where, item.reason) for item in items if isinstance(item, NotCarried)] == [
        ("interaction 2", "it is a number, not a mapping"),
        ("interaction 3", "the request's headers is a number, not a mapping"),
    ]
    assert isinstance(items[0], Exchange)
    assert len(items) == 3


@pytest.mark.parametrize(
    "place", ["header", "body", "uri", "top"], ids=lambda place: f"tag in the {place}"
)
def test_a_tag_executes_nothing(place: str, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    evil = f"!!python/object/apply:os.system ['touch {mark}', 'x']"
    text = VCR.format(
        header=f"? {evil}\n      : [a]" if place == "header" else "a: b",
        response=STATUS + ("    body: " + evil if place == "body" else "    body: {string: ''}"),
    )
    if place == "uri":
        text = text.replace(URL, evil)
    if place == "top":
        text += f"extra: {evil}\n"
    items = told(text)
    assert not mark.exists()
    assert isinstance(items[0], Exchange if place == "top" else NotCarried)


# --- VCR for Ruby -------------------------------------------------------------------------------

RUBY = """\
---
http_interactions:
- request:
    method: post
    uri: https://api.openai.com/v1/chat/completions
    body: {{encoding: US-ASCII, string: '{{}}'}}
    headers: {{Accept: ["*/*"]}}
  response:
    status: {{code: 200, message: OK}}
    headers: {{Content-Type: [text/plain]}}
    body:
      encoding: {encoding}
      {body}
  recorded_at: Wed, 19 Aug 2026 14:35:11 GMT
recorded_with: VCR 6.3.1
"""


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        ("UTF-8", "string: é", "é".encode()),
        ("ISO-8859-1", "string: é", b"\xe9"),
        ("ASCII-8BIT", "string: é", "é".encode()),
        ("ASCII-8BIT", "string: !binary |-\n        /w==", b"\xff"),
        ("UTF-8", "base64_string: |\n        aGk=\n", b"hi"),
        ("no-such-encoding", "string: é", "é".encode()),
        ("US-ASCII", "string: ''", b""),
        (r'"a\0b"', "string: é", "é".encode()),
    ],
)
def test_a_body_of_ruby_is_in_its_encoding(encoding: str, body: str, expected: bytes) -> None:
    found = one(RUBY.format(encoding=encoding, body=body), "ruby-vcr")
    assert (found.method, found.status, found.body) == ("post", 200, expected)
    assert found.recorded_us == 1_787_150_111_000_000


def test_a_compressed_cassette_of_ruby_is_read() -> None:
    text = RUBY.format(encoding="UTF-8", body="string: hi")
    assert one(zlib.compress(text.encode()), "ruby-vcr").body == b"hi"


def test_betamax_is_read_like_ruby() -> None:
    pair = {
        "request": {"method": "GET", "uri": URL, "body": {"string": ""}, "headers": {}},
        "response": {
            "status": {"code": 200, "message": "OK"},
            "headers": {},
            "body": {"encoding": "utf-8", "base64_string": "aGk="},
            "url": URL,
        },
        "recorded_at": "2024-01-01T00:00:00",
    }
    found = one(json.dumps({"http_interactions": [pair], "recorded_with": "b"}), "ruby-vcr")
    assert (found.body, found.recorded_us) == (b"hi", 1_704_067_200_000_000)


# --- go-vcr -------------------------------------------------------------------------------------

GO_1 = """\
---
version: 1
interactions:
- request:
    body: '{"model":"m"}'
    form: {}
    headers: {Accept: [a]}
    url: https://api.openai.com/v1/chat/completions
    method: POST
  response:
    body: |+
      data: 1
          uri: of a body

    headers: {}
    status: 200 OK
    code: 200
    duration: ""
"""
GO_2 = """\
---
version: 2
interactions:
    - id: 0
      request:
        proto: HTTP/1.1
        content_length: 0
        host: api.openai.com
        url: https://api.openai.com/v1/models
        method: GET
      response:
        proto: HTTP/2.0
        transfer_encoding: [chunked]
        content_length: -1
        body: !!binary /w==
        headers: {Date: ["Wed, 19 Aug 2026 14:35:11 GMT"]}
        status: 200 OK
        code: 200
        duration: 1m1.5s
"""


def test_go_vcr_is_read_in_its_versions() -> None:
    first, second = one(GO_1, "go-vcr"), one(GO_2, "go-vcr")
    assert first.body == b"data: 1\n    uri: of a body\n\n"
    assert (first.took_us, first.request_body) == (None, b'{"model":"m"}')
    assert (second.body, second.took_us, second.request_body) == (b"\xff", 61_500_000, b"")


# --- HAR and Polly ------------------------------------------------------------------------------


def entry(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "startedDateTime": "2026-01-28T19:39:44.058Z",
        "time": 12.5,
        "request": {
            "method": "POST",
            "url": URL,
            "headers": [{"name": ":authority", "value": "x"}, {"name": "Accept", "value": "a"}],
            "postData": {"mimeType": "application/json", "text": "{}"},
        },
        "response": {"status": 200, "headers": [], "content": {"text": "hi"}},
    }
    return usual | changes


def har(*entries: object) -> str:
    return json.dumps({"log": {"version": "1.2", "entries": list(entries)}})


def answer(content: dict[str, Any]) -> dict[str, Any]:
    return entry(response={"status": 200, "headers": [], "content": content})


def pieces(*parts: bytes) -> str:
    return json.dumps([base64.b64encode(part).decode() for part in parts])


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ({"text": "é"}, "é".encode()),
        ({"text": "é", "encoding": "utf8"}, "é".encode()),
        ({"text": "aGk=", "encoding": "base64"}, b"hi"),
        ({"text": pieces(b"a", b"\xff"), "encoding": "base64"}, b"a\xff"),
        ({"text": '["6869","ff"]', "_isBinary": True}, b"hi\xff"),
        ({"text": "6869ff", "_isBinary": True}, b"hi\xff"),
        ({"text": "", "size": 0}, b""),
        ({"size": 0, "mimeType": "x-unknown"}, b""),
    ],
)
def test_a_body_of_har_is_read_in_every_spelling(content: dict[str, Any], body: bytes) -> None:
    found = one(har(answer(content)), "har")
    assert found.body == body
    assert found.request_headers == ((b"accept", b"a"),)
    assert (found.took_us, found.recorded_us) == (12_500, 1_769_629_184_058_000)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"content": {"size": 9}}, "save the HAR with content"),
        ({"content": {"size": 0}, "bodySize": 9}, "save the HAR with content"),
        ({"content": {"size": 0, "mimeType": "text/event-stream"}}, "save the HAR with content"),
        ({"content": {"text": "*", "encoding": "base64"}}, "not base64"),
        ({"content": {"text": "[1", "encoding": "base64"}}, "not JSON"),
        ({"content": {"text": [1]}}, "not a text"),
        ({"status": "?"}, "the status"),
        ({"headers": [7]}, "not a header"),
    ],
)
def test_what_har_has_lost_is_told(changed: dict[str, Any], said: str) -> None:
    response = {"status": 200, "headers": [], "content": {"text": ""}} | changed
    (item,) = told(har(entry(response=response)), "har")
    assert isinstance(item, NotCarried)
    assert said in item.reason


def test_har_is_put_into_the_order_of_its_recording() -> None:
    late = entry(startedDateTime="2026-01-28T19:39:45Z")
    ids = [item.id for item in carried(har(late, entry())) if isinstance(item, Interaction)]
    assert len(ids) == 2
    assert ids == sorted(ids)
    assert [item.where for item in told(har(late, entry()))] == ["entry 2", "entry 1"]


def test_parameters_of_har_become_a_form_and_lost_parts_are_told() -> None:
    def posted(mime: str) -> dict[str, Any]:
        data = {"mimeType": mime, "params": [{"name": "a", "value": "b c"}, {"name": "d"}]}
        return entry(request={"method": "POST", "url": URL, "headers": [], "postData": data})

    form, parts = told(har(posted("application/x-www-form-urlencoded"), posted("multipart/a")))
    assert isinstance(form, Exchange)
    assert form.request_body == b"a=b+c&d="
    assert isinstance(parts, NotCarried)


# --- httprr -------------------------------------------------------------------------------------


def trace(*pairs: tuple[bytes, bytes]) -> bytes:
    records = [b"%d %d\n%b%b" % (len(q), len(a), q, a) for q, a in pairs]
    return b"httprr trace v1\n" + b"".join(records)


ASKED = b"POST https://api.openai.com/v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 2\r\n\r\nhi", b"hi"),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\n\r\n", b"hi"),
        (b"Connection: close\r\n\r\nhi\r\n", b"hi\r\n"),
    ],
)
def test_httprr_is_read_without_its_framing(framing: bytes, body: bytes) -> None:
    content = trace((ASKED, b"HTTP/2.0 200 OK\r\nSet-Cookie: a\r\n" + framing))
    found = one(content, "httprr")
    assert (found.status, found.body, found.request_body) == (200, body, b"{}")
    assert found.url == "https://api.openai.com/v1/x"
    assert one(gzip.compress(content, mtime=0), "httprr").body == body


def test_httprr_tells_where_it_is_damaged() -> None:
    good = b"HTTP/1.1 200 OK\r\n\r\nhi"
    content = trace((ASKED, good), (ASKED, b"?\r\n\r\n"), (ASKED, good))
    kinds = [type(item) for item in told(content, "httprr")]
    assert kinds == [Exchange, NotCarried, Exchange]
    assert [type(item) for item in told(content[:-1])] == [Exchange, NotCarried, NotCarried]
    assert [type(item) for item in told(content + b"x y\n")][3:] == [NotCarried]
    cut = trace((ASKED, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi"))
    assert isinstance(told(cut)[0], NotCarried)


# --- test agent, reel, aimock -------------------------------------------------------------------


@pytest.mark.parametrize(("body", "expected"), [("hi", b"hi"), ("base64:AP8=", b"\0\xff")])
def test_the_test_agents_file_is_read(body: str, expected: bytes) -> None:
    request = {"method": "POST", "url": URL, "headers": {"A": "b"}, "body": body}
    response = {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": body}
    found = one(json.dumps({"request": request, "response": response}, indent=2), "test-agent")
    assert (found.body, found.request_body) == (expected, expected)


def reel_line(response: dict[str, Any]) -> str:
    request = {"method": "POST", "path": "/v1/chat/completions", "fingerprint": "f", "body": {}}
    line = {"schema_version": 1, "id": "r", "ts": "2026-01-01T00:00:00+00:00", "provider": "openai"}
    return json.dumps(line | {"request": request, "response": {"headers": {}} | response}) + "\n"


def test_reels_streams_keep_their_chunks_and_times() -> None:
    chunks = [
        {"data": {"a": "é"}, "t_offset_ms": 50, "event": "e"},
        {"data": "a\nb", "t_offset_ms": 40},
        {"data": "[DONE]", "t_offset_ms": 100},
    ]
    head = '{"_meta": {"match": null}}\n'
    found = one(head + reel_line({"status": 200, "stream_chunks": chunks}), "reel")
    expected = [
        (50_000, b'event: e\ndata: {"a": "\\u00e9"}\n\n'),
        (50_000, b"data: a\ndata: b\n\n"),
        (100_000, b"data: [DONE]\n\n"),
    ]
    got = interaction(found)
    assert list(got.timeline.chunks(got.body)) == expected
    assert (got.timeline.head_us, got.timeline.total_us) == (50_000, 100_000)


def test_a_damaged_line_of_reel_costs_only_itself() -> None:
    line = reel_line({"status": 200, "body": {"a": 1}})
    raw = reel_line({"status": 200, "body": {"__reel_raw_base64__": "AP8="}})
    items = told(line + "{\n\n" + raw, "reel")
    assert [item.where for item in items] == ["line 1", "line 2", "line 4"]
    assert [item.body for item in items if isinstance(item, Exchange)] == [b'{"a": 1}', b"\0\xff"]


def test_every_fixture_of_aimock_is_told_with_its_reason() -> None:
    match = {"userMessage": "a", "model": "m"}
    file = {"fixtures": [{"match": match, "response": {"content": "x"}}, {"response": {}}, 7]}
    items = told(json.dumps(file), "aimock")
    assert all(isinstance(item, NotCarried) for item in items)
    assert [item.where for item in items] == ["fixture 1", "fixture 2", "fixture 3"]
    assert isinstance(items[0], NotCarried)
    assert "no whole request" in items[0].reason
    assert "(userMessage, model)" in items[0].reason


# --- carrying over ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        (URL, "/v1/chat/completions", ""),
        ("https://openrouter.ai/api/v1/chat/completions?a=b", "/v1/chat/completions", "a=b"),
        ("https://a.openai.azure.com/openai/deployments/d/x?b", "/openai/deployments/d/x", "b"),
        ("https://api.groq.com/openai/v1/responses#f", "/openai/v1/responses", ""),
        ("https://api.deepseek.com/chat/completions", "/v1/chat/completions", ""),
        ("https://[REDACTED]/v1/models", "/v1/models", ""),
        ("<OLLAMA_API_BASE>/chat/completions", "/v1/chat/completions", ""),
        ("https://h/v1/files/ä b%20c?q=ä", "/v1/files/%C3%A4%20b%20c", "q=%C3%A4"),
        ("https://h/v1/x?api-key=secret&b=c", "/v1/x", "api-key=&b=c"),
        ("/v1/models", "/v1/models", ""),
    ],
)
def test_a_path_begins_where_our_clients_begin(url: str, path: str, query: str) -> None:
    request = interaction(make(url=url)).request
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"url": "https://api.example.com/telemetry/runs"}, "api.example.com has no path"),
        ({"url": ""}, "has no path"),
        ({"url": "wss://api.openai.com/v1/realtime"}, "WebSocket"),
        ({"status": 101}, "WebSocket"),
        ({"status": 0}, "not the status of an answer"),
        ({"status": 700}, "not the status of an answer"),
        ({"method": "GET /"}, "method"),
    ],
)
def test_what_is_no_exchange_with_an_api_is_told(changed: dict[str, Any], said: str) -> None:
    assert said in reason(make(**changed))


@pytest.mark.parametrize("status", [401, 403, 407, 429, 500])
def test_every_status_is_carried_over(status: int) -> None:
    assert interaction(make(status=status)).status == status


def encoded(body: bytes, encoding: bytes, kind: bytes = b"application/json") -> Exchange:
    return make(body=body, headers=((b"content-type", kind), (b"content-encoding", encoding)))


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


LONG = '{"a": "안녕"}'.encode() * 50


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(LONG, mtime=0), b"gzip"),
        (gzip.compress(LONG[:9], mtime=0) + gzip.compress(LONG[9:], mtime=0), b"x-gzip"),
        (gzip.compress(gzip.compress(LONG, mtime=0), mtime=0), b"gzip, gzip"),
        (gzip.compress(LONG, mtime=0), b""),
        (gzip.compress(LONG, mtime=0), b"br"),
        (LONG, b"gzip"),
        (LONG, b"br"),
        (LONG, b"zstd"),
        (brotli.compress(LONG), b"br"),
        (brotli.compress(gzip.compress(LONG, mtime=0)), b"gzip, br"),
        (zstandard.compress(LONG), b"zstd"),
        (zstandard.compress(LONG), b""),
        (zlib.compress(LONG), b"deflate"),
        (raw_deflate(LONG), b"deflate"),
        (LONG, b"deflate"),
        (LONG, b"utf-8"),
    ],
)
def test_a_body_is_decoded_as_its_bytes_say(body: bytes, encoding: bytes) -> None:
    got = interaction(encoded(body, encoding))
    assert got.body == LONG
    assert got.headers == ((b"content-type", b"application/json"),)


def test_encodings_in_several_header_fields_are_all_undone() -> None:
    twice = gzip.compress(gzip.compress(LONG, mtime=0), mtime=0)
    field = (b"content-encoding", b"gzip")
    assert interaction(make(body=twice, headers=(field, field))).body == LONG


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("text", ["yaml", "har", "reel"])
def test_a_file_that_an_editor_has_saved_is_read_whatever_its_byte_order_mark(
    encoding: str, text: str
) -> None:
    file = {
        "yaml": VCR.format(header="a: b", response=STATUS + "    body: {string: 서울}"),
        "har": har(answer({"text": "서울"})),
        "reel": reel_line({"status": 200, "body": "서울"}),
    }[text]
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    saved = (mark + file).encode(encoding)
    (item,) = read("a", saved)
    assert isinstance(item, Exchange)
    assert item.body == "서울".encode()


def test_a_compressed_file_that_was_downloaded_stays_compressed() -> None:
    found = make(
        body=gzip.compress(LONG, mtime=0), headers=((b"content-type", b"application/gzip"),)
    )
    assert interaction(found).body == gzip.compress(LONG, mtime=0)


@pytest.mark.parametrize(
    ("body", "encoding", "said"),
    [
        (gzip.compress(LONG, mtime=0)[:-9], b"gzip", "breaks off"),
        (b"\x1f\x8b\x08" + b"\xff" * 20, b"gzip", "cannot be decompressed"),
        (b"\x28\xb5\x2f\xfd\x00", b"zstd", "zstd"),
        (b"\x50\x2a\x4d\x18\x01\0\0\0a\x28\xb5\x2f\xfd\0", b"zstd", "zstd"),
        (b"\x8b\x00\x80\xff", b"br", "brotli"),
        (brotli.compress(LONG)[:-4], b"br", "brotli and cannot be decompressed"),
        (zstandard.compress(LONG)[:-4], b"zstd", "zstd and cannot be decompressed"),
        (brotli.compress(bytes(33 << 20)), b"br", "larger than 32 MiB"),
        (b"\x0b\x02\x00hello\x03", b"br", "brotli"),
        (b"\x1f\x9d\x90h", b"compress", "compressed with compress"),
        (b"\xff\xff\xff", b"deflate", "cannot be decompressed"),
    ],
)
def test_a_body_that_cannot_be_decoded_is_told(body: bytes, encoding: bytes, said: str) -> None:
    assert said in reason(encoded(body, encoding))


def test_headers_are_those_of_a_recording() -> None:
    names = b"X-A x-a Connection X-Hop Transfer-Encoding content-length Set-Cookie openai-project"
    fields = [(name.lower(), str(i).encode()) for i, name in enumerate(names.split())]
    fields[2] = (b"connection", b"x-hop")
    asked = ((b"authorization", b"Bearer sk-secret"), (b"cookie", b"c"), (b"accept", b"a"))
    got = interaction(make(headers=tuple(fields), request_headers=asked))
    assert got.headers == ((b"x-a", b"0"), (b"x-a", b"1"))
    assert got.request.headers == ((b"accept", b"a"),)


def test_a_client_of_the_proxy_hits_what_was_imported() -> None:
    got = interaction(make(method="post", request_body=b'{"b": 1, "a": [2]}'))
    asked = post(b'{"a":[2],"b":1,"stream":false}')
    assert got.fingerprint == fingerprint(asked)


@pytest.mark.parametrize("headers", [((b"content-type", b"text/event-stream; charset=utf-8"),), ()])
def test_a_stream_is_one_chunk_an_event_and_anything_else_one(headers: Any) -> None:
    body = b"data: 1\n\ndata: 2\r\n\r\ndata: 3"
    got = interaction(make(body=body, headers=headers, took_us=7))
    assert list(got.timeline.chunks(body)) == [
        (7, b"data: 1\n\n"),
        (7, b"data: 2\r\n\r\n"),
        (7, b"data: 3"),
    ]
    whole = interaction(make(body=b"a\n\nb"))
    assert [piece for _, piece in whole.timeline.chunks(whole.body)] == [b"a\n\nb"]
    assert interaction(make(body=b"", headers=headers, status=204)).timeline.ends == ()


# --- ids ----------------------------------------------------------------------------------------


def ids(*found: Exchange | NotCarried, begin_us: int = BEGIN_US) -> list[int]:
    items = carry_over(found, begin_us=begin_us)
    return [item.id for item in items if isinstance(item, Interaction)]


def dated(second: int, body: bytes = b"{}") -> Exchange:
    date = b"Wed, 19 Aug 2026 14:35:%02d GMT" % second
    return make(headers=((b"date", date),), body=body)


def test_importing_a_file_with_dates_again_gives_the_same_ids() -> None:
    file = [make(), dated(5), dated(5), dated(3), make(), dated(9)]
    first = ids(*file, begin_us=1)
    assert first == ids(*file, begin_us=BEGIN_US)
    assert first == sorted(set(first))
    assert ids(*file[:4], begin_us=7) == first[:4]  # A file that was added to keeps its ids.


def test_what_cannot_be_carried_over_changes_no_other_id() -> None:
    lost = NotCarried("interaction 2", "lost")
    assert ids(dated(5), dated(6)) == ids(dated(5), lost, make(status=0), dated(6))


def test_files_of_one_second_do_not_share_ids() -> None:
    every = [ids(dated(5, b"%d" % n), dated(5, b"b%d" % n)) for n in range(200)]
    assert len({id_ for pair in every for id_ in pair}) == 400


def test_a_file_without_dates_begins_at_the_callers_moment() -> None:
    got = list(carry_over([make(), make()], begin_us=BEGIN_US))
    assert [i.request.arrived_us for i in got if isinstance(i, Interaction)] == [
        BEGIN_US,
        BEGIN_US + 1,
    ]


@pytest.mark.parametrize(
    "date", [b"", b"yesterday", b"Thu, 01 Jan 1970 00:00:00 GMT", b"9999-12-31"]
)
def test_an_absurd_date_is_none(date: bytes) -> None:
    assert [id_ >> 11 for id_ in ids(make(headers=((b"date", date),)))] == [BEGIN_US]


# --- files that mean harm -----------------------------------------------------------------------

BILLION = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n"
    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


@pytest.mark.parametrize(
    ("content", "format_name", "said"),
    [
        (BILLION + "interactions: []\n", "vcrpy", "aliases"),
        (MERGES + "interactions: []\n", "vcrpy", "aliases"),
        ("interactions: &a [*a]\n", "vcrpy", "refers to a value that contains it"),
        ("interactions: " + "[" * 5000, "vcrpy", "not YAML"),
        ("interactions:\n- request: {a: 'b", "vcrpy", "not YAML"),
        ("interactions:\n- \xff: \x07", "vcrpy", "not YAML"),
        (b"interactions:\n- a: \xff\xfe", "vcrpy", "not YAML"),
        ("? [a]\n: b\ninteractions: []\n", "vcrpy", "not YAML"),
        ("a: !!int x\ninteractions: []\n", "vcrpy", "not YAML"),
        ("a: !!bool x\ninteractions: []\n", "vcrpy", "not YAML"),
        ("a: !!int ''\ninteractions: []\n", "vcrpy", "not YAML"),
        ("interactions: 7\n", "vcrpy", "not a list"),
        ("---\na: 1\n---\ninteractions: []\n", "vcrpy", "not YAML"),
        ("", "vcrpy", "empty"),
        ("7", "vcrpy", "not a mapping"),
        ("{}", "vcrpy", "no interactions"),
        ("http_interactions: {}\n7", "ruby-vcr", "not YAML"),
        (BILLION + "log:\n  entries: []\n", "har", "aliases"),
        ("log: &a\n  entries: *a\n", "har", "refers to a value that contains it"),
        ("when: {a: !!int x}\nthen: {}\n", "httpmock", "not YAML"),
        ("when: {}\nthen: {}\n---\n" + BILLION, "httpmock", "aliases"),
        ("-\n    request: [", "php-vcr", "not YAML"),
        ('{"Entries": 7}', "test-proxy", "not a list"),
        ('{"scope": 7}', "nock", "not a list"),
        ("{" + '"log": ' + "[" * 100_000, "har", "nested too deeply"),
        ('{"log": {"entries": [', "har", "not JSON"),
        ('{"log": {"entries": 7}}', "har", "not a list"),
        (b'{"log": "\xff"}', "har", "not UTF-8"),
        ("no trace", "httprr", "httprr trace v1"),
        ('{"fixtures": {}}', "aimock", "not a list"),
        ("[1", "test-agent", "not JSON"),
        (gzip.compress(b"interactions: []" * 99, mtime=0)[:-20], "vcrpy", "breaks off"),
        (b"\x1f\x8b\x08nothing", "vcrpy", "cannot be decompressed"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_name_and_a_remedy(
    content: str | bytes, format_name: str, said: str
) -> None:
    data = content.encode() if isinstance(content, str) else content
    with pytest.raises(ImportRefused) as refused:
        list(read("some.yaml", data, format_name))
    assert "some.yaml" in str(refused.value)
    assert said in str(refused.value)


def test_a_file_that_grows_without_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay_proxy.importers.documents.MAX_BYTES", 1000)
    for content in (gzip.compress(b"x" * 1001, mtime=0), b"x" * 1001):
        with pytest.raises(ImportRefused, match="larger than"):
            detect("some.yaml", content)


def test_a_file_of_no_format_is_refused_with_the_formats_that_there_are() -> None:
    with pytest.raises(
        ImportRefused, match=r"notes\.txt does not look like a recording.*--format req-cassette"
    ):
        detect("notes.txt", b"hello")
    with pytest.raises(
        ImportRefused,
        match=r"notes, which is not an import format\. Name one of these: req-cassette",
    ):
        list(read("notes.txt", b"hello", "notes"))


@pytest.mark.parametrize("number", ["0x" + "f" * 9000, "1e999", "-1", ".inf", ".nan", "1:2:3"])
def test_an_absurd_number_is_told_or_read(number: str) -> None:
    for line in ("status: {code: %s}", "headers: {a: %s}", "duration: %s", "parsed_body: [%s]"):
        response = STATUS + "    body: {string: ''}\n    " + line % number
        text = VCR.format(header="a: b", response=response)
        items = told(text)
        assert len(list(carry_over(items, begin_us=BEGIN_US))) == 1
    for duration in (10**400, "9" * 400 + "h"):
        text = GO_2.replace("1m1.5s", str(duration))
        assert interaction(one(text, "go-vcr")).timeline.total_us == 86_400_000_000
    assert interaction(one(har(entry(time=10**400)), "har")).timeline.total_us == 86_400_000_000


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from nodes(value[key], (*path, key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from nodes(below, (*path, number))


def documents() -> dict[str, Any]:
    request = {"method": "POST", "url": URL, "headers": {"A": ["b"]}, "body": "{}"}
    vcr = request | {"uri": URL, "body": {"string": "x", "encoding": "utf-8"}}
    response: dict[str, Any] = {"status": {"code": 200}, "headers": {"A": "b"}, "body": "hi"}
    pair = {"request": vcr, "response": response, "recorded_at": "2024-01-01"}
    go = {"request": request, "response": response | {"status": "200 OK", "duration": "1s"}}
    chunk = {"data": 1, "t_offset_ms": 1, "event": "e"}
    elixir = request | {"uri": URL, "query_string": "a=b", "body_json": {"a": 1}, "status": 200}
    reel = json.loads(reel_line({"status": 200, "stream_chunks": [chunk]}))
    return {
        "vcrpy": {"interactions": [pair]},
        "ruby-vcr": {"http_interactions": [pair]},
        "go-vcr": {"interactions": [go]},
        "har": json.loads(har(entry())),
        "test-agent": {"request": request, "response": response},
        "reel": reel,
        "aimock": {"fixtures": [{"match": {"a": "b"}, "response": {}}]},
        "r-vcr": {"http_interactions": [pair | {"response": response | {"status": 200}}]},
        "php-vcr": [{"request": request | {"post_fields": {}}, "response": response}],
        "req-cassette": {"interactions": [{"request": elixir, "response": elixir}]},
        "test-proxy": {
            "Entries": [
                {
                    "RequestUri": URL,
                    "RequestMethod": "POST",
                    "RequestHeaders": {"Content-Type": "multipart/form-data; boundary=b"},
                    "RequestBody": ["--b\r\n", "b64:aGk=", []],
                    "StatusCode": 200,
                    "ResponseHeaders": {"Content-Type": "application/json", "A": ["a", "b"]},
                    "ResponseBody": {"a": 1},
                }
            ]
        },
        "nock": [
            {
                "scope": "https://api.openai.com:443",
                "method": "POST",
                "path": "/v1/embeddings",
                "body": {"a": 1},
                "status": 200,
                "response": ["6869"],
                "rawHeaders": ["Content-Encoding", "gzip"],
                "responseIsBinary": False,
            }
        ],
        "httpmock": {
            "when": {
                "method": "POST",
                "path": "/v1/embeddings",
                "query_param": [{"name": "a", "value": "b"}],
                "header": [{"name": "a", "value": "b"}],
                "body": "{}",
            },
            "then": {"status": 200, "header": [], "body": "hi", "delay": 1},
        },
    }


PLACES = [(name, path) for name, document in documents().items() for path in nodes(document)]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=9), below),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.sampled_from(PLACES), ANYTHING)
def test_anything_anywhere_is_read_told_or_refused(
    place: tuple[str, tuple[Any, ...]], value: Any
) -> None:
    name, path = place
    document: Any = documents()[name]
    if path:
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = value
    else:
        document = value
    try:
        items = list(read("file", json.dumps(document).encode(), name))
    except ImportRefused:
        return
    assert len(list(carry_over(items, begin_us=BEGIN_US))) == len(items)


@settings(deadline=None)
@given(st.sampled_from(sorted(DATA.iterdir())), st.data())
def test_a_damaged_file_is_read_told_or_refused(file: Path, data: st.DataObject) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    for damage in (bytes(content), cut):
        try:
            list(carry_over(read(file.name, damage), begin_us=BEGIN_US))
        except ImportRefused as error:
            told_of = str(error)
        else:
            told_of = file.name
        assert file.name in told_of


def test_every_format_has_its_page() -> None:
    page = (ROOT / "docs" / "importing.md").read_text("utf-8")
    assert all(f"`{name}`" in page for name in FORMATS)
