"""The proxy as a child process: serves on a socket of its parent, and ends when that one does.

Its arguments are the file descriptor of the listening socket and, under pytest, ``per-test``. The
parent calls the control plane over this process's standard input and output (``pipe``). The kernel
closes the other end of the former when the parent is gone, also after ``kill -9``.
"""

import asyncio
import os
import signal
import sys
import threading
from socket import AF_INET, IPPROTO_TCP, SOCK_STREAM, socket

import uvicorn

from replay_proxy.serving.child.per_test import PerTest
from replay_proxy.serving.child.pipe import Application, answer_calls
from replay_proxy.serving.process import app_with
from replay_proxy.settings.loading import load_as_child


class _ChildServer(uvicorn.Server):
    """uvicorn's server, which answers the parent's calls as soon as it serves."""

    def __init__(self, app: Application, control: Application, answers: int) -> None:
        super().__init__(uvicorn.Config(app, access_log=False))
        self._control = control
        self._answers = answers

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start, and begin to answer calls."""
        await super().startup(sockets)
        if self.started:
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._serve_parent, args=(loop,), daemon=True).start()

    def _serve_parent(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not by sys.stdin, whose lock would be held when the interpreter ends.
        answer_calls(self._control, loop, 0, self._answers)
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    answers = os.dup(1)
    os.dup2(2, 1)  # Printed text must not mix with answers.
    # asyncio sets TCP_NODELAY only if the protocol is named, and macOS cannot be asked for it.
    listener = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP, fileno=int(sys.argv[1]))
    app = app_with(load_as_child)
    if "per-test" in sys.argv:
        front = PerTest(app)
        server = _ChildServer(front, front.control, answers)
    else:
        server = _ChildServer(app, app, answers)
    server.run(sockets=[listener])
