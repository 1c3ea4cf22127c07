"""Opening SQLite files as cassettes, to read and to write: each is checked before it is trusted.

Not in here: what the tables mean.
"""

import logging
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replay_proxy.errors import CassetteDamaged, StoreError
from replay_proxy.store.files import journals, quarantine
from replay_proxy.store.files.creation import create
from replay_proxy.store.files.drafts import sweep
from replay_proxy.store.files.journals import wal
from replay_proxy.store.files.links import refuse_link
from replay_proxy.store.files.pages import check_pages
from replay_proxy.store.files.plain_files import clear, settle
from replay_proxy.store.files.salvage import keep, salvage
from replay_proxy.store.files.troubles import (
    ERRORS,
    damage,
    is_in_use,
    no_database,
    system_trouble,
    trouble,
)
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.connections import BUSY_MS, connect
from replay_proxy.store.sqlite.schema import check_schema
from replay_proxy.store.sqlite.statements import APPLICATION_ID, SCHEMA_VERSION
from replay_proxy.store.writing.bound_connection import BoundConnection, open_bound

logger = logging.getLogger("replay_proxy")

#: Attempts to open a file for reading while it keeps being replaced.
_TRIES = 10
#: SQLite's smallest page, and so its smallest file.
SMALLEST_BYTES = 512


def open_to_write(path: Path, *, busy_ms: int = BUSY_MS) -> BoundConnection:
    """A connection that writes, and waits up to ``busy_ms`` for locks. Raises ``StoreError``."""
    refuse_link(path)
    file = path.resolve()  # SQLite follows a link, and puts the journal beside its target.
    deadline = time.monotonic() + busy_ms / 1000
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with journals.lock(file):
                connection = _open_bound(path, file)
            if connection is not None:
                connection.execute(f"PRAGMA busy_timeout = {busy_ms}")
                return connection
        except ERRORS as error:
            if not is_in_use(error) or time.monotonic() > deadline:
                raise trouble(path, error) from error
            time.sleep(0.02)
        except OSError as error:
            raise system_trouble(path, error) from error


def _open_bound(path: Path, file: Path) -> BoundConnection | None:
    """A connection to this very file, or None if it was replaced meanwhile."""
    clear(file)
    sweep(file.parent)
    create(path)
    _refuse_empty(path)
    return open_bound(file, lambda connection: _check(connection, path))


def reopen_to_write(
    connection: BoundConnection, path: Path, *, busy_ms: int = BUSY_MS
) -> BoundConnection:
    """A connection to the file that now has the cassette's name, in place of an older one.

    Raises ``StoreError``.
    """
    close_to_write(connection, path)
    return open_to_write(path, busy_ms=busy_ms)


def close_to_write(connection: BoundConnection, path: Path) -> None:
    """Close a connection. If its file is no longer the cassette, its content is kept elsewhere."""
    file = path.resolve()
    try:
        if connection.is_current():
            connection.close()
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with journals.lock(file):
            try:
                quarantine.clear(file)
                if not (connection.is_quarantined() or connection.take_back()):
                    keep(connection, file, quarantine.unused_stem(file))
                    journals.tidy(file)
            finally:
                connection.leave()
            salvage(file)
    except (*ERRORS, OSError, StoreError) as error:
        logger.warning("What was recorded into %s before cannot be kept: %s.", path, error)


def open_to_read(path: Path, *, busy_ms: int = BUSY_MS) -> sqlite3.Connection:
    """A connection that can only read, and waits up to ``busy_ms`` for locks.

    Raises ``CassetteDamaged``, ``CassetteInUse``, ``StoreError``.
    """
    file = path.resolve()
    for attempt in range(_TRIES):
        _refuse_empty(path)
        _recover(path)
        try:
            before = os.stat(file).st_ino
            had_journal = bool(_unfinished(path))
            connection = _open_to_read(path, busy_ms)
            if attempt == 0 and not had_journal and _has_lost_journal(connection, file):
                logger.warning(
                    "Cassette %s was copied or committed while it was recorded: what was in its "
                    "journal is missing. Stop the proxy first, and copy or commit it again.",
                    path,
                )
                connection.close()
                settle(path, wait_s=0)
                continue
            # SQLite may have used the journal of a file that was replaced meanwhile.
            if os.stat(file).st_ino == before and not journals.is_foreign(file):
                return connection
            connection.close()
        except OSError as error:
            raise system_trouble(path, error) from error
    raise StoreError(f"Cassette {path} keeps being replaced. Wait until that ends, and try again.")


