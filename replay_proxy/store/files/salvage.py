"""Salvage: what a replaced file holds and the cassette does not, as a cassette of another name.

Recordings are copied one by one, and only those with a correct checksum, since the file may have
been overwritten. None is deleted anywhere: which of them to keep is the user's decision.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from replay_proxy.store.files import journals, quarantine
from replay_proxy.store.files.drafts import draft
from replay_proxy.store.files.troubles import ERRORS
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.connections import connect
from replay_proxy.store.sqlite.rows import from_row, to_row

logger = logging.getLogger("replay_proxy")

#: The ``application_id`` of a file whose recordings have been salvaged already.
_DONE = 0x72706C7A


def salvage(path: Path) -> None:
    """Salvage what was set aside from a cassette's name. Needs the lock of ``journals``.

    What cannot be salvaged now, on a full disk for example, stays for the next time.
    """
    for old in quarantine.files(path):
        try:
            connection = connect(old, "rw")
            try:
                connection.execute("PRAGMA wal_autocheckpoint = 0")
                keep(connection, path, old.parent.name)
                # First, since closing the connection writes to the file as long as it has its name,
                # and it may be somebody's file under another name.
                quarantine.forget(old, path)
            finally:
                connection.close()
        except (*ERRORS, OSError) as error:
            logger.warning(
                "What was recorded into %s before it was replaced cannot be read: %s. It stays in "
                "%s, and is read again whenever the cassette is opened. To give it up, delete "
                "that directory.",
                path,
                error,
                old.parent,
            )


def keep(old: sqlite3.Connection, path: Path, stem: str) -> None:
    """Put what ``old`` holds and the cassette does not into a cassette of another name, once.

    Needs the lock of ``journals``. Nobody else commits to ``old`` or salvages it meanwhile.
    """
    old.execute("BEGIN IMMEDIATE")
    try:
        if old.execute("PRAGMA application_id").fetchone()[0] == statements.APPLICATION_ID:
            _publish(old, path, path.with_name(f"{stem}.sqlite"))
            old.execute(f"PRAGMA application_id = {_DONE}")
        old.execute("COMMIT")
    finally:
        if old.in_transaction:
            old.execute("ROLLBACK")


def _publish(old: sqlite3.Connection, path: Path, kept: Path) -> None:
    with draft(journals.make_quarantine(path)) as part:
        count, lost = _copy(old, path, part)
        if count:
            with suppress(FileExistsError):  # A process was killed after this.
                os.link(part, kept)
            logger.warning(
                "Cassette %s was replaced, moved or deleted during recording. %d recordings "
                "that it does not hold are kept in %s. Put them back with `replay-proxy merge %s "
                "%s`, or delete them with `replay-proxy rm %s`.",
                path, count, kept, path.stem, kept.stem, kept.stem,
            )  # fmt: skip
        if lost:
            logger.warning(
                "Cassette %s was overwritten during recording. At least %d recordings cannot be "
                "read any more. Record them again.",
                path,
                lost,
            )


def _copy(old: sqlite3.Connection, path: Path, part: Path) -> tuple[int, int]:
    """Copy what is missing to a new cassette. Returns how many were copied, and how many lost."""
    from replay_proxy.store.sqlite.tables import SCHEMA  # Loads slowly, and is rarely needed.

    part.touch()
    count = 0
    with (
        closing(_Holdings(path)) as holdings,
        closing(sqlite3.connect(part, isolation_level=None)) as new,
    ):
        for statement in SCHEMA:
            new.execute(statement)
        new.execute("BEGIN")
        takes = _takes(old)
        missing = _MissingRows(old, holdings)
        for number, take_id in missing:
            row = _row(old, number)
            if row is None:
                missing.lost += 1
                continue
            new.execute(statements.INSERT_TAKE, takes.get(take_id, _unnamed(take_id)))
            new.execute(statements.PUT_NEARNESS, row)
            new.execute(statements.PUT_INTERACTION, row)
            count += 1
        new.execute("COMMIT")
    return count, missing.lost


class _Holdings:
    """What the cassette holds: nothing if it is gone or cannot be read."""

    def __init__(self, path: Path) -> None:
        self._connection: sqlite3.Connection | None = None
        with suppress(*ERRORS):
            self._connection = connect(path, "ro")

    def has(self, number: int, checksum: int) -> bool:
        try:
            assert self._connection is not None
            parameters = {"id": number, "checksum": checksum}
            row = self._connection.execute(statements.HAS_CHECKSUM, parameters).fetchone()
            return row is not None
        except (*ERRORS, AssertionError):
            return False

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class _MissingRows:
    """The id and take of each interaction that ``old`` holds and the cassette does not.

    ``lost`` counts what cannot be read. If the chain of pages is broken in the middle, the rest is
    read from the other end.
    """

    def __init__(self, old: sqlite3.Connection, holdings: _Holdings) -> None:
        self._old = old
        self._holdings = holdings
        self.lost = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        seen = set[int]()
        try:
            yield from self._until(seen, statements.ALL_CHECKSUMS)
        except (*ERRORS, _PageLoop):
            self.lost += 1
            with suppress(*ERRORS, _PageLoop):
                yield from self._until(seen, statements.ALL_CHECKSUMS_NEWEST_FIRST)

    def _until(self, seen: set[int], sql: str) -> Iterator[tuple[int, int]]:
        """Up to a page that has been read before: pages may form a loop."""
        for number, take_id, checksum in self._old.execute(sql):
            if number in seen:
                raise _PageLoop
            seen.add(number)
            if not self._holdings.has(number, checksum):
                yield number, take_id


class _PageLoop(Exception):
    """A page that has been read before."""


def _takes(old: sqlite3.Connection) -> dict[int, dict[str, Any]]:
    takes = {}
    with suppress(*ERRORS):
        for number, run, started_us in old.execute(statements.ALL_TAKES):
            if number in takes:
                break
            takes[number] = {"id": number, "run": run, "started_us": started_us}
    return takes


def _unnamed(take_id: int) -> dict[str, Any]:
    """A take whose row is lost. The upper bits of an id are microseconds since 1970."""
    return {"id": take_id, "run": f"kept {take_id}", "started_us": take_id >> 11}


def _row(old: sqlite3.Connection, number: int) -> dict[str, Any] | None:
    """The row of an interaction, if it is as it was recorded; otherwise None."""
    try:
        values = old.execute(statements.READ_INTERACTION, {"id": number}).fetchone()
        row = dict(zip(statements.COLUMNS, values, strict=True))
        return to_row(from_row(row), row["take_id"])
    except (*ERRORS, ValueError, TypeError, LookupError, AttributeError):
        return None
