"""The proxy as a child process: serves on a socket of its parent, and ends when that one does.

Its argument is the file descriptor of the listening socket. The parent holds the other end of this
process's standard input and writes nothing to it: the kernel closes that end when the parent is
gone, also after ``kill -9``.
"""

import os
import signal
import sys
import threading
from socket import AF_INET, IPPROTO_TCP, SOCK_STREAM, socket

import uvicorn

from replay_proxy.serving.process import app_with
from replay_proxy.settings.loading import load_as_child


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock would be held when the interpreter ends.
    os.read(sys.__stdin__.fileno(), 1)  # type: ignore[union-attr]
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # asyncio sets TCP_NODELAY only if the protocol is named, and macOS cannot be asked for it.
    listener = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP, fileno=int(sys.argv[1]))
    app = app_with(load_as_child)
    uvicorn.Server(uvicorn.Config(app, access_log=False)).run(sockets=[listener])
