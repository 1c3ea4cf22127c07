"""``Tape``: a cassette in a SQLite file.

Reads are indexed look-ups on the event loop (tens of microseconds); writes go through the writer's
thread. Nothing is loaded ahead, so that size does not matter.
"""

import sqlite3
import time
from pathlib import Path
from typing import Any

from replay_proxy.cassette import Counts, Interaction
from replay_proxy.errors import StoreError
from replay_proxy.store import tables
from replay_proxy.store.files import damaged, open_to_read, settle, trouble
from replay_proxy.store.positions import Positions
from replay_proxy.store.rows import from_row, to_row
from replay_proxy.store.writer import Writer


class Tape:
    """Implements ``Cassette`` over one file, which recording creates when it is missing."""

    def __init__(
        self, name: str, path: Path, *, run: str, positions: Positions, writable: bool
    ) -> None:
        self.name = name
        self._path = path
        self._run = run
        self._positions = positions
        self._writable = writable
        self._connection: sqlite3.Connection | None = None
        self._writer: Writer | None = None
        if path.exists():
            self._read("SELECT 1")

    async def take(self, fingerprint: str) -> Interaction | None:
        """The next answer to this fingerprint; see ``Cassette.take``."""
        key: dict[str, Any] = {"fingerprint": fingerprint}
        first = self._read(tables.ANSWERS, key | {"limit": 2, "n": 0})
        if not first:
            return None
        answer = first[0]
        if len(first) > 1:
            n = self._positions.advance(self.name, fingerprint)
            nth = self._read(tables.ANSWERS, key | {"limit": 1, "n": n})
            answer = nth[0] if nth else self._read(tables.LAST_ANSWER, key)[0]
        row = self._read(tables.READ_INTERACTION, {"id": answer[0]})[0]
        try:
            return from_row(dict(row))
        except ValueError as error:
            raise damaged(self._path, f"interaction {answer[0]}: {error}") from error

    async def add(self, interaction: Interaction) -> None:
        """Commit an interaction; see ``Cassette.add``."""
        if not self._writable:
            raise StoreError(f"Cassette {self._path} is open for reading only.")
        if self._writer is None:
            self._writer = Writer(self._path, self._begin_take)
        await self._writer.write(lambda take_id: to_row(interaction, take_id))

    async def counts(self) -> Counts | None:
        """How much there is; see ``Cassette.counts``."""
        if self._connection is None and not self._path.exists():
            return None
        interactions, fingerprints = self._read(tables.COUNT_INTERACTIONS)[0]
        return Counts(interactions, fingerprints)

    def close(self) -> None:
        """Finish writing and leave one plain file."""
        if self._writer is not None:
            self._writer.close()
        if self._connection is not None:
            self._connection.close()
        if self._writer is not None and self._path.exists():
            settle(self._path)

    def _read(self, sql: str, parameters: dict[str, Any] | None = None) -> list[sqlite3.Row]:
        """All rows; none when there is no file yet. Raises ``StoreError``."""
        if self._connection is None:
            if not self._path.exists():
                return []
            self._connection = open_to_read(self._path)
            self._connection.row_factory = sqlite3.Row
        try:
            return self._connection.execute(sql, parameters or {}).fetchall()
        except sqlite3.Error as error:
            raise trouble(self._path, error) from error

    def _begin_take(self, connection: sqlite3.Connection) -> int:
        """Join the take of this run, or begin it, newer than every other."""
        now_us = time.time_ns() // 1000
        connection.execute("BEGIN IMMEDIATE")
        newest = connection.execute(tables.NEWEST_TAKE).fetchone()[0] or 0
        take = {"id": max(now_us << 11, newest + 1), "run": self._run, "started_us": now_us}
        connection.execute(tables.INSERT_TAKE, take)
        connection.execute("COMMIT")
        return int(connection.execute(tables.FIND_TAKE, take).fetchone()[0])
