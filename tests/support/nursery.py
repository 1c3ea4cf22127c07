"""Proxies that start in milliseconds: a process that has imported everything forks them.

    with Nursery() as nursery:
        proxy = nursery.start(MODE="record", STORE=str(store), UPSTREAM_BASE_URL=upstream.base_url)
        proxy.kill()

A new interpreter takes a second or more to start, too long for tests that kill hundreds of them.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support.servers import clean_environment


@dataclass(frozen=True)
class Child:
    """A proxy and its port."""

    pid: int
    port: int

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its ``base_url``."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def rss(self) -> int:
        """Its current memory in bytes."""
        return self._memory("VmRSS")

    @property
    def peak_rss(self) -> int:
        """Its largest memory in bytes since the last ``forget_peak``."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        """Reset the peak to the current memory (proc_pid_clear_refs(5))."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @property
    def sockets(self) -> int:
        """The number of its open sockets."""
        count = 0
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(OSError):
                count += os.readlink(f"/proc/{self.pid}/fd/{name}").startswith("socket:")
        return count

    def kill(self, *, wait: bool = False) -> None:
        """End it with SIGKILL at once."""
        self._end(signal.SIGKILL) if wait else os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it with SIGTERM. When this returns, each cassette is one file."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process = os.pidfd_open(self.pid)
        try:
            os.kill(self.pid, how)
            if not select.select([process], [], [], 30.0)[0]:
                raise TimeoutError(f"the proxy ignored {how.name}")
        finally:
            os.close(process)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = 30.0) -> bool:
        """Whether it ends within this time."""
        deadline = time.monotonic() + timeout_s
        while os.path.exists(f"/proc/{self.pid}"):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(
            int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(name)
        )


class Nursery:
    """Starts proxies with the given settings and no others.

    ``env`` is for code that runs before them (``tests.support.child_code``).
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self._env = clean_environment() | dict(env or {})

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._env,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def start(self, **settings: str) -> Child:
        """Fork a proxy; it accepts connections when this returns."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(settings) + "\n")
        self._process.stdin.flush()
        return Child(**json.loads(self._process.stdout.readline()))


def _serve(settings: dict[str, Any]) -> None:
    import uvicorn

    from replay_proxy.serving.app import ReplayProxy
    from replay_proxy.settings import Settings

    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(json.dumps({"pid": os.getpid(), "port": listener.getsockname()[1]}), flush=True)
    config = uvicorn.Config(
        ReplayProxy(Settings(**{name.lower(): value for name, value in settings.items()})),
        log_level="error",
        access_log=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _main() -> None:
    import replay_proxy.serving.app
    import replay_proxy.transports.upstream  # noqa: F401 - imported once for all forks

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    children = []
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _serve(json.loads(line))
            os._exit(0)
        children.append(pid)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    _main()
