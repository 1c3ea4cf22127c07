"""Waits for what another process or thread does, without a sleep of a guessed length."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(look: Callable[[], T], timeout_s: float = 60.0) -> T:
    """What ``look`` returns, once that is true. Fails if it takes longer than any machine needs."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline_s, "it did not come to pass"
        time.sleep(0.005)
    return found
