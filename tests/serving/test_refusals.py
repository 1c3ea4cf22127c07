"""What never reaches a transport is among the misses, so that no application can swallow it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import NotFoundError, OpenAI

from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawAnswer, RawClient
from tests.support.requests import head


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


@pytest.fixture
def proxy(nursery: Nursery) -> Iterator[Child]:
    proxy = nursery.start(MODE="dummy")
    yield proxy
    proxy.kill()


def ask(
    proxy: Child, path: str, *headers: tuple[bytes, bytes], method: str = "POST", body: bytes = b""
) -> RawAnswer:
    with RawClient(proxy.base_url) as client:
        return client.request(method, path, headers, body)


def misses(proxy: Child) -> dict[str, list[Any]]:
    """The code, path and count of each miss, by cassette."""
    report = json.loads(ask(proxy, "/_replay/api/report", method="GET").body)
    return {
        name: [(each["code"], each["request"]["path"], each["times"]) for each in told["misses"]]
        for name, told in report["cassettes"].items()
        if told["misses"]
    }


def test_a_base_url_without_v1_is_a_miss_that_is_asked_once(proxy: Child) -> None:
    client = OpenAI(base_url=f"http://127.0.0.1:{proxy.port}", api_key="sk-placeholder")
    with pytest.raises(NotFoundError) as refused:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert "base_url end in /v1" in refused.value.message
    assert misses(proxy) == {"default": [("unknown_url", "/chat/completions", 1)]}


@pytest.mark.parametrize(
    ("path", "cassette", "shown"),
    [
        ("/v2/chat", "default", "/v2/chat"),
        ("/v1", "default", "/v1"),
        ("/api/chat?key=x", "default", "/api/chat"),
        ("/cassettes/mine/chat/completions", "mine", "/chat/completions"),
        ("/cassettes/mine", "mine", ""),
        ("/cassettes/.no/chat/completions", "default", "/chat/completions"),
    ],
)
def test_an_unknown_path_is_a_miss_of_the_cassette_that_it_names(
    proxy: Child, path: str, cassette: str, shown: str
) -> None:
    assert [ask(proxy, path).status, ask(proxy, path).status] == [404, 404]
    assert misses(proxy) == {cassette: [("unknown_url", shown, 2)]}


def test_a_header_names_the_cassette_of_an_unknown_path(proxy: Child) -> None:
    ask(proxy, "/chat/completions", (b"x-replay-cassette", b"mine"))
    assert list(misses(proxy)) == ["mine"]


def test_a_wrong_cassette_name_is_a_miss(proxy: Child) -> None:
    assert ask(proxy, "/cassettes/.no/v1/models").status == 400
    assert ask(proxy, "/v1/models", (b"x-replay-cassette", b"a b"), method="GET").status == 400
    assert sorted(each[0] for each in misses(proxy)["default"]) == ["invalid_cassette_name"] * 2


def test_what_a_browser_or_a_person_looks_up_is_no_miss(proxy: Child) -> None:
    for path in (
        "/",
        "/favicon.ico",
        "/robots.txt",
        "/.well-known/appspecific/com.chrome.devtools.json",
        "/_replay/api/nothing",
    ):
        assert ask(proxy, path, method="GET").status == 404
    assert ask(proxy, "/healthz").status == 405
    assert misses(proxy) == {}


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("transfer-encoding: gzip, chunked", "transfer_coding_not_supported"),
        ("content-length: 99999999999", "request_too_large"),
    ],
)
def test_a_body_that_is_not_read_is_a_miss(proxy: Child, field: str, code: str) -> None:
    with RawClient(proxy.base_url) as client:
        assert client.send_raw(head(field)).answer.status in (413, 501)
    assert misses(proxy) == {"default": [(code, "/v1/chat/completions", 1)]}


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/images/generations"), ("GET", "/v1/x")])
def test_what_the_dummy_does_not_know_is_a_miss_that_no_client_retries(
    proxy: Child, method: str, path: str
) -> None:
    seen = ask(proxy, path, method=method)
    assert seen.status == 404
    assert seen.header(b"x-should-retry") == b"false"
    assert misses(proxy) == {"default": [("not_implemented_by_dummy", path, 1)]}


def test_a_refusal_in_openais_words_has_a_request_id_like_any_answer(proxy: Child) -> None:
    seen = ask(proxy, "/v1/chat/completions", body=b'{"model": "m"}')
    assert seen.status == 400
    assert (seen.header(b"x-request-id") or b"").startswith(b"req_")
    assert seen.header(b"openai-processing-ms") == b"0"
    assert misses(proxy) == {}
