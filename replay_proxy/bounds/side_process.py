"""``SideProcess``: work on a large request in a process of its own, which then ends.

A thread is not enough: parsing JSON holds Python's lock to its end, and 60 MB of numbers take 0.7 s
and 500 MB. Not in here: what the work is.
"""

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from replay_proxy.bounds.side_thread import SideThread
from replay_proxy.wire import Request

T = TypeVar("T")

#: Minimum size of a body for which a process is started, which takes 100 ms; work on a smaller one
#: takes less than 50 ms.
SIDE_PROCESS_BYTES = 1 << 22
_CODE = (
    "import sys; sys.path = sys.argv[1:];"
    "from replay_proxy.bounds.side_process import answer; answer()"
)


class SideProcess:
    """Runs one process at a time, so that the event loop keeps its turns.

    The work has to be bounded, and a function that can be pickled by its name.
    """

    def __init__(self) -> None:
        self._aside = SideThread()

    async def run(self, work: Callable[[Request], T], request: Request) -> T:
        """The result of work on a request."""
        if len(request.body) < SIDE_PROCESS_BYTES:
            return work(request)
        return await self._aside.run(partial(_beside, work, request), len(request.body))

    def close(self) -> None:
        """Drop the work that waits."""
        self._aside.close()


def _beside(work: Callable[[Request], T], request: Request) -> T:
    """The result of work: in another process if the body is JSON and a process can be started."""
    if request.body[:64].lstrip()[:1] not in (b"{", b"["):
        return work(request)  # Hashing and searching let the event loop run.
    try:
        result = _in_process(work, request)
    except OSError:
        result = None
    return work(request) if result is None else pickle.loads(result)  # noqa: S301 - our own


def _in_process(work: Callable[[Request], object], request: Request) -> bytes | None:
    """The pickled result of work in a process that has the same modules; None if it failed."""
    process = subprocess.Popen(  # noqa: S603 - this interpreter, with code of ours
        [sys.executable, "-P", "-c", _CODE, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(pickle.dumps((work, replace(request, body=b""))))
            process.stdin.write(request.body)
            process.stdin.close()
            result = process.stdout.read()
        except BaseException:
            process.kill()
            raise
    return result if process.returncode == 0 else None


def answer() -> None:
    """The entry of the other process: read the work and the request, and write the result."""
    work, request = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own
    result = work(replace(request, body=sys.stdin.buffer.read()))
    sys.stdout.buffer.write(pickle.dumps(result))
