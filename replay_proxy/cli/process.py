"""A tape tool as a process: its exit codes, and how signals, closed pipes and errors end it."""

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

#: Exit code of a tool that has found what it searches for.
FOUND = 1
#: Exit code of an error.
FAILED = 2
#: Signals that end a tool, besides SIGINT, which Python and typer turn into exit code 130.
_ENDING = (signal.SIGTERM, signal.SIGHUP)
#: What a shell adds to the number of a signal to get the exit code.
_BY_SIGNAL = 128


def as_process(tool: Callable[..., None]) -> Callable[..., None]:
    """The tool as the command line runs it.

    A signal ends it after it has undone what it began, a closed pipe ends it as SIGPIPE would, and
    an ``OSError`` becomes a ``StoreError``. Garbage is collected rarely: with large tables, that
    takes longer than the work.
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
    """Inside, the first SIGTERM or SIGHUP raises ``SystemExit``; further ones are ignored."""

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(_BY_SIGNAL + number)

    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _silence_stdout() -> None:
    """Discard what Python's last flush would write (its documentation: "Note on SIGPIPE")."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _store_error(error: OSError) -> StoreError:
    if error.filename is None:
        return StoreError(
            f"This cannot be read or printed: {error.strerror or error}. Check the disk, and the "
            "file or pipe that gets the output."
        )
    return StoreError(
        f"{error.filename} cannot be used: {error.strerror or error}. Check that it exists, and "
        "that this user may read and write it and its directory."
    )
