"""Drafts: files that are made under a hidden name, and get their own name when they are whole.

The maker of ``.HEX.part`` holds a lock on ``.HEX.part-lock`` for as long as it lives. The kernel
releases the lock when a process is killed; whoever writes to the directory next then removes all
files of the draft. The lock is on a file of its own, since closing a database without SQLite drops
the locks that a process holds on it (https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Matches every draft and its lock, for ``.gitignore``.
PATTERN = ".*.part*"
_LOCK = re.compile(r"(\.[0-9a-f]{32}\.part)-lock")


@contextmanager
def draft(directory: Path) -> Iterator[Path]:
    """The path of a new file in this directory. On exit it and the files beside it are removed.

    Raises ``OSError`` if the directory cannot be written to.
    """
    sweep(directory)
    part = directory / f".{uuid.uuid4().hex}.part"
    lock = None
    try:  # Before the lock: a signal may come between its creation and the assignment.
        lock = _hold(_lock_of(part))
        yield part
    finally:
        with suppress(OSError):  # Another process removes what is left.
            _remove(part)
        if lock is not None:
            os.close(lock)


def sweep(directory: Path) -> None:
    """Remove the drafts of killed processes; those of live ones stay."""
    for name in os.listdir(directory):
        if match := _LOCK.fullmatch(name):
            with suppress(OSError):  # Its maker is alive, or another process removes it.
                lock = _open_locked(directory / name, os.O_NOFOLLOW | os.O_NONBLOCK, fcntl.LOCK_NB)
                try:
                    _remove(directory / match[1])
                finally:
                    os.close(lock)


def _hold(file: Path) -> int:
    """Create the lock file of a draft, and lock it."""
    while True:
        try:
            lock = _open_locked(file, os.O_CREAT)
        except OSError:
            if not file.exists():
                raise
            return os.open(file, os.O_RDWR)  # A file system without locks: nobody sweeps the draft.
        if file.exists():
            return lock
        os.close(lock)  # Swept between being created and being locked.


def _open_locked(file: Path, flags: int, waiting: int = 0) -> int:
    lock = os.open(file, os.O_RDWR | flags, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | waiting)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _lock_of(part: Path) -> Path:
    return part.with_name(part.name + "-lock")


def _remove(part: Path) -> None:
    """Remove a draft and what SQLite and ``journals`` put beside it, the lock file last."""
    beside = {name for name in os.listdir(part.parent) if name.startswith(f"{part.name}-")}
    for name in (part.name, *sorted(beside - {_lock_of(part).name}), _lock_of(part).name):
        with suppress(FileNotFoundError):
            (part.parent / name).unlink()
