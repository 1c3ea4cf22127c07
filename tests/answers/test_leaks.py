"""A scan that fails a build has to be right: what is a credential, and what only looks like one."""

import gzip
import json
from base64 import b64encode

import pytest

from replay_proxy.answers.leaks import Leak, leaks
from replay_proxy.wire import Headers
from tests.support.requests import get, post

RANDOM = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3"


def found(
    body: str = "",
    *,
    query: str = "",
    request_headers: Headers = (),
    headers: Headers = (),
    answer: str = "",
) -> list[Leak]:
    request = post(body.encode(), "/v1/x", request_headers, query=query)
    return list(leaks(request, headers, answer.encode()))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("OpenAI key", f"sk-{RANDOM}"),
        ("OpenAI key", f"sk-proj-{RANDOM}"),
        ("OpenAI key", f"sk-svcacct-{RANDOM}"),
        ("Anthropic key", f"sk-ant-api03-{RANDOM}"),
        ("OpenRouter key", "sk-or-v1-" + "0123456789abcdef" * 4),
        ("OpenAI session", f"sess-{RANDOM[:40]}"),
        ("Google key", f"AIza{RANDOM[:35]}"),
        ("Groq key", f"gsk_{RANDOM}"),
        ("xAI key", f"xai-{RANDOM}"),
        ("Perplexity key", f"pplx-{RANDOM}"),
        ("Hugging Face token", f"hf_{RANDOM}"),
        ("GitHub token", f"ghp_{RANDOM[:36]}"),
        ("AWS access key", "AKIAIOSFODNN7EXAMPLE"),
        ("Slack token", f"xoxb-{RANDOM}"),
        ("bearer token", f"Bearer {RANDOM}"),
        ("JSON web token", f"eyJ{RANDOM}.eyJ{RANDOM}.{RANDOM}"),
        ("private key", "-----BEGIN RSA PRIVATE KEY-----"),
        ("organisation id", f"org-{RANDOM[:24]}"),
        ("project id", f"proj_{RANDOM[:24]}"),
    ],
)
def test_a_credential_is_found_wherever_it_stands_and_never_repeated(kind: str, value: str) -> None:
    for each in (
        found(f'{{"a": ["{value}"]}}'),
        found(f"no JSON {value}"),
        found(answer=f'{{"a":"{value}"}}'),
        found(headers=((b"x-echo", value.encode()),)),
    ):
        assert [leak.kind for leak in each] == [kind]
        assert value not in repr(each)


def test_it_is_named_by_its_path_in_json() -> None:
    assert [leak.where for leak in found(f'{{"a": [1, {{"b": "x sk-{RANDOM}"}}]}}')] == [
        "request body $.a[1].b"
    ]
    assert [leak.where for leak in found(f'{{"sk-{RANDOM}": 1}}')] == ["request body"]


@pytest.mark.parametrize(
    "text",
    [
        "sk-short",
        "task-force-of-the-united-nations-and-more",
        "risk-assessment-and-mitigation-strategy",
        "org-xxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-********************************",
        "user-generated content-security-policy",
        "the bearer of this letter is to be let in at once",
        "Bearer token",
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "chatcmpl-CUzheZtWzlUBQMo64EeJBNkl7BJLE",
        "resp_68af123a4b5c6d7e8f90123456789012",
        "call_a1B2c3D4e5F6g7H8i9J0k1L2",
    ],
)
def test_what_only_looks_like_one_is_not(text: str) -> None:
    assert found(f'{{"a":"{text}"}}', answer=text) == []


def test_headers_and_queries_that_may_not_be_stored_are_found() -> None:
    assert [leak.where for leak in found(request_headers=((b"cookie", b"a=b"),))] == [
        "request header cookie"
    ]
    assert [leak.where for leak in found(headers=((b"set-cookie", b"a=b"),))] == [
        "answer header set-cookie"
    ]
    assert [leak.kind for leak in found(query="a=1&api-key=abc")] == ["credential in the query"]
    assert found(query="a=1&api-key=") == []


