"""The proxy as a child process: when it has started, and what is left when it has ended."""

import socket
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
    assert server._process.returncode == 2


def test_a_child_that_does_not_answer_in_time_is_ended() -> None:
    server = Server({"MODE": "dummy"}, start_timeout_s=0.01)
    with pytest.raises(ReplayProxyError, match="did not start"):
        server.start()
    assert server._process.returncode is not None
