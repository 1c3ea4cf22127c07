"""The proxy as a separate process, as users run it: ``python -m uvicorn replay_proxy.main:app``.

    with Proxy(tmp_path, MODE="record", UPSTREAM_BASE_URL=upstream.base_url) as proxy:
        RawClient(proxy.base_url).request("POST", "/v1/chat/completions", body=b"{}")

Its environment has only what the test names: a developer's key or ``.env`` cannot change the
result of a test.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar, Self

_ROOT = Path(__file__).parents[2]
_INHERITED = re.compile(r"PATH|HOME|USER|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|COVERAGE_\w+|PYTHON\w+")
_RUNNING = re.compile(r"Uvicorn running on https?://(?:\[[^]]*\]|[^:]+):(\d+)")


def clean_environment() -> dict[str, str]:
    """The environment of this process without anything that could be a setting or a key."""
    env = {name: value for name, value in os.environ.items() if _INHERITED.fullmatch(name)}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), env.get("PYTHONPATH")]))
    return env


class ProxyDidNotStartError(RuntimeError):
    """The process ended, or took too long, before it listened."""

    def __init__(self, returncode: int | None, stderr: str) -> None:
        super().__init__(f"the proxy did not start (exit code {returncode}):\n{stderr}")
        self.returncode = returncode
        self.stderr = stderr


class Proxy:
    """Runs the app in ``cwd`` with further uvicorn arguments and these environment variables.

    The kernel chooses the port, which is read from uvicorn's log, so two proxies never collide.
    ``stop`` and ``kill`` end the process; leaving the ``with`` block stops it.
    """

    app: ClassVar[str] = "replay_proxy.main:app"
    start_timeout_s: ClassVar[float] = 30.0

    def __init__(self, cwd: Path, /, *args: str, **env: str) -> None:
        self.port = 0
        self._cwd = cwd
        self._command = [sys.executable, "-m", "uvicorn", self.app, "--port", "0"]
        self._command += ["--no-access-log", *args]
        self._env = clean_environment() | env
        self._lines: list[str] = []
        self._told = threading.Event()

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:<port>``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The ``base_url`` for an OpenAI client."""
        return f"{self.origin}/v1"

    @property
    def pid(self) -> int:
        """The process id; with several workers, the parent's."""
        return self._process.pid

    @property
    def stderr(self) -> str:
        """The output of the process so far, including standard output."""
        return "".join(self._lines)

    def start(self) -> Self:
        """Start the process, and return when its port accepts connections."""
        self._process = subprocess.Popen(
            self._command,
            cwd=self._cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that kill() also reaches the workers
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._told.wait(self.start_timeout_s)
        if not self.port or not self._answers():
            self.kill()
            raise ProxyDidNotStartError(self._process.returncode, self.stderr)
        return self

    def stop(self, timeout_s: float = 20.0) -> str:
        """End it with SIGTERM, as an orchestrator does, and return its output.

        uvicorn shuts down gracefully and then raises the signal again, so the exit code is 0 or
        that of SIGTERM; any other is an error of the application.
        """
        if self._process.poll() is None:
            self._process.terminate()
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the proxy ignored SIGTERM:\n{self.stderr}") from None
        self._reader.join()
        assert code in (0, -signal.SIGTERM), f"exit code {code}:\n{self.stderr}"
        return self.stderr

    def kill(self) -> str:
        """End it and its workers with SIGKILL, and return its output."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        return self.stderr

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if self._process.returncode is not None:
            return
        if error is None:
            self.stop()
        else:
            self.kill()
            error.add_note(f"The proxy wrote:\n{self.stderr}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.append(line)
                if not self.port and (found := _RUNNING.search(line)):
                    self.port = int(found[1])
                    self._told.set()
        self._told.set()

    def _answers(self) -> bool:
        """Whether the port accepts connections: several workers log the line before they listen."""
        deadline = time.monotonic() + self.start_timeout_s
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                time.sleep(0.01)
            else:
                return True
        return False
