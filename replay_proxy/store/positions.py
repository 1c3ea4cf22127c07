"""How often each request has been answered in this replay, shared by the workers of one server.

Also what else they share: the name of their run, and the offset of its clock.

Only fingerprints with several answers are counted. A server of one process counts in memory; the
workers that one uvicorn supervisor starts count together in a small database of their own in the
temporary directory, or each of them would begin with the first answer again.
"""

import multiprocessing
import os
import sqlite3
import tempfile
import uuid
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from replay_proxy.errors import StoreError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS worker (pid INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS offset (one INTEGER PRIMARY KEY, us INTEGER);
CREATE TABLE IF NOT EXISTS position (
    cassette TEXT, fingerprint TEXT, answered INTEGER, PRIMARY KEY (cassette, fingerprint)
) WITHOUT ROWID;
"""
_ADVANCE = """
INSERT INTO position VALUES (?, ?, 1)
ON CONFLICT DO UPDATE SET answered = answered + 1
RETURNING answered
"""
_PUT_OFFSET = "INSERT OR IGNORE INTO offset VALUES (1, :own)"


class Positions(Protocol):
    """Counts answers to a fingerprint in a cassette."""

    def advance(self, cassette: str, fingerprint: str) -> int:
        """How often it was answered before, counting from now on one more."""
        ...

    def rewind(self, cassette: str) -> None:
        """Begin again with the first answers of a cassette."""
        ...

    def offset_us(self, own: int) -> int:
        """The offset of the wall clock that the first worker has read; ``own`` if this one is."""
        ...

    def close(self) -> None:
        """Forget what only this process needs."""
        ...


class OwnPositions:
    """The positions of a server that is one process."""

    def __init__(self) -> None:
        self._answered: dict[str, dict[str, int]] = {}

    def advance(self, cassette: str, fingerprint: str) -> int:
        """How often it was answered before, counting from now on one more."""
        answered = self._answered.setdefault(cassette, {})
        before = answered.get(fingerprint, 0)
        answered[fingerprint] = before + 1
        return before

    def rewind(self, cassette: str) -> None:
        """Begin again with the first answers of a cassette."""
        self._answered.pop(cassette, None)

    def offset_us(self, own: int) -> int:
        """The offset of the only worker."""
        return own

    def close(self) -> None:
        """Nothing outlives the process."""


class SharedPositions:
    """The positions of several workers, in a file that the last of them removes.

    It is made at the first request that needs it, or at the start where something is recorded: it
    has the offset by which workers give the same time, also when the wall clock is set meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def advance(self, cassette: str, fingerprint: str) -> int:
        """How often it was answered before, counting from now on one more."""
        row = self._open().execute(_ADVANCE, (cassette, fingerprint)).fetchone()
        return int(row[0]) - 1

    def rewind(self, cassette: str) -> None:
        """Begin again with the first answers of a cassette."""
        self._open().execute("DELETE FROM position WHERE cassette = ?", (cassette,))

    def offset_us(self, own: int) -> int:
        """The offset of the wall clock that the first worker has read; ``own`` if this one is."""
        try:
            self._open().execute(_PUT_OFFSET, {"own": own})
            return int(self._open().execute("SELECT us FROM offset").fetchone()[0])
        except sqlite3.Error as error:
            raise StoreError(
                f"{self._path}, which the workers share, cannot be used: {error}. Check the "
                "directory for temporary files and its space, or name another one in TMPDIR."
            ) from error

    def close(self) -> None:
        """Leave; the last worker removes the file."""
        if self._connection is None:
            return
        self._connection.execute("DELETE FROM worker WHERE pid = ?", (os.getpid(),))
        others = self._connection.execute("SELECT pid FROM worker").fetchall()
        self._connection.close()
        if not any(_is_alive(pid) for (pid,) in others):
            self._path.unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=10)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.executescript(_SCHEMA)
            self._connection.execute("INSERT OR IGNORE INTO worker VALUES (?)", (os.getpid(),))
        return self._connection


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that was killed has not taken itself off the list."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def run_name() -> str:
    """The name of this run, the same in all workers that one supervisor has started.

    ``multiprocessing`` gives the children of one parent a random key in common.
    """
    if multiprocessing.parent_process() is None:
        return uuid.uuid4().hex
    return sha256(multiprocessing.current_process().authkey).hexdigest()[:32]


def open_positions() -> Positions:
    """The positions of this process's server."""
    if multiprocessing.parent_process() is None:
        return OwnPositions()
    return SharedPositions(Path(tempfile.gettempdir()) / f"replay-proxy-{run_name()}.sqlite")
