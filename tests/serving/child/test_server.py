"""The proxy as a child process: when it has started, and what is left when it has ended."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from replay_proxy.errors import ReplayProxyError
from replay_proxy.serving.child.server import Server
from tests.support.servers import clean_environment


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings but those of the test."""
    with monkeypatch.context() as patch:
        patch.setattr("os.environ", clean_environment())
        yield


def test_a_child_answers_when_start_returns_and_nobody_does_after_its_end() -> None:
    server = Server({"MODE": "dummy"}).start()
    try:
        assert server.call("GET", "report")["cassettes"]["default"]["misses"] == []
    finally:
        server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_a_child_that_ends_before_it_answers_tells_why() -> None:
    server = Server({"MODE": "dumy"})
    with pytest.raises(ReplayProxyError, match=r"(?s)did not start\.\n.*MODE=dumy is not valid"):
        server.start()
    assert server.process is not None
    assert server.process.returncode == 2


def test_a_child_that_does_not_answer_in_time_is_ended() -> None:
    server = Server({"MODE": "dummy"}, start_timeout_s=0.01)
    with pytest.raises(ReplayProxyError, match="did not start"):
        server.start()
    assert server.process is not None
    assert server.process.returncode is not None
    server.stop()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server({"MODE": "dummy"}).start()
    yield server
    server.stop()


def test_nothing_that_a_test_patches_comes_between(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("blocked")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(http.client, "HTTPConnection", refuse)
        patch.setattr(time, "monotonic", refuse)
        patch.setattr(time, "time", refuse)
        server = Server({"MODE": "dummy"}).start()
        report = server.call("GET", "report")
    server.stop()
    assert list(report["cassettes"]) == ["default"]


def test_a_call_that_is_refused_raises_the_reason(server: Server) -> None:
    with pytest.raises(ReplayProxyError, match=r"'\.\./x'"):
        server.call("POST", "rewind", cassette="../x")
    assert server.call("POST", "rewind") == {"rewound": ["default"]}


def test_the_answer_to_an_interrupted_call_is_not_that_to_the_next(server: Server) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        server._ask("GET", "/healthz", 0.01)
    server.process.send_signal(signal.SIGCONT)
    assert server.call("POST", "rewind", cassette="x") == {"rewound": ["x"]}


def test_a_forked_process_reaches_the_child_too(server: Server) -> None:
    pid = os.fork()
    if not pid:
        rewound = server.call("POST", "rewind", cassette="forked")
        os._exit(rewound != {"rewound": ["forked"]})
    assert os.waitpid(pid, 0)[1] == 0
    assert server.call("POST", "rewind", cassette="x") == {"rewound": ["x"]}


def test_a_child_that_has_ended_is_told(server: Server) -> None:
    assert server.process is not None
    server.process.kill()
    with pytest.raises(OSError, match=r"its process has ended|Broken pipe"):
        server.call("GET", "report")
