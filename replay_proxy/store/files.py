"""SQLite files as cassettes: made whole or not at all, checked before they are trusted.

Everything that knows of SQLite's journal, locking and header is here; what the tables mean is not.
"""

import os
import sqlite3
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from replay_proxy.errors import CassetteDamaged, CassetteInUse, StoreError
from replay_proxy.store.schema import check_schema, defend
from replay_proxy.store.statements import APPLICATION_ID, SCHEMA_VERSION

#: A file up to this size is checked to its last page when it is opened; a larger one is checked
#: at every read, or starting would take longer the more it holds.
CHECKED_WHOLE_BYTES = 8 * 1024 * 1024
_BUSY_MS = 10_000
#: What the sqlite3 module raises; the second where SQLite quotes a damaged schema in its message.
ERRORS = (sqlite3.Error, UnicodeDecodeError)
#: SQLite's smallest page, and so its smallest file.
SMALLEST_BYTES = 512


def create(path: Path) -> None:
    """Make an empty cassette, unless there is one; other processes may be doing the same.

    Raises ``StoreError``.
    """
    try:
        if path.exists():
            return
        from replay_proxy.store.tables import SCHEMA  # Loads slowly, and who replays never does.

        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{uuid.uuid4().hex}.part")  # A name may be as long as can be.
        try:
            part.touch()  # SQLite would let nobody else of the group write.
            with closing(sqlite3.connect(part)) as connection:
                for statement in SCHEMA:
                    connection.execute(statement)
            with suppress(FileExistsError):  # Another worker was faster, with the same.
                os.link(part, path)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        cause = getattr(error, "strerror", None) or error
        raise StoreError(
            f"Cassette {path} cannot be created: {cause}. Check the disk, its free space, and "
            "that this user can write to the directory."
        ) from error


def open_to_write(path: Path, *, busy_ms: int = _BUSY_MS) -> sqlite3.Connection:
    """A connection that writes, and waits so long for others.

    Raises ``CassetteDamaged``, ``StoreError``.
    """
    create(path)
    _refuse_empty(path)
    try:
        with _closed_on_failure(_connect(path, "rw", busy_ms=busy_ms)) as connection:
            _check(connection, path)  # First: what is refused is left as it is.
            connection.execute("PRAGMA journal_mode = WAL")
            # A commit survives the process at once; the file is synced at every checkpoint.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            # From the first read on the journal is there, and others see that the file is in use.
            connection.execute("SELECT 1 FROM take LIMIT 1")
            return connection
    except ERRORS as error:
        raise trouble(path, error) from error


def open_to_read(path: Path, *, busy_ms: int = _BUSY_MS) -> sqlite3.Connection:
    """A connection that can only read, and waits so long for others.

    Raises ``CassetteDamaged``, ``CassetteInUse``, ``StoreError``.
    """
    _refuse_empty(path)
    _recover(path)
    try:
        try:
            with _closed_on_failure(_connect(path, "ro", busy_ms=busy_ms)) as connection:
                _check(connection, path)
                return connection
        except sqlite3.OperationalError as error:
            if _is_in_use(error):
                raise
            # A recorder's file on a read-only disk: nobody can be writing to it.
            for left in _unfinished(path):
                raise StoreError(
                    f"Cassette {path} was left by a process that was killed, with {left}. "
                    "Let a process that may write to the directory open it once."
                ) from None
            with _closed_on_failure(_connect(path, "ro&immutable=1")) as connection:
                _check(connection, path)
                return connection
    except ERRORS as error:
        raise trouble(path, error) from error


