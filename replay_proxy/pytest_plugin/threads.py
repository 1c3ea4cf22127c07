"""Threads that a test leaves running: a request of theirs would count for the test that then runs.

A client that was made at import sends their requests to the same address as those of any test.
"""

import sys
import threading
from collections.abc import Collection

#: Where a thread waits that has nothing to do: a worker of a pool, an event loop, a consumer.
_WAITING = frozenset({"threading", "queue", "selectors", "concurrent.futures.thread"})


def left_running(before: Collection[threading.Thread]) -> list[str]:
    """The names of threads that were started since and are busy now."""
    frames = sys._current_frames()
    names = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if thread in before or frame is None:
            continue
        if frame.f_globals.get("__name__") not in _WAITING:
            names.append(thread.name)
    return names
