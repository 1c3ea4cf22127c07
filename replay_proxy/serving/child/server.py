"""The proxy as a child process, for who needs one for a while: the pytest plugin and ``run``.

It listens on a free port of 127.0.0.1. Only the standard library is imported here, since a pytest
start must not pay for what it does not use; the proxy itself is imported by the child.
"""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Mapping
from typing import Any, Self

from replay_proxy.errors import ReplayProxyError

#: Of what the child writes so many lines are kept, each of at most so many characters.
LINES, LINE_CHARS = 2_000, 2_000
_LISTENS = re.compile(r"running on http://127\.0\.0\.1:(\d+)")
#: What tells OpenAI clients to reach the proxy instead, and the placeholder where they want a key.
PLACEHOLDER_KEY = "replay-proxy-placeholder"
_HTTP_PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


class Server:
    """A proxy with these settings on top of the environment, from ``start`` to ``stop``.

    Raises ``ReplayProxyError`` with what the child wrote when it does not start.
    """

    def __init__(self, settings: Mapping[str, str], *, start_timeout_s: float = 60.0) -> None:
        self._settings = dict(settings)
        self._start_timeout_s = start_timeout_s
        self._written: deque[str] = deque(maxlen=LINES)
        self._dropped = 0
        self._told = threading.Event()
        self.port = 0

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:<port>``."""
        return f"http://127.0.0.1:{self.port}"

    def base_url(self, cassette: str | None = None) -> str:
        """What a client takes as its ``base_url`` to use a cassette."""
        return f"{self.origin}/cassettes/{cassette}/v1" if cassette else f"{self.origin}/v1"

    @property
    def log(self) -> str:
        """What the child has written so far, or the end of it."""
        dropped = f"(The first {self._dropped:,} lines are left out.)\n" if self._dropped else ""
        return dropped + "".join(list(self._written))

    def start(self) -> Self:
        """Start the child and return when it answers."""
        self._process = subprocess.Popen(
            # Without -P a module of the user's directory would stand before the library's.
            [sys.executable, "-P", "-m", "replay_proxy.serving.child"],
            env=os.environ | self._settings,
            stdin=subprocess.PIPE,  # It ends when nobody holds the other end any more.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for who started it; it stops the child itself.
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._told.wait(self._start_timeout_s)
        if not self.port:
            self.stop()
            raise ReplayProxyError(f"The proxy did not start.\n{self.log}")
        return self

    def stop(self) -> None:
        """End the child; what it records is complete when this returns."""
        self._process.terminate()
        try:
            self._process.wait(timeout=30.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def call(self, method: str, path: str, **query: str | None) -> Any:
        """The JSON that the control plane answers under ``/_replay/api/``."""
        given = {name: value for name, value in query.items() if value is not None}
        request = urllib.request.Request(  # noqa: S310 - our own child on loopback
            f"{self.origin}/_replay/api/{path}?{urllib.parse.urlencode(given)}", method=method
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60.0) as answer:
            return json.load(answer)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            # A line is read in parts: one without an end would fill the memory.
            while line := lines.readline(LINE_CHARS):
                self._dropped += len(self._written) == LINES
                self._written.append(line)
                if not self.port and (found := _LISTENS.search(line)):
                    self.port = int(found[1])
                    self._told.set()
        self._told.set()


def client_environment(base_url: str, *, asks_api: bool) -> dict[str, str]:
    """The variables that send OpenAI clients to ``base_url``, past any HTTP proxy.

    Where no key is set there is a placeholder, unless the client's own key ``asks_api``: it would
    hide one that an application reads from a file.
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
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if any(map(os.environ.get, _HTTP_PROXIES)) and direct != "*":
        direct = ",".join(filter(None, [direct, "127.0.0.1"]))
        variables |= {"no_proxy": direct, "NO_PROXY": direct}
    return variables
