"""Where ``serve`` listens: on both loopback addresses, and nowhere without saying why."""

import socket
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from replay_proxy.errors import ConfigurationError
from replay_proxy.serving.listening import listeners
from tests.support.servers import Proxy, clean_environment


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="the machine has no ::1")


class Serving(Proxy):
    """The proxy as ``replay-proxy serve`` starts it."""

    def __init__(self, cwd: Path, /, *args: str, **env: str) -> None:
        super().__init__(cwd, **env)
        self._command = [sys.executable, "-m", "replay_proxy", "serve", "--port", "0", *args]


@needs_ipv6
@pytest.mark.parametrize(
    "arguments",
    [(), ("--host", "localhost"), ("--host", "127.0.0.1"), ("--host", "::"), ("--workers", "2")],
    ids=" ".join,
)
def test_a_client_reaches_it_on_either_loopback_address(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    with Serving(tmp_path, *arguments, MODE="dummy") as proxy:
        for host in ("127.0.0.1", "[::1]", "localhost"):
            with urllib.request.urlopen(f"http://{host}:{proxy.port}/healthz", timeout=30) as it:
                assert it.status == 200


def test_one_address_is_listened_on_alone() -> None:
    (only,) = listeners("127.0.0.2", 0)
    with closing(only):
        assert only.getsockname()[0] == "127.0.0.2"


def test_a_port_in_use_ends_it_with_the_remedy(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = str(other.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "replay_proxy", "serve", "--port", port],
            cwd=tmp_path,
            env=clean_environment() | {"MODE": "dummy"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 70, ""])
def test_a_host_that_is_not_this_machines_is_named_with_the_remedy(host: str) -> None:
    if not host:  # All addresses, as for every server.
        for each in listeners(host, 0):
            each.close()
        return
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1"):
        listeners(host, 0)


@needs_ipv6
def test_another_process_on_the_other_address_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)) as other:
        port = other.getsockname()[1]
        (only,) = listeners("localhost", port)
        only.close()
        assert f"[::1]:{port} is in use" in caplog.text
        both = listeners("localhost", 0)
    assert [each.getsockname()[0] for each in both] == ["127.0.0.1", "::1"]
    assert len({each.getsockname()[1] for each in both}) == 1
    for each in both:
        each.close()


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"MODE": "dummy"}, True),
        ({"MODE": "dummy", "DUMMY_TEXT": "echo_last"}, True),
        ({"ON_MISS": "dummy", "STORE": "."}, True),
        ({"MODE": "dummy", "DUMMY_TEXT": "lorem"}, False),
        ({"STORE": "."}, False),
    ],
)
def test_a_start_says_which_text_of_the_dummy_is_for_coding_agents(
    env: dict[str, str], told: bool, tmp_path: Path
) -> None:
    with Serving(tmp_path, **env) as proxy:
        assert ("DUMMY_TEXT=lorem" in proxy.stop()) is told
