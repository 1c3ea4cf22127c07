"""``LargeRows``: rows that take long to read, read in a thread and within a bound on memory.

One at a time: while a row is read, SQLite holds a copy of it.
"""

import sqlite3
from collections.abc import Callable, Hashable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from replay_proxy.bounds.room import RECORDINGS_BYTES, Room
from replay_proxy.bounds.side_thread import SideThread
from replay_proxy.cassette import Interaction
from replay_proxy.store.files.access import open_to_read
from replay_proxy.store.files.troubles import ERRORS, trouble
from replay_proxy.store.reading.patience import insist_aside
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.lookups import row_value
from replay_proxy.store.sqlite.rows import Row, replayable
from replay_proxy.store.sqlite.step_limit import StepLimit

T = TypeVar("T")

#: Bytes of memory that offsets and ends take, per character of the column.
_TIMELINE_TIMES = 5


class LargeAnswer(NamedTuple):
    """An answer in a large row; ``version`` is the cassette's, if the answer may be cached."""

    id: int
    version: Hashable | None


class LargeRows:
    """Reads rows that ``Readers`` refuse with ``LargeRow``. Raises ``StoreError``."""

    def __init__(self) -> None:
        self._aside = SideThread()
        self._room = Room(RECORDINGS_BYTES)

    async def interaction(self, path: Path, number: int) -> Interaction | None:
        """An interaction, with the lease of its memory. Raises ``TooManyLargeAnswers``."""
        sizes = await self._rows(path, statements.READ_SIZES, number, list)
        if not sizes:
            return None
        *bodies, timeline = (size if isinstance(size, int) else 0 for size in sizes[0])
        lease = await self._room.lease(sum(bodies) + _TIMELINE_TIMES * timeline)
        interaction = await self.read(path, statements.READ_INTERACTION, replayable, number)
        return None if interaction is None else replace(interaction, lease=lease)

    async def read(
        self, path: Path, sql: str, convert: Callable[[Row], T], number: int
    ) -> T | None:
        """The value of the row of this id, if there is one."""
        return await self._rows(path, sql, number, partial(row_value, path, convert, number))

    def close(self) -> None:
        """Release the thread."""
        self._aside.close()

    async def _rows(
        self, path: Path, sql: str, number: int, convert: Callable[[list[Any]], T]
    ) -> T:
        def attempt() -> T:
            return convert(_rows(path, sql, number))

        return await insist_aside(attempt, self._aside)


def _rows(path: Path, sql: str, number: int) -> list[Any]:
    if not path.exists():
        return []
    with closing(open_to_read(path, busy_ms=0)) as connection:
        connection.row_factory = sqlite3.Row
        StepLimit(connection, path).begin()
        try:
            return connection.execute(sql, {"id": number}).fetchall()
        except ERRORS as error:
            raise trouble(path, error) from error
