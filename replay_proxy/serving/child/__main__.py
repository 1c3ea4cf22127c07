"""The proxy as the child of another process, with which it ends, however that one does.

Its parent holds the other end of its standard input, and writes nothing: the kernel closes that end
when the parent is gone, also after ``kill -9``.
"""

import os
import signal
import sys
import threading

from replay_proxy.serving.process import serve


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock would be held when the interpreter ends.
    os.read(sys.__stdin__.fileno(), 1)  # type: ignore[union-attr]
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    serve(port=0)
