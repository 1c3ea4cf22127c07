"""``Server``: the proxy as a child process of the pytest plugin or of ``replay-proxy run``.

It listens on a free port of 127.0.0.1, and is called over pipes (``pipe``). This module imports
only the standard library, so that pytest starts fast; the child imports the proxy.
"""

import _socket
import itertools
import json
import os
import select
import subprocess
import sys
import threading
import urllib.parse
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Self

from replay_proxy.errors import ReplayProxyError

#: Maximum number of lines of the child's log that are kept, and of characters per line.
LINES, LINE_CHARS = 2_000, 2_000
_READ_BYTES, _BACKLOG = 1 << 16, 2_048
#: The key for OpenAI clients, which refuse to work without one.
PLACEHOLDER_KEY = "replay-proxy-placeholder"
#: Variables that make a client one for Azure, or choose its type.
_TYPED = (
    "OPENAI_API_TYPE",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_AD_TOKEN",
)
_HTTP_PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


class Server:
    """A proxy with these settings and no others, by their names, from ``start`` to ``stop``."""

    def __init__(self, settings: Mapping[str, str], *, start_timeout_s: float = 60.0) -> None:
        self._settings = dict(settings)
        self._start_timeout_s = start_timeout_s
        self._written: deque[str] = deque(maxlen=LINES)
        self._dropped = 0
        #: None before `start`.
        self.process: subprocess.Popen[str] | None = None
        self._parent = 0
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._received = [b""]
        self.port = 0

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:<port>``."""
        return f"http://127.0.0.1:{self.port}"

    def base_url(self, cassette: str | None = None) -> str:
        """The ``base_url`` with which a client uses a cassette."""
        return f"{self.origin}/cassettes/{cassette}/v1" if cassette else f"{self.origin}/v1"

    @property
    def log(self) -> str:
        """The child's log so far, or the end of it."""
        dropped = f"(The first {self._dropped:,} lines are left out.)\n" if self._dropped else ""
        return dropped + "".join(list(self._written))

    def start(self, listener: _socket.socket | None = None) -> Self:
        """Start the child. Returns when it answers.

        With a ``listener``, a bound socket, it serves there, and ``run`` says which test runs.
        Raises ``ReplayProxyError`` with the child's log if it ends instead, or takes too long.
        """
        listener, mode = (bound(), []) if listener is None else (listener, ["per-test"])
        try:
            listener.listen(_BACKLOG)
            self.port = listener.getsockname()[1]
            self.process = self._child(listener.fileno(), mode)
            self._parent = os.getpid()
        finally:
            # From here on the child alone holds the socket: if it ends, connecting fails at once.
            listener.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._ask("GET", "/healthz", self._start_timeout_s)
        except (OSError, ReplayProxyError):
            self.stop()
            raise ReplayProxyError(f"The proxy did not start.\n{self.log}") from None
        return self

    def _child(self, listener: int, mode: Sequence[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(  # noqa: S603 - our own module
            # Without -P, a module in the user's directory would hide one of the library.
            [sys.executable, "-P", "-m", "replay_proxy.serving.child", str(listener), *mode],
            env=_child_environment(self._settings),
            stdin=subprocess.PIPE,  # The child ends when nobody holds the other end.
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            pass_fds=[listener],
            start_new_session=True,  # Ctrl-C is for the parent, which stops the child.
        )

    def stop(self) -> None:
        """End the child that this process has started, if any.

        What it records is complete when this returns.
        """
        if self.process is None or self._parent != os.getpid():
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=30.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()

    def call(self, method: str, path: str, **query: str | None) -> Any:
        """The JSON that the control plane answers under ``/_replay/api/``.

        Raises ``ReplayProxyError`` if that is an error, ``OSError`` if the child does not answer.
        """
        fields = {name: value for name, value in query.items() if value is not None}
        return self._ask(method, f"/_replay/api/{path}?{urllib.parse.urlencode(fields)}", 60.0)

    def run(self, **test: str) -> dict[str, int]:
        """Say which ``cassette`` the running test has, or ``why`` it has none and the ``remedy``.

        ``ended`` is the cassette of a single test that has ended. Returns how many requests for
        such cassettes came while another test ran. Raises like ``call``.
        """
        late: dict[str, int] = self._ask("POST", f"/test?{urllib.parse.urlencode(test)}", 60.0)
        return late

    def _ask(self, method: str, target: str, timeout_s: float) -> Any:
        assert self.process is not None
        assert self.process.stdin is not None
        with self._lock:
            # A forked process has the same pipes, and numbers of its own.
            number = f"{os.getpid()}-{next(self._numbers)}"
            call = json.dumps({"id": number, "method": method, "target": target})
            os.write(self.process.stdin.fileno(), call.encode() + b"\n")
            # The answer to an interrupted call comes first.
            while (answer := json.loads(self._line(timeout_s)))["id"] != number:
                pass
        if answer["status"] < 400:
            return answer["body"]
        raise ReplayProxyError(answer["body"]["error"]["message"])

    def _line(self, timeout_s: float) -> bytes:
        """The next line from the child. Raises ``OSError`` after ``timeout_s`` without a byte."""
        assert self.process is not None
        assert self.process.stdout is not None
        pipe = self.process.stdout.fileno()
        readable = select.poll()
        readable.register(pipe, select.POLLIN)
        while b"\n" not in self._received[-1]:
            if not readable.poll(timeout_s * 1000):
                raise TimeoutError(f"nothing came from its process for {timeout_s:g} s")
            data = os.read(pipe, _READ_BYTES)
            if not data:
                raise ConnectionError("its process has ended")
            self._received.append(data)
        line, _, rest = b"".join(self._received).partition(b"\n")
        self._received = [rest]
        return line

    def _read(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            # A line is read in parts, since one without an end would fill the memory.
            while line := lines.readline(LINE_CHARS):
                self._dropped += len(self._written) == LINES
                self._written.append(line)


def _child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child that is to read these settings and no others."""
    from replay_proxy.settings.names import PREFIX  # Imports pydantic.

    others = {name: os.environ[name] for name in os.environ if not name.upper().startswith(PREFIX)}
    return others | {PREFIX + name: text for name, text in settings.items()}


def bound() -> _socket.socket:
    """A socket on a free port of 127.0.0.1: nobody else gets the port, and clients are refused.

    Its class is the base of ``socket.socket``, which a test may have replaced by one that refuses.
    """
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM, _socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


def client_environment(base_url: str, *, asks_api: bool) -> dict[str, str]:
    """The variables that send OpenAI clients to ``base_url``, past any HTTP proxy.

    If no key is set, there is a placeholder, unless the client's own key reaches the API
    (``asks_api``): the placeholder would hide a key that an application reads from a file.
    """
    origin = base_url.removesuffix("/v1")
    variables = {
        "OPENAI_BASE_URL": base_url,
        "OPENAI_API_BASE": base_url,
        "AZURE_OPENAI_ENDPOINT": origin,
    }
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"):
        if key := os.environ.get(name) or ("" if asks_api else PLACEHOLDER_KEY):
            variables[name] = key
    if not any(map(os.environ.get, _TYPED)):
        # The functions of the module `openai` refuse to choose between OpenAI and Azure.
        variables["OPENAI_API_TYPE"] = "openai"
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if any(map(os.environ.get, _HTTP_PROXIES)) and direct != "*":
        if "127.0.0.1" not in direct.split(","):
            direct = ",".join(filter(None, [direct, "127.0.0.1"]))
        variables |= {"no_proxy": direct, "NO_PROXY": direct}
    return variables
