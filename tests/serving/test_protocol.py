"""What a client's connection may cost: heads, trailers, old clients, stalls. On real sockets."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawClient
from tests.support.requests import CHAT, chat_body, head, post
from tests.support.script import Answer, Cut, Gate, Raw, Received
from tests.support.servers import Proxy
from tests.support.tape import EVENTS, make, recorded, stored
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

BODY = chat_body("q", stream=True)
EVENT, DONE = b'data: {"a": 1}\n\n', b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(lambda _: Answer(steps=[EVENT, DONE])) as it:
        yield it


def recording(nursery: Nursery, upstream: Upstream, tmp_path: Path, **settings: str) -> Child:
    return nursery.start(
        MODE="record", STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url, **settings
    )


def connected(child: Child, receive_buffer: int | None = None) -> socket.socket:
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(30.0)
    try:
        sock.connect(("127.0.0.1", child.port))
    except OSError:
        sock.close()
        raise
    return sock


def everything(sock: socket.socket) -> bytes:
    """What comes until the server closes, or resets, the connection."""
    got = b""
    while True:
        try:
            data = sock.recv(1 << 16)
        except ConnectionError:
            return got
        if not data:
            return got
        got += data


# --- trailers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("packets", [1, 2, 3])
def test_trailers_are_not_headers(
    packets: int, nursery: Nursery, upstream: Upstream, tmp_path: Path
) -> None:
    child = recording(nursery, upstream, tmp_path)
    chunk = b"%x\r\n%b\r\n" % (len(BODY), BODY)
    trailers = (
        b"0\r\nx-replay-cassette: other\r\nauthorization: Bearer evil\r\nuser-agent: evil\r\n"
        b"cookie: evil\r\nhost: evil\r\norigin: http://evil\r\nx-replay-fault: cut\r\n\r\n"
    )
    start = head("transfer-encoding: chunked", "trailer: cookie", "connection: close")
    with connected(child) as sock, RawClient(child.base_url) as client:
        if packets == 1:
            sock.sendall(start + chunk + trailers)
        else:
            sock.sendall(start + (chunk if packets == 2 else b""))
            client.request("GET", "/healthz")  # It has read what came before.
            sock.sendall(trailers if packets == 2 else chunk + trailers)
        assert DONE in everything(sock)
    sent = upstream.requests[0]
    assert sent.body == BODY
    assert not [pair for pair in sent.headers if b"evil" in pair[1]]
    kept = stored(tmp_path, post(BODY))
    assert kept is not None
    assert not [pair for pair in kept.request.headers if b"evil" in pair[1]]
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {"default"}
    child.kill()


def flood(sock: socket.socket, data: bytes) -> None:
    """Send megabytes, and return when the server has closed the connection."""
    with contextlib.suppress(ConnectionError):
        for _ in range(4_000):
            sock.sendall(data)
    everything(sock)


def test_an_endless_trailer_is_cut(nursery: Nursery) -> None:
    child = nursery.start(MODE="dummy")
    with connected(child) as sock:
        sock.sendall(head("transfer-encoding: chunked") + b"0\r\n")
        flood(sock, b"x-y: %b\r\n" % (b"y" * 1_000))
    child.kill()


def test_an_endless_head_is_refused(nursery: Nursery) -> None:
    child = nursery.start(MODE="dummy")
    with connected(child) as sock:
        sock.sendall(b"POST /v1/models HTTP/1.1\r\nx: ")
        flood(sock, b"y" * 1_000)
    child.kill()


def test_trailers_of_an_answer_are_neither_passed_on_nor_stored(
    nursery: Nursery, tmp_path: Path
) -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntrailer: x-evil\r\n"
        b"transfer-encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\nx-evil: evil\r\n\r\n"
    )
    with Upstream(lambda _: Answer(head=False, framing="eof", steps=[Raw(answer)])) as upstream:
        child = recording(nursery, upstream, tmp_path)
        with RawClient(child.base_url) as client:
            seen = client.request("POST", CHAT, body=BODY)
    assert seen.body == DONE
    assert seen.clean
    assert seen.header(b"x-evil") is None
    kept = stored(tmp_path, post(BODY))
    assert kept is not None
    assert b"x-evil" not in dict(kept.headers)
    child.kill()


# --- HTTP/1.0 -----------------------------------------------------------------------------------


def modes(nursery: Nursery, upstream: Upstream, tmp_path: Path) -> dict[str, Child]:
    """A proxy in each mode, and the ways in which it may send a stream."""
    make(tmp_path / "replay" / "default.sqlite", [recorded("q", EVENT, DONE, headers=EVENTS)])
    store = str(tmp_path / "replay")
    return {
        "record": recording(nursery, upstream, tmp_path / "record"),
        "replay": nursery.start(STORE=store),
        "replay, joined": nursery.start(STORE=store, REPLAY_CHUNKS="joined"),
        "replay, paced": nursery.start(STORE=store, REPLAY_SPEED="10"),
        "dummy": nursery.start(MODE="dummy"),
        "dummy, timed": nursery.start(MODE="dummy", DUMMY_ITL_MS="1"),
    }


def test_a_client_of_http_1_0_gets_a_body_that_it_can_read(
    nursery: Nursery, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "replay").mkdir()
    for mode, child in modes(nursery, upstream, tmp_path).items():
        body = BODY
        if "replay" in mode:
            body = chat_body("q")
        for line in ("accept: */*", "connection: keep-alive"):
            with connected(child) as sock:
                sock.sendall(head(line, f"content-length: {len(body)}", version="1.0") + body)
                told, _, got = everything(sock).partition(b"\r\n\r\n")
            assert b" 200 " in told.splitlines()[0], (mode, told, got)
            assert b"transfer-encoding" not in told.lower(), mode
            assert got.startswith(b"data: {"), (mode, got)
            assert got.endswith(b"}\n\n" + DONE), (mode, got)
        child.kill()


def test_a_client_of_http_1_0_sees_that_an_answer_was_cut(nursery: Nursery, tmp_path: Path) -> None:
    with Upstream(lambda _: Answer(steps=[EVENT, Cut()])) as upstream:
        child = recording(nursery, upstream, tmp_path)
        with connected(child) as sock:
            sock.sendall(head(f"content-length: {len(BODY)}", version="1.0") + BODY)
            reads = iter(lambda: sock.recv(1 << 16), b"")
            with pytest.raises(ConnectionResetError):  # Closing alone would look like the end.
                list(reads)
    child.kill()


# --- clients that stall -------------------------------------------------------------------------


def drip(sock: socket.socket, data: bytes, times: int = 1_000) -> None:
    """Send this again and again, slowly, until the server has enough."""
    for _ in range(times):
        time.sleep(0.02)  # The client's own pace, which is what the server has to judge.
        try:
            sock.sendall(data)
        except ConnectionError:
            return
    pytest.fail("the server waits for ever")


def half_a_head(sock: socket.socket) -> None:
    sock.sendall(b"POST /v1/models HTTP/1.1\r\nhos")


def nothing(sock: socket.socket) -> None:
    pass


def half_a_body(sock: socket.socket) -> None:
    sock.sendall(head("content-length: 100") + b"{")


def half_a_chunk(sock: socket.socket) -> None:
    sock.sendall(head("transfer-encoding: chunked") + b"5\r\nab")


def half_a_head_after_an_answer(sock: socket.socket) -> None:
    sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    sock.recv(1 << 16)
    sock.sendall(b"GET /hea")


def slow_head(sock: socket.socket) -> None:
    sock.sendall(b"POST /v1/models HTTP/1.1\r\nx: ")
    drip(sock, b"y")


def slow_body(sock: socket.socket) -> None:
    sock.sendall(head("content-length: 1000000"))
    drip(sock, b"y")


def empty_lines(sock: socket.socket) -> None:
    sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    sock.recv(1 << 16)
    drip(sock, b"\r\n")


@pytest.mark.parametrize(
    "begin",
    [
        nothing,
        half_a_head,
        half_a_body,
        half_a_chunk,
        half_a_head_after_an_answer,
        slow_head,
        slow_body,
        empty_lines,
    ],
)
def test_a_client_that_does_not_send_its_request_is_dropped(
    begin: Callable[[socket.socket], None], nursery: Nursery
) -> None:
    child = nursery.start(MODE="dummy", STALL_S="0.3")
    with connected(child) as sock:
        begin(sock)
        everything(sock)  # Times out if the server keeps the connection.
    child.kill()


def test_a_client_that_is_slow_but_sends_is_served(nursery: Nursery) -> None:
    child = nursery.start(MODE="dummy", STALL_S="3")
    body = BODY + b" " * 3_000
    with connected(child) as sock:
        sock.sendall(head(f"content-length: {len(body)}"))
        for start in range(0, len(body), 100):
            time.sleep(0.11)
            sock.sendall(body[start : start + 100])
        assert b" 200 " in sock.recv(1 << 16)
    child.kill()


def test_a_client_that_takes_nothing_of_its_answer_is_dropped(
    nursery: Nursery, tmp_path: Path
) -> None:
    make(tmp_path / "default.sqlite", [recorded("q", bytes(40 << 20))])
    child = nursery.start(STORE=str(tmp_path), STALL_S="0.5")
    body = chat_body("q")
    with connected(child) as first:
        first.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        everything(first)
    before = child.sockets
    with connected(child, receive_buffer=4096) as sock:
        sock.sendall(head(f"content-length: {len(body)}") + body)
        assert sock.recv(1) == b"H"
        wait_until(lambda: child.sockets <= before)
    child.kill()


def test_a_slow_reader_gets_all_of_its_answer(nursery: Nursery, tmp_path: Path) -> None:
    answer = bytes(range(256)) * 40_000
    make(tmp_path / "default.sqlite", [recorded("q", answer)])
    child = nursery.start(STORE=str(tmp_path), STALL_S="3")
    body = chat_body("q")
    with connected(child, receive_buffer=1 << 16) as sock:
        sock.sendall(head(f"content-length: {len(body)}", version="1.0") + body)
        got = bytearray()
        while data := sock.recv(1 << 17):
            got += data
            time.sleep(0.04)
    assert got.endswith(answer)
    child.kill()


# --- stopping -----------------------------------------------------------------------------------


def never_reads(child: Child) -> socket.socket:
    sock = connected(child, receive_buffer=4096)
    sock.sendall(head(f"content-length: {len(BODY)}") + BODY)
    assert sock.recv(1) == b"H"
    return sock


def reads_one_event(child: Child) -> socket.socket:
    sock = connected(child)
    sock.sendall(head(f"content-length: {len(BODY)}") + BODY)
    assert sock.recv(1) == b"H"
    return sock


def waits(child: Child) -> socket.socket:
    sock = connected(child)
    sock.sendall(head(f"content-length: {len(BODY)}") + BODY)
    return sock


def begins(with_: Callable[[socket.socket], None]) -> Callable[[Child], socket.socket]:
    def begin(child: Child) -> socket.socket:
        sock = connected(child)
        with_(sock)
        return sock

    return begin


def keeps_alive(child: Child) -> socket.socket:
    sock = connected(child)
    sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    assert sock.recv(1) == b"H"
    return sock


def endless(_: Received) -> Answer:
    return Answer(steps=[b"data: " + b"x" * 10_000 + b"\n\n"] * 1_000_000)


HOUR = {"MODE": "dummy", "DUMMY_ITL_MS": "3600000"}


@pytest.mark.parametrize(
    ("settings", "client"),
    [
        ({"MODE": "record"}, never_reads),
        ({"MODE": "record"}, waits),
        ({"MODE": "dummy", "DUMMY_TEXT": "lorem", "DUMMY_TOKENS": "200000"}, never_reads),
        (HOUR, reads_one_event),
        (HOUR | {"DUMMY_TTFT_MS": "3600000"}, waits),
        (HOUR, keeps_alive),
        (HOUR, begins(half_a_head)),
        (HOUR, begins(half_a_body)),
        (HOUR, begins(nothing)),
    ],
    ids=[
        "an endless stream that nobody reads",
        "an endless stream",
        "a stream of the dummy that nobody reads",
        "a slow stream of the dummy",
        "a slow first token",
        "an idle connection",
        "half a head",
        "half a body",
        "no byte",
    ],
)
def test_a_stop_ends_whatever_clients_do(
    settings: dict[str, str],
    client: Callable[[Child], socket.socket],
    nursery: Nursery,
    tmp_path: Path,
) -> None:
    with Upstream(endless) as upstream:
        child = nursery.start(
            STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url, DRAIN_S="0.2", **settings
        )
        with client(child), RawClient(child.base_url) as other:
            other.request("GET", "/healthz")  # The client's request has been read by now.
            child.signal(15)
            assert child.wait(), "it does not end"
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(("-wal", "-shm"))]


def test_what_a_stop_cuts_is_no_error_of_the_proxy(tmp_path: Path) -> None:
    with Upstream(endless) as upstream:
        env = {"MODE": "record", "UPSTREAM_BASE_URL": upstream.base_url, "DRAIN_S": "0.2"}
        with Proxy(tmp_path, **env) as proxy, contextlib.ExitStack() as clients:
            socks = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(3)]
            kinds = [("1.1", 2), ("1.0", 2), ("1.1", 50)]
            for sock, (version, length) in zip(socks, kinds, strict=True):
                clients.enter_context(sock)
                sock.sendall(head(f"content-length: {length}", version=version))
                sock.sendall(b"{}")
            for sock in socks[:2]:
                assert b"data: " in sock.recv(1 << 16) + sock.recv(1 << 16)
            log = proxy.stop()
    assert log.count("the answer did not reach its end within 0.2 s") == 2
    assert "Traceback" not in log
    assert "Exception" not in log


def test_a_paced_replay_of_an_hour_does_not_keep_a_proxy_from_stopping(
    nursery: Nursery, tmp_path: Path
) -> None:
    make(tmp_path / "default.sqlite", [recorded("q", EVENT, EVENT, DONE, headers=EVENTS)])
    child = nursery.start(STORE=str(tmp_path), REPLAY_SPEED="0.00001", DRAIN_S="0.2")
    body = chat_body("q")
    with connected(child) as sock, RawClient(child.base_url) as other:
        sock.sendall(head(f"content-length: {len(body)}") + body)
        other.request("GET", "/healthz")
        child.signal(15)
        assert child.wait(), "it does not end"


def test_a_second_interrupt_ends_at_once(nursery: Nursery) -> None:
    child = nursery.start(DRAIN_S="3600", **HOUR)
    with reads_one_event(child):
        child.signal(2)
        deadline = time.monotonic() + 30.0
        while not child.wait(0.2) and time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError):
                child.signal(2)
        assert child.wait(0.0), "it does not end"


def test_what_reaches_its_end_while_the_proxy_stops_is_kept(
    nursery: Nursery, tmp_path: Path
) -> None:
    gate = threading.Event()
    with Upstream(lambda _: Answer(steps=[EVENT, Gate(gate), DONE])) as upstream:
        child = recording(nursery, upstream, tmp_path, DRAIN_S="30")
        with RawClient(child.base_url) as client:
            incoming = client.send("POST", CHAT, body=BODY)
            assert next(incoming) == EVENT
            child.signal(15)
            refused(child)
            gate.set()
            assert incoming.read().body == EVENT + DONE
        assert child.wait(), "it does not end"
    kept = stored(tmp_path, post(BODY))
    assert kept is not None
    assert kept.body == EVENT + DONE
    assert [path.name for path in tmp_path.iterdir()] == ["default.sqlite"]


def refused(child: Child) -> None:
    """Return when it takes no new connection."""

    def look() -> bool:
        try:
            connected(child).close()
        except OSError:
            return True
        return False

    wait_until(look)


def test_what_does_not_reach_its_end_is_not_kept(nursery: Nursery, tmp_path: Path) -> None:
    never = threading.Event()
    answer = Answer(steps=[EVENT, Gate(never), DONE])
    with Upstream(lambda _: answer) as upstream:
        child = recording(nursery, upstream, tmp_path, DRAIN_S="0.2")
        with RawClient(child.base_url) as client:
            incoming = client.send("POST", CHAT, body=BODY)
            assert next(incoming) == EVENT
            child.signal(15)
            assert not incoming.read().clean
        assert child.wait(), "it does not end"
    assert stored(tmp_path, post(BODY)) is None
