"""Addresses in an answer that point at the API lead back through the proxy."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawAnswer, RawClient
from tests.support.script import JSON, Answer, Received
from tests.support.tape import make, recorded
from tests.support.upstream import Upstream

OPERATION = "/openai/operations/images/7?api-version=1"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def operations(request: Received) -> Answer:
    """As Azure answers: with the absolute address of an operation to ask about."""
    if request.method == "POST":
        origin = b"http://" + (request.header(b"host") or b"")
        address = (b"operation-location", origin + OPERATION.encode())
        return Answer(202, (*JSON, address), [b"{}"], "length")
    return Answer(200, JSON, [b'{"status":"succeeded"}'], "length")


def follow(proxy: Child, prefix: str, *headers: tuple[bytes, bytes]) -> list[RawAnswer]:
    """A request, and one to the address that its answer gives."""
    with RawClient(proxy.base_url) as client:
        started = client.request("POST", f"{prefix}/openai/images:submit", headers, b"{}")
        address = started.header(b"operation-location")
        assert address is not None
        origin = f"http://127.0.0.1:{proxy.port}"
        assert address.decode() == f"{origin}{prefix}{OPERATION}"
        done = client.request("GET", address.decode().removeprefix(origin), headers)
    assert json.loads(done.body) == {"status": "succeeded"}
    return [started, done]


@pytest.mark.parametrize(
    ("prefix", "headers"),
    [("", ()), ("/cassettes/mine", ()), ("", ((b"x-replay-cassette", b"mine"),))],
)
def test_an_operation_is_asked_about_through_the_proxy(
    prefix: str, headers: tuple[tuple[bytes, bytes], ...], nursery: Nursery, tmp_path: Path
) -> None:
    with Upstream(operations) as upstream:
        proxy = nursery.start(
            MODE="record", STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url
        )
        follow(proxy, prefix, *headers)
        assert len(upstream.requests) == 2
        proxy.stop()
    # Another port, and no UPSTREAM_BASE_URL.
    proxy = nursery.start(STORE=str(tmp_path))
    started, done = follow(proxy, prefix, *headers)
    stored = f"http://upstream.invalid{OPERATION}"
    assert started.header(b"x-replay-operation-location") == stored.encode()
    assert done.header(b"x-replay-source") == b"cassette"
    proxy.kill()


def test_the_name_that_the_client_used_is_the_one_it_gets(nursery: Nursery, tmp_path: Path) -> None:
    one = recorded(
        "Q", b"{}", status=201, headers=((b"location", b"http://upstream.invalid/v1/files/f"),)
    )
    make(tmp_path / "default.sqlite", [one])
    proxy = nursery.start(STORE=str(tmp_path), ALLOWED_HOSTS="proxy.test")
    for host in (b"localhost:1234", b"proxy.test"):
        with RawClient(proxy.base_url) as client:
            head = b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-length: %d\r\n\r\n"
            body = one.request.body
            head %= one.request.path.encode(), host, len(body)
            seen = client.send_raw(head + body).answer
        assert seen.header(b"location") == b"http://" + host + b"/v1/files/f"
    proxy.kill()


def test_the_sdk_follows_a_redirect_to_the_api_through_the_proxy(
    nursery: Nursery, tmp_path: Path
) -> None:
    def script(request: Received) -> Answer:
        if request.target == "/api/v1/models":
            origin = b"http://" + (request.header(b"host") or b"")
            return Answer(307, ((b"location", origin + b"/api/v1/models/all"),), [], "length")
        return Answer(200, JSON, [b'{"object":"list","data":[]}'], "length")

    def models(proxy: Child) -> list[str]:
        base_url = f"http://127.0.0.1:{proxy.port}/cassettes/mine/v1"
        with OpenAI(base_url=base_url, api_key="sk-placeholder", max_retries=0) as client:
            raw = client.models.with_raw_response.list()
        return [str(raw.http_response.url), raw.headers["x-replay-source"]]

    with Upstream(script) as upstream:
        proxy = nursery.start(
            MODE="record",
            STORE=str(tmp_path),
            UPSTREAM_BASE_URL=upstream.base_url.replace("/v1", "/api/v1"),
        )
        followed = f"http://127.0.0.1:{proxy.port}/cassettes/mine/v1/models/all"
        assert models(proxy) == [followed, "upstream"]
        proxy.stop()
    proxy = nursery.start(STORE=str(tmp_path))
    followed = f"http://127.0.0.1:{proxy.port}/cassettes/mine/v1/models/all"
    assert models(proxy) == [followed, "cassette"]
    proxy.kill()


def test_an_address_elsewhere_is_passed_on(nursery: Nursery, tmp_path: Path) -> None:
    address = (b"operation-location", b"https://other.test/openai/operations/7")
    with Upstream(lambda _: Answer(202, (*JSON, address), [b"{}"], "length")) as upstream:
        proxy = nursery.start(
            MODE="record", STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url
        )
        with RawClient(proxy.base_url) as client:
            seen = client.request("POST", "/openai/images:submit", (), b"{}")
        proxy.kill()
    assert seen.header(b"operation-location") == address[1]
    assert seen.header(b"x-replay-operation-location") is None
