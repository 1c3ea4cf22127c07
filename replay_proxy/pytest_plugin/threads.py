"""Threads that a test leaves running: their requests would count for the next test.

A client that was created at import sends all requests to the same address, whatever the test.
"""

import sys
import threading
from collections.abc import Collection

#: Modules in which an idle thread waits: a worker of a pool, an event loop, a consumer.
_WAITING = frozenset({"threading", "queue", "selectors", "concurrent.futures.thread"})


def left_running(before: Collection[threading.Thread]) -> list[str]:
    """The names of threads that have been started since ``before`` and are busy now."""
    frames = sys._current_frames()
    names = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if thread in before or frame is None:
            continue
        if frame.f_globals.get("__name__") not in _WAITING:
            names.append(thread.name)
    return names
