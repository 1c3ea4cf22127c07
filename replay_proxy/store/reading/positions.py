"""How often each request has been answered in this replay, shared by the workers of one server.

Also what else they share: the name of their run, and the offset of its clock.

Only match keys with several answers are counted. A server of one process counts for itself. The
workers of one uvicorn supervisor count together in a small database in the temporary directory;
otherwise each would begin with the first answer again.
"""

import multiprocessing
import os
import sqlite3
import tempfile
import uuid
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Protocol

from replay_proxy.errors import StoreError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS worker (pid INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS offset (one INTEGER PRIMARY KEY, us INTEGER);
CREATE TABLE IF NOT EXISTS position (
    cassette TEXT, key TEXT, answered INTEGER, PRIMARY KEY (cassette, key)
) WITHOUT ROWID;
"""
_ADVANCE = """
INSERT INTO position VALUES (?, ?, 1)
ON CONFLICT DO UPDATE SET answered = answered + 1
RETURNING answered
"""
_PUT_OFFSET = "INSERT OR IGNORE INTO offset VALUES (1, :own)"
_REWIND = "DELETE FROM position WHERE cassette = ?"
_FIND = "SELECT answered FROM position WHERE cassette = ? AND key = ?"
_PUT = "INSERT OR REPLACE INTO position VALUES (?, ?, ?)"
#: Maximum number of positions in memory, and the number that are moved out of it at once.
IN_MEMORY, _MOVED = 20_000, 200


class Positions(Protocol):
    """Counts the answers that each match key of a cassette has got."""

    def advance(self, cassette: str, key: str) -> int:
        """Count an answer. Returns the number of earlier ones."""
        ...

    def rewind(self, cassette: str) -> None:
        """Begin again with the first answers of a cassette."""
        ...

    def offset_us(self, own: int) -> int:
        """The clock's offset that the first worker read: ``own``, if this is the first."""
        ...

    def close(self) -> None:
        """Remove what only this process needs."""
        ...


class OwnPositions:
    """The positions of a server that is one process.

    The least recently used ones move to a private temporary database, which SQLite spills to an
    unnamed file, so memory does not grow with the number of requests.
    """

    def __init__(self, most: int = IN_MEMORY) -> None:
        self._most = most
        self._answered: dict[tuple[str, str], int] = {}
        self._older: sqlite3.Connection | None = None

    def advance(self, cassette: str, key: str) -> int:
        """Count an answer. Returns the number of earlier ones."""
        position = cassette, key
        before = self._answered.pop(position, None)
        if before is None:
            before = self._older_count(position)
        self._answered[position] = before + 1
        if len(self._answered) > self._most:
            self._move()
        return before

    def rewind(self, cassette: str) -> None:
        """Begin again with the first answers of a cassette."""
        for position in [position for position in self._answered if position[0] == cassette]:
            del self._answered[position]
        if self._older is not None:
            self._older.execute(_REWIND, (cassette,))

    def offset_us(self, own: int) -> int:
        """The offset of the only worker."""
        return own

    def close(self) -> None:
        """Nothing outlives the process."""
        if self._older is not None:
            self._older.close()

    def _older_count(self, position: tuple[str, str]) -> int:
        if self._older is None:
            return 0
        row = self._older.execute(_FIND, position).fetchone()
        return int(row[0]) if row else 0

    def _move(self) -> None:
        """Move the oldest to the database: a batch, small enough not to delay other requests."""
        if self._older is None:
            self._older = sqlite3.connect("", isolation_level=None)
            self._older.executescript(_SCHEMA)
        oldest = list(islice(self._answered.items(), _MOVED))
        self._older.execute("BEGIN")
        self._older.executemany(_PUT, [(*position, answered) for position, answered in oldest])
        self._older.execute("COMMIT")
        for position, _ in oldest:
            del self._answered[position]


class SharedPositions:
    """The positions of several workers, in a file that the last of them removes.

    The file is made at the first request that needs it, or at the start if the store is writable:
    it holds the offset with which all workers give the same time, even if the wall clock is set
    meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def advance(self, cassette: str, key: str) -> int:
        """Count an answer. Returns the number of earlier ones."""
        row = self._open().execute(_ADVANCE, (cassette, key)).fetchone()
        return int(row[0]) - 1

    def rewind(self, cassette: str) -> None:
        """Begin again with the first answers of a cassette."""
        self._open().execute(_REWIND, (cassette,))

    def offset_us(self, own: int) -> int:
        """The clock's offset that the first worker read: ``own``, if this is the first."""
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
    """Whether a process runs. A killed one is still in the list."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def run_name() -> str:
    """The name of this run, the same in all workers of one supervisor.

    ``multiprocessing`` gives all children of one parent the same random key.
    """
    if multiprocessing.parent_process() is None:
        return uuid.uuid4().hex
    return sha256(multiprocessing.current_process().authkey).hexdigest()[:32]


def open_positions() -> Positions:
    """The positions of this process's server."""
    if multiprocessing.parent_process() is None:
        return OwnPositions()
    return SharedPositions(Path(tempfile.gettempdir()) / f"replay-proxy-{run_name()}.sqlite")
