"""Requests that offer to go on in another protocol: served as HTTP/1.1, body included."""

import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.rawclient import RawClient
from tests.support.requests import CHAT, chat_body, head
from tests.support.script import Answer, Received
from tests.support.servers import Proxy
from tests.support.upstream import Upstream

#: As the JDK's HttpClient sends it with each request.
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")
OFFERS = [
    H2C,
    ("Connection: upgrade", "Upgrade: h2c"),
    ("Upgrade: TLS/1.0, HTTP/2.0", "Connection: keep-alive, Upgrade"),
    ("connection: Upgrade", "connection: HTTP2-Settings", "upgrade: h2c", "http2-settings: AA"),
]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def says(request: Received) -> Answer:
    return Answer(steps=[b'{"saw":%d}' % len(request.body)], framing="length")


def post_parts(body: bytes, lines: Sequence[str], *, chunked: bool = False) -> tuple[bytes, bytes]:
    length = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    return head(*lines, length), framed


def exchange(port: int, *pieces: bytes) -> tuple[int, bytes]:
    """The status and the body of the answer to bytes that are sent piece by piece."""
    with socket.create_connection(("127.0.0.1", port), 30.0) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return answer.status, answer.read()


@pytest.mark.parametrize("offer", OFFERS, ids=lambda lines: lines[-1])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_request_that_offers_an_upgrade_is_recorded_and_replayed_with_its_body(
    offer: Sequence[str], chunked: bool, nursery: Nursery, tmp_path: Path
) -> None:
    body = chat_body("capital of France?")
    with Upstream(says) as upstream:
        settings = {"MODE": "record", "STORE": str(tmp_path)}
        child = nursery.start(**settings, UPSTREAM_BASE_URL=upstream.base_url)
        answer = exchange(child.port, b"".join(post_parts(body, offer, chunked=chunked)))
        child.stop()
        assert answer == (200, b'{"saw":%d}' % len(body))
        (received,) = upstream.requests
    assert received.body == body
    assert not {b"upgrade", b"http2-settings"} & {name.lower() for name, _ in received.headers}
    child = nursery.start(MODE="replay", STORE=str(tmp_path))
    for question, status in (("capital of France?", 200), ("capital of Japan?", 404)):
        for lines in (offer, ()):
            pieces = post_parts(chat_body(question), lines, chunked=chunked)
            assert exchange(child.port, b"".join(pieces))[0] == status, (question, lines)
    child.stop()


def test_a_body_that_comes_after_the_head_of_an_offer_is_read(nursery: Nursery) -> None:
    child = nursery.start(MODE="dummy")
    start, body = post_parts(chat_body("hello"), H2C)
    status, answer = exchange(child.port, start[:40], start[40:], body[:10], body[10:])
    assert (status, "hello의 응답 내용".encode() in answer) == (200, True)
    child.stop()


def test_a_connection_with_offers_serves_one_request_after_another(nursery: Nursery) -> None:
    child = nursery.start(MODE="dummy")
    headers = [(b"connection", b"Upgrade, HTTP2-Settings"), (b"upgrade", b"h2c")]
    with RawClient(child.base_url) as client:
        for question in ("one", "two", "three"):
            answer = client.request("POST", CHAT, headers=headers, body=chat_body(question))
            assert f"{question}의 응답 내용".encode() in answer.body
    child.stop()


def test_a_tunnel_is_refused_and_not_read_again_without_end(nursery: Nursery) -> None:
    child = nursery.start(MODE="dummy")
    lines = b"\r\n".join([b"CONNECT a.example:443 HTTP/1.1", b"host: a.example:443", b"", b""])
    with socket.create_connection(("127.0.0.1", child.port), 30.0) as sock:
        sock.sendall(lines)
        assert b" 4" in sock.recv(65_536).split(b"\r\n")[0]
    child.stop()


def test_a_server_that_loses_the_body_is_named_with_its_remedy(tmp_path: Path) -> None:
    with Proxy(tmp_path, "--lifespan", "off", MODE="dummy") as proxy:
        port = int(proxy.base_url.rpartition(":")[2].partition("/")[0])
        start, body = post_parts(chat_body("hello"), (*H2C[1:], "connection: Upgrade, close"))
        status, answer = exchange(port, start + body)
    error = json.loads(answer)["error"]
    assert (status, error["code"]) == (501, "upgrade_not_supported")
    assert "--http h11" in error["message"]