def _has_lost_journal(connection: sqlite3.Connection, file: Path) -> bool:
    """Whether a file without a journal says that it has one; SQLite has made an empty one since."""
    if os.path.lexists(journals.link_of(file)) or not os.access(file.parent, os.W_OK):
        return False
    return bool(connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal")


def _open_to_read(path: Path, busy_ms: int) -> sqlite3.Connection:
    try:
        try:
            with _closed_on_failure(connect(path, "ro", busy_ms=busy_ms)) as connection:
                _check(connection, path)
                return connection
        except sqlite3.OperationalError as error:
            if is_in_use(error):
                raise
            # The file of a recorder, on a read-only disk: nobody can be writing to it.
            for journal in _unfinished(path):
                raise StoreError(
                    f"was left by a killed process, together with {journal}",
                    thing=f"Cassette {path}",
                    remedy="Let a process that may write to the directory open it once.",
                ) from None
            with _closed_on_failure(connect(path, "ro&immutable=1")) as connection:
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


def _refuse_empty(path: Path) -> None:
    """Refuse a file smaller than a page, which SQLite treats as a new database.

    By its size only: opening and closing a database without SQLite drops the locks that this
    process holds on it, and another process would then remove the journal of a live writer
    (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    thing = f"Cassette {path}"
    try:
        status = path.stat()
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror or error}.", thing=thing) from error
    if not stat.S_ISREG(status.st_mode):
        raise CassetteDamaged("is not a file", thing=thing, remedy="Name another, or move it.")
    size = status.st_size
    if size < SMALLEST_BYTES:
        # Too small for a database, so nobody holds a lock on it.
        cause = f"{size} bytes are left of it"
        raise no_database(path, cause) if size else damage(path, "it is empty")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that is not a cassette of this version or older, or is damaged."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise CassetteDamaged(
            "cannot be opened: it is a SQLite file, but not a cassette of replay-proxy",
            thing=f"Cassette {path}",
            remedy="Name another CASSETTE or STORE, or move the file away.",
        )
    if version < 1:
        raise damage(path, f"its schema version is {version}")
    if version > SCHEMA_VERSION:
        raise CassetteDamaged(
            f"has schema version {version}, this replay-proxy knows up to {SCHEMA_VERSION}",
            thing=f"Cassette {path}",
            remedy="Upgrade replay-proxy.",
        )
    check_schema(connection, path)  # Before anything reads a table, even the check of pages.
    check_pages(connection, path)
    connection.execute(statements.TOUCH_INTERACTIONS).fetchone()


def _recover(path: Path) -> None:
    """Settle a file that a killed process left with a journal; leave a live process's alone.

    Raises ``StoreError`` if the journal is another file's and cannot be moved.
    """
    file = path.resolve()
    if os.access(file.parent, os.W_OK):
        if _unfinished(path) or os.path.lexists(journals.link_of(file)):
            settle(path, wait_s=0)
    elif journals.is_foreign(file):
        raise StoreError(
            "has replaced another file, whose journal is still beside it",
            thing=f"Cassette {path}",
            remedy="Let a process that may write to the directory open it once.",
        )


def _unfinished(path: Path) -> list[Path]:
    """The journals that a killed process leaves beside a cassette: write-ahead or rollback."""
    path = path.resolve()
    rollback = path.with_name(path.name + "-journal")
    return [journal for journal in (wal(path), rollback) if journal.exists()]
