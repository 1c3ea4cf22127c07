"""``Apart``: work on a large request in a process of its own, which then ends.

A thread would not do: who reads JSON keeps Python's lock to its end, and 60 MB of numbers take
0.7 s and 500 MB. What is done there is not known here.
"""

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from replay_proxy.bounds.aside import Aside
from replay_proxy.wire import Request

T = TypeVar("T")

#: Work on a smaller body is done at once: it takes less than 50 ms, and a process 100.
APART_BYTES = 1 << 22
_CODE = (
    "import sys; sys.path = sys.argv[1:]; from replay_proxy.bounds.apart import answer; answer()"
)


class Apart:
    """One process at a time, and the event loop keeps its turns.

    Work in it has to be bounded, and to be found by its name: it is pickled.
    """

    def __init__(self) -> None:
        self._aside = Aside()

    async def run(self, work: Callable[[Request], T], request: Request) -> T:
        """The result of work on a request."""
        if len(request.body) < APART_BYTES:
            return work(request)
        return await self._aside.run(partial(_beside, work, request), len(request.body))

    def close(self) -> None:
        """Let go of what waits."""
        self._aside.close()


def _beside(work: Callable[[Request], T], request: Request) -> T:
    """The result of work, in another process where the body is JSON and that can be had."""
    if request.body[:64].lstrip()[:1] not in (b"{", b"["):
        return work(request)  # Hashing and searching leave others their turns.
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
    """The other side: read work and a request, and write the result."""
    work, request = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own
    result = work(replace(request, body=sys.stdin.buffer.read()))
    sys.stdout.buffer.write(pickle.dumps(result))
