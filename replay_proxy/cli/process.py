"""A tape tool as a process: how signals, closed pipes and what the system refuses end it.

What a tool does is in its own file; here is only how it ends before it has done that.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

import typer

from replay_proxy.errors import StoreError

#: The exit code of a tool that has found what it looks for; 2 is that of an error.
FOUND = 1
#: Beside SIGINT, which Python makes an exception of, and typer exit code 130.
_ENDING = (signal.SIGTERM, signal.SIGHUP)
#: How a shell tells of a process that a signal has ended.
_BY_SIGNAL = 128


def as_process(tool: Callable[..., None]) -> Callable[..., None]:
    """The tool as the command line runs it.

    A signal lets it undo what it has begun, a reader that has gone ends it as SIGPIPE would, and
    what the system refuses is a ``StoreError``. Garbage is collected rarely: looking through large
    tables takes longer than all else.
    """

    @wraps(tool)
    def run(*arguments: Any, **options: Any) -> None:
        gc.set_threshold(200_000)
        try:
            with _orderly_end():
                try:
                    tool(*arguments, **options)
                finally:
                    sys.stdout.flush()
        except BrokenPipeError:
            _silence_stdout()
            raise typer.Exit(_BY_SIGNAL + signal.SIGPIPE) from None
        except OSError as error:
            if error.filename is None:
                _silence_stdout()
            raise _store_error(error) from error

    return run


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP raise ``SystemExit``, once: what comes then is only tidying."""

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(_BY_SIGNAL + number)

    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _silence_stdout() -> None:
    """Let Python's last flush of standard output go nowhere (its docs: "Note on SIGPIPE")."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _store_error(error: OSError) -> StoreError:
    if error.filename is None:
        return StoreError(
            f"This cannot be read or printed: {error.strerror or error}. Check the disk, and where "
            "the output goes."
        )
    return StoreError(
        f"{error.filename} cannot be used: {error.strerror or error}. Check that it is there, and "
        "that this user may read and write it and its directory."
    )