@contextmanager
def _closed_on_failure(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def settle(path: Path, *, wait_s: float = 2.0) -> Exception | None:
    """Make one plain file of the cassette, if no other process has it open within ``wait_s``.

    Gives what else keeps it from being one, a full disk for one: its journal holds the rest then.
    """
    deadline = time.monotonic() + wait_s
    while True:
        hindrance: Exception | None = None
        try:
            connection = _connect(path, "rw", busy_ms=0)
            try:
                mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
            finally:
                connection.close()
        except ERRORS as error:
            mode = "wal"
            hindrance = None if _is_in_use(error) else error
        # Of several workers that stop together only the last can succeed.
        if mode == "delete" or hindrance is not None or time.monotonic() > deadline:
            return hindrance
        time.sleep(0.02)


def trouble(path: Path, error: Exception) -> StoreError:
    """An error met while using a cassette, in our words."""
    cause = str(error)
    # The sqlite3 module has errors of its own, without SQLite's code.
    code = getattr(error, "sqlite_errorcode", None)
    if _is_in_use(error):
        return CassetteInUse(
            f"Cassette {path} is in use by another process: {cause}. Wait until it has done, or "
            "end it, and do the same again."
        )
    broken = cause.startswith("no such") or (
        # The lower byte is the kind: a virtual table or an index has a code of its own.
        code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    )
    if broken or isinstance(error, UnicodeError) or cause.startswith("Could not decode"):
        return damaged(path, cause)
    return StoreError(
        f"Cassette {path} cannot be used: {cause}. Check the disk, its free space, and that the "
        "file can be written by this user."
    )


def _is_in_use(error: Exception) -> bool:
    """Whether another process holds a lock; the lower byte of SQLite's codes is the kind."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def damaged(path: Path, cause: str) -> CassetteDamaged:
    """The error for a file that cannot be trusted."""
    return CassetteDamaged(
        f"Cassette {path} is damaged: {cause}. Restore it (git checkout) or delete it and record "
        "it again."
    )


def _refuse_empty(path: Path) -> None:
    """Refuse a file with less than a page, which SQLite takes for a new database.

    By its size only: to open and close a database besides SQLite drops the locks that this process
    holds on it, and another one would then remove the journal under a living writer
    (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    try:
        found = path.stat()
    except OSError as error:
        raise StoreError(f"Cassette {path} cannot be read: {error.strerror or error}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise CassetteDamaged(f"{path} is no file, and so no cassette. Name another, or move it.")
    size = found.st_size
    if size < SMALLEST_BYTES:
        raise damaged(path, f"{size} bytes are left of it" if size else "it is empty")


def _connect(path: Path, mode: str, *, busy_ms: int = _BUSY_MS) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=busy_ms / 1000,
    )
    defend(connection, reads_only=mode != "rw")
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that is not a tape of this version or older, or is damaged."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise CassetteDamaged(
            f"{path} is a SQLite file, but no cassette of replay-proxy. Name another CASSETTE or "
            "STORE, or move the file away."
        )
    if version < 1:
        raise damaged(path, f"its schema version is {version}")
    if version > SCHEMA_VERSION:
        raise CassetteDamaged(
            f"Cassette {path} has schema version {version}, this replay-proxy knows up to "
            f"{SCHEMA_VERSION}. Upgrade replay-proxy."
        )
    check_schema(connection, path)  # Before anything reads a table, the check of pages too.
    if path.stat().st_size <= CHECKED_WHOLE_BYTES:
        verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise damaged(path, verdict)
    connection.execute("SELECT count(*) FROM (SELECT 1 FROM interaction LIMIT 1)").fetchone()


def _recover(path: Path) -> None:
    """Settle a file that a killed process left with a journal; leave a running one's alone."""
    if _unfinished(path) and os.access(path.parent, os.W_OK):
        settle(path, wait_s=0)


def _unfinished(path: Path) -> list[Path]:
    """What a process leaves beside a cassette that is killed: that of WAL, that of a rollback."""
    path = path.resolve()  # SQLite follows a link, and puts them beside the file.
    rollback = path.with_name(path.name + "-journal")
    return [journal for journal in (wal(path), rollback) if journal.exists()]


def wal(path: Path) -> Path:
    """The journal that a cassette has while it is recorded."""
    return path.with_name(path.name + "-wal")


def shm(path: Path) -> Path:
    """The index of the journal."""
    return path.with_name(path.name + "-shm")
