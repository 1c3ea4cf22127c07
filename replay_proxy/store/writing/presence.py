"""``Presence``: shows every process that shares the directory that a run is recording a cassette.

The file ``NAME.sqlite-recording`` names the run whose take is being recorded. Each process that
records holds a shared lock on it (flock(2)). The kernel releases the lock however the process
ends, so a file that a killed process has left means nothing. Unlike a process id, a lock is also
visible to other containers.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

#: Bytes to read of a run's name; every name is shorter.
_RUN_BYTES = 200


class Presence:
    """A run is present until ``leave``. Made inside a transaction that writes to the cassette.

    ``run`` names the take: the one that others are recording already, or else ``own``. If the file
    cannot be made or locked, it is ``own``.
    """

    def __init__(self, path: Path, own: str) -> None:
        path = path.resolve()
        self._file = path.with_name(f"{path.name}-recording")
        self._lock: int | None = None
        self.run = own
        try:
            while self._lock is None:
                self._enter(own)
        except OSError:  # A file system without locks, or one that is full.
            self.leave()

    def leave(self) -> None:
        """Release the lock; the last process removes the file."""
        if self._lock is None:
            return
        with suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def _enter(self, own: str) -> None:
        """Try to lock the file; another process may be removing it."""
        lock = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            alone = _try_lock(lock, fcntl.LOCK_EX)
            if not alone and not _try_lock(lock, fcntl.LOCK_SH):
                return  # Another process is removing the file.
            if not self._is(lock):
                return
            if alone:
                os.ftruncate(lock, 0)
                os.pwrite(lock, own.encode(), 0)
                # Nobody gets in between: the transaction excludes other recorders.
                fcntl.flock(lock, fcntl.LOCK_SH)
            else:
                self.run = os.pread(lock, _RUN_BYTES, 0).decode() or own
            self._lock, lock = lock, -1
        finally:
            if lock >= 0:
                os.close(lock)

    def _is(self, lock: int) -> bool:
        """Whether the locked file still has its name."""
        try:
            return os.path.samestat(os.fstat(lock), os.stat(self._file))
        except FileNotFoundError:
            return False


def _try_lock(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
