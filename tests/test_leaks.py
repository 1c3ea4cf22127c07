"""A scan that fails a build has to be right: what is a credential, and what only looks like one."""

import pytest

from replay_proxy.leaks import Leak, leaks
from replay_proxy.wire import Headers, Request

RANDOM = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3"


def found(
    body: str = "",
    *,
    query: str = "",
    request_headers: Headers = (),
    headers: Headers = (),
    answer: str = "",
) -> list[Leak]:
    request = Request("POST", "/v1/x", query, request_headers, body.encode())
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
