"""Bodies of requests: refused by their length at the head, bounded together, freed afterwards."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from replay_proxy.serving import request_body
from replay_proxy.serving.request_body import (
    LARGE_BYTES,
    BodyTooLarge,
    RequestBodies,
    TooManyLargeBodies,
)
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawClient
from tests.support.requests import head
from tests.support.script import JSON, Answer
from tests.support.upstream import Upstream

PATH = "/v1/files"
TOO_LARGE = 640 * 1024 * 1024 + 1


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with Nursery() as nursery:
        yield nursery.start(MODE="dummy")


def told(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Status and error object of an answer."""
    first, _, body = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), orjson.loads(body)["error"]


def test_a_body_that_is_too_large_is_refused_at_its_head(child: Child) -> None:
    with socket.create_connection(("127.0.0.1", child.port), timeout=30.0) as sock:
        sock.sendall(head(f"content-length: {TOO_LARGE}"))
        status, error = told(sock.recv(1 << 16))
    assert (status, error["code"]) == (413, "request_too_large")
    assert "/v1/uploads" in error["message"]


def test_a_client_that_asks_first_is_not_told_to_send_what_is_too_large(child: Child) -> None:
    with socket.create_connection(("127.0.0.1", child.port), timeout=30.0) as sock:
        sock.sendall(head(f"content-length: {TOO_LARGE}", "expect: 100-continue"))
        answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))  # The connection is closed.
    assert b"100 Continue" not in answer
    assert told(answer)[0] == 413


def test_a_client_that_asks_first_is_told_to_send_the_rest(child: Child) -> None:
    with socket.create_connection(("127.0.0.1", child.port), timeout=30.0) as sock:
        sock.sendall(head("content-length: 2", "expect: 100-continue"))
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 100 ")


@pytest.mark.parametrize(
    "coding",
    [
        "gzip, chunked",
        "deflate,chunked",
        "identity, chunked",
        "GZIP ,\tChunked",
        "x-gzip, gzip, chunked",
        "gzip\r\ntransfer-encoding: chunked",
        "gzip",
        "chunked, gzip",
        "chunked;q=1",
    ],
)
def test_a_body_in_a_transfer_coding_is_refused_and_never_taken_as_plain(
    coding: str, child: Child
) -> None:
    with socket.create_connection(("127.0.0.1", child.port), timeout=30.0) as sock:
        sock.sendall(head(f"transfer-encoding: {coding}", "connection: close"))
        sock.sendall(b"2\r\n{}\r\n0\r\n\r\n")
        first = sock.recv(1 << 16)
    if b" 400 " in first:  # uvicorn's own: chunked is not the last coding.
        assert not coding.lower().endswith("chunked")
        return
    status, error = told(first)
    assert (status, error["code"]) == (501, "transfer_coding_not_supported")
    assert "Content-Encoding" in error["message"]
    assert b"x-replay-source: refused" in first


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "\tCHUNKED "])
def test_a_chunked_body_is_taken(coding: str, child: Child) -> None:
    with socket.create_connection(("127.0.0.1", child.port), timeout=30.0) as sock:
        sock.sendall(head(f"transfer-encoding: {coding}", "connection: close"))
        sock.sendall(b"2\r\n{}\r\n0\r\n\r\n")
        assert b"transfer_coding" not in b"".join(iter(lambda: sock.recv(1 << 16), b""))


# --- many at once -------------------------------------------------------------------------------


def receiving(*pieces: bytes, bodies: RequestBodies, length: bool = True) -> bytes | None:
    """The body that comes in these pieces; an empty last one stands for a client that leaves."""
    messages = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces if piece
    ]
    if pieces[-1]:
        messages[-1]["more_body"] = False
    messages.append({"type": "http.disconnect"})
    stream = iter(messages)

    async def receive() -> Any:
        return next(stream)

    size = sum(map(len, pieces))
    headers = ((b"content-length", b"%d" % size),) if length else ()
    return asyncio.run(bodies.receive(headers, receive))


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> RequestBodies:
    monkeypatch.setattr(request_body, "LARGE_BODIES_BYTES", 10 * LARGE_BYTES)
    monkeypatch.setattr(request_body, "MAX_BODY_BYTES", 6 * LARGE_BYTES)
    return RequestBodies()


@pytest.mark.parametrize("length", [True, False])
def test_large_bodies_have_a_bound_together(bodies: RequestBodies, length: bool) -> None:
    piece = bytes(LARGE_BYTES)
    first = receiving(*[piece] * 5, bodies=bodies, length=length)
    assert first == piece * 5
    with pytest.raises(TooManyLargeBodies) as refused:
        receiving(*[piece] * 6, bodies=bodies, length=length)
    assert (refused.value.status, refused.value.retry) == (503, True)
    assert receiving(b"small", bodies=bodies, length=length) == b"small"
    assert receiving(*[piece] * 2, bodies=bodies, length=length) == piece * 2
    bodies.release(first)
    assert receiving(*[piece] * 6, bodies=bodies, length=length) == piece * 6


@pytest.mark.parametrize("length", [True, False])
def test_whoever_leaves_gives_back_what_was_taken(bodies: RequestBodies, length: bool) -> None:
    piece = bytes(LARGE_BYTES)
    for _ in range(10):
        assert receiving(*[piece] * 4, b"", bodies=bodies, length=length) is None
        with pytest.raises(BodyTooLarge):
            receiving(*[piece] * 7, bodies=bodies, length=length)
    assert receiving(*[piece] * 6, bodies=bodies, length=length) == piece * 6


def test_large_requests_are_freed_when_they_are_answered_refused_or_left(
    tmp_path: Any,
) -> None:
    size = 16 << 20
    body = b'{"a": "' + b"x" * size + b'"}'
    with Nursery() as nursery, Upstream(lambda _: Answer(headers=JSON, steps=[b"{}"])) as upstream:
        settings = {"STORE": str(tmp_path / "s"), "UPSTREAM_BASE_URL": upstream.base_url}
        gone = {**settings, "UPSTREAM_BASE_URL": "http://127.0.0.1:1/v1"}
        for mode in ({"MODE": "dummy"}, {"MODE": "record", **settings}, {"MODE": "record", **gone}):
            child = nursery.start(**mode)
            levels = []
            for _ in range(6):
                with RawClient(child.base_url) as client:
                    client.request("POST", PATH, body=body)
                with socket.create_connection(("127.0.0.1", child.port)) as sock:
                    sock.sendall(head(f"content-length: {len(body)}") + body[:-1])
                with RawClient(child.base_url) as client:
                    client.request("GET", "/healthz")
                levels.append(child.rss)
            # The allocator keeps what the first rounds took. Three more rounds would keep three to
            # six times the size if nothing were freed.
            assert levels[-1] - levels[2] < 2.5 * size, (mode, levels)
            child.kill()
