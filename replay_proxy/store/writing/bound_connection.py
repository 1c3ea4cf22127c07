"""``BoundConnection``: writes to a cassette, and notices when another file has taken its name."""

import os
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from replay_proxy.store.files import journals, quarantine
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.connections import connect_as

#: Size at which the journal is checkpointed, about the same as SQLite's default.
CHECKPOINT_BYTES = 4 * 1024 * 1024
#: Measured size in the journal of a commit, and of each of its rows without bodies: pages of the
#: table and of the indexes.
_COMMIT_BYTES, _ROW_BYTES = 30_000, 7_000
#: How long a connection waits for a lock while others wait for this process.
_BUSY_MS = 50


class BoundConnection(sqlite3.Connection):
    """A connection to a bound cassette; ``watch`` notes the files that ``is_current`` compares.

    Only these connections and ``settle`` write to the file itself, and each time they mark it
    (``journals.mark``): any other change means that the file was overwritten.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._path: Path | None = None

    def watch(self, path: Path) -> None:
        """Note the present files as those of this connection. Needs the lock."""
        self._file, self._wal = str(path), str(journals.wal(path))
        file, journal = os.stat(self._file), os.stat(self._wal)
        self._inodes = file.st_dev, file.st_ino, journal.st_ino
        journals.mark(path)
        self._seen = os.stat(self._file).st_mtime_ns
        self._written = 0
        self._path = path

    def is_current(self) -> bool:
        """Whether a commit would be found under the cassette's name."""
        try:
            file, journal = os.stat(self._file), os.stat(self._wal)
        except OSError:
            return False
        if (file.st_dev, file.st_ino, journal.st_ino) != self._inodes:
            return False
        if file.st_mtime_ns == self._seen:
            return True
        assert self._path is not None
        if journals.is_overwritten(self._path):
            return False
        self._seen = file.st_mtime_ns
        return True

    def take_back(self) -> bool:
        """Write the content of a deleted journal to the file; False if others have written to it.

        Needs the lock.
        """
        assert self._path is not None
        if not self.owns_file() or journals.has_journal(self._path):
            return False
        if os.stat(self._file).st_mtime_ns != self._seen:
            return False
        busy = self.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0]
        return bool(busy == 0)

    def is_quarantined(self) -> bool:
        """Whether the file and its journal are set aside, with all that was committed."""
        assert self._path is not None
        return any(
            os.stat(file).st_ino == self._inodes[1]
            and journals.wal(file).exists()
            and os.stat(journals.wal(file)).st_ino == self._inodes[2]
            for file in quarantine.files(self._path)
        )

    def owns_journal(self) -> bool:
        """Whether the journal under the cassette's name is this connection's."""
        try:
            return os.stat(self._wal).st_ino == self._inodes[2]
        except OSError:
            return False

    def owns_file(self) -> bool:
        """Whether the file under the cassette's name is this connection's."""
        try:
            file = os.stat(self._file)
        except OSError:
            return False
        return (file.st_dev, file.st_ino) == self._inodes[:2]

    def checkpoint(self, rows: int, size: int) -> None:
        """Checkpoint if the journal has grown. Between transactions.

        ``rows`` of ``size`` bytes were committed. What they take in the journal is estimated: its
        size on disk does not tell, since SQLite overwrites what is in it.
        """
        self._written += _COMMIT_BYTES + rows * _ROW_BYTES + size
        if self._written < CHECKPOINT_BYTES:
            return
        self._written = 0
        assert self._path is not None
        with journals.lock(self._path):
            if self.is_current() and journals.is_bound(self._path):
                journals.suspend(self._path)
                self.execute("PRAGMA wal_checkpoint(PASSIVE)")
                journals.mark(self._path)
                self._seen = os.stat(self._file).st_mtime_ns

    def close(self) -> None:
        """Close the connection. SQLite checkpoints the journal if nobody else has the file open."""
        if self._path is None:
            super().close()
            return
        try:
            with journals.lock(self._path):
                self.leave()
        except FileNotFoundError:  # The directory is gone.
            super().close()

    def leave(self) -> None:
        """Close the connection, for a caller that holds the lock. Never writes to another file."""
        path, self._path = self._path, None
        if path is None or not self.owns_file():
            super().close()  # SQLite sees that the file was moved, and changes nothing.
        elif not self.owns_journal():
            _close_beside_a_reader(path, super().close)
        elif not journals.is_bound(path):
            super().close()
        elif journals.is_overwritten(path):
            _close_out_of_sight(path, super().close)
        else:
            journals.suspend(path)
            super().close()
            if journals.has_journal(path):
                journals.mark(path)
            else:
                journals.unbind(path)


def open_bound(file: Path, check: Callable[[sqlite3.Connection], None]) -> BoundConnection | None:
    """A connection to this very file, or None if it was replaced meanwhile.

    Needs the lock. A file that ``check`` refuses is left as it is.
    """
    journals.bind(file)
    # A caller that waits longer for other processes does so without the lock.
    connection = connect_as(BoundConnection, file, "rw", busy_ms=_BUSY_MS)
    try:
        # Until the first statement, nobody moves the journal that SQLite finds by its name.
        if not journals.is_bound(file):
            connection.close()
            return None
        check(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit survives the process at once; the file is synced at every checkpoint.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # ``checkpoint`` does it.
        # The first read creates the journal, by which others see that the file is in use.
        connection.execute(statements.TOUCH_TAKES)
        connection.watch(file)
    except BaseException:
        connection.close()
        if not journals.has_journal(file):
            journals.unbind(file)
        raise
    return connection


def _close_beside_a_reader(path: Path, close: Callable[[], None]) -> None:
    """Close a connection whose journal's name is now another file's, without removing that file.

    SQLite removes it only if it can lock the database, which a reader prevents.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as reader:
        with suppress(sqlite3.Error):
            reader.execute("BEGIN")
            reader.execute(statements.TOUCH_SCHEMA).fetchone()
        close()


def _close_out_of_sight(path: Path, close: Callable[[], None]) -> None:
    """Close a connection to a file that is being overwritten, so that SQLite does not write to it.

    SQLite checks first that the file has its name.
    """
    away = journals.link_of(path).with_name(f".{uuid.uuid4().hex}")
    os.rename(path, away)
    try:
        close()
    finally:
        os.rename(away, path)