KEY = f"sk-proj-{RANDOM}"
EVENTS = ((b"content-type", b"text/event-stream"),)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"a": f"My key:\n{KEY}"}),
        json.dumps({"a": f"\t{KEY}"}),
        json.dumps({"a": json.dumps({"b": f"\n{KEY}"})}),
        f'{{"a": "{KEY}"}}'.replace("s", "\\u0073"),
        f'{{"a": "\\u000a{KEY}"}}',
        json.dumps({"file_data": f"data:text/plain;base64,{b64encode(KEY.encode()).decode()}"}),
        json.dumps({"a": b64encode(b"?" * 7 + KEY.encode()).decode()}).replace("/", "\\/"),
    ],
)
def test_it_is_found_behind_escapes_and_base64(body: str) -> None:
    (leak,) = found(body)
    assert leak.kind == "OpenAI key"
    assert leak.where.startswith("request body $.")
    assert [leak.kind for leak in found(answer=body)] == ["OpenAI key"]


def test_it_is_found_in_compressed_bodies_of_both_sides() -> None:
    body = gzip.compress(f'{{"a": "{KEY}"}}'.encode())
    request = post(body, "/v1/x")
    assert [leak.where for leak in leaks(request, (), body)] == [
        "request body $.a",
        "answer body",
    ]


@pytest.mark.parametrize("event", ["chat", "response", "tool"])
def test_it_is_found_when_it_came_over_several_events(event: str) -> None:
    def data(piece: str) -> object:
        if event == "response":
            return {"type": "response.output_text.delta", "output_index": 0, "delta": piece}
        call = {"index": 0, "function": {"arguments": piece}}
        delta = {"tool_calls": [call]} if event == "tool" else {"content": piece}
        return {"choices": [{"index": 0, "delta": delta}]}

    pieces = [KEY[start : start + 4] for start in range(0, len(KEY), 4)]
    answer = "".join(f"data: {json.dumps(data(piece))}\n\n" for piece in ["It is ", *pieces])
    assert [leak.where for leak in found(answer=answer, headers=EVENTS)] == [
        "answer body, over several events"
    ]


def test_it_is_found_in_paths_and_percent_encoded_queries() -> None:
    assert [leak.where for leak in found(query=f"next=a%3D{KEY}")] == ["path"]
    request = get(f"/v1/{KEY}/x")
    assert [leak.where for leak in leaks(request, (), b"")] == ["path"]


def test_two_of_them_are_both_told_of_also_where_no_path_leads() -> None:
    assert [leak.where for leak in found(f'{{"a": "{KEY}", "{KEY}": 1}}')] == [
        "request body $.a",
        "request body",
        "request body",
    ]


MCP = {"type": "mcp", "server_label": "m", "server_url": "https://mcp.example/sse"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"tools": [MCP | {"authorization": "opaque-4711-kq"}]}, "$.tools[0].authorization"),
        ({"tools": [MCP | {"headers": {"X-Key": "opaque-4711"}}]}, "$.tools[0].headers['X-Key']"),
        ({"metadata": {"api_key": "3f0c9d0a5b7e4c1f"}}, "$.metadata.api_key"),
        ({"input": {"login": {"password": "hunter2hunter2"}}}, "$.input.login.password"),
        ({"connection": {"client_secret": "opaque-4711-kq"}}, "$.connection.client_secret"),
        ({"input": "see https://h.example/f?sv=1&sig=abcDEF0123456789"}, "$.input"),
    ],
)
def test_a_credential_in_a_request_is_found_by_the_name_of_its_field(
    body: object, path: str
) -> None:
    (leak,) = found(json.dumps(body))
    assert leak.where == f"request body {path}"
    assert leak.beginning == ""


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [MCP | {"authorization": "<token>"}]},
        {"tools": [MCP | {"authorization": "xxxxxxxxxxxx"}]},
        {"tools": [MCP | {"headers": {}}]},
        {"max_tokens": 100_000, "stop_token": "\n"},
        {"parameters": {"properties": {"password": {"type": "string-of-eight"}}}},
        {"messages": [{"reasoning_details": [{"signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}]}]},
        {"input": "https://h.example/f?page=12345678&sort=ascending"},
    ],
)
def test_a_field_that_only_sounds_like_one_is_not(body: object) -> None:
    assert not found(json.dumps(body))
