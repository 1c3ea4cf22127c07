"""Takes: which one a recording run writes to.

A run with ``MODE=record`` begins a take that is newer than every other (``TakeOfRun``). A run with
``ON_MISS=record`` adds what is missing to the newest take (``newest_take``). A further answer to a
recorded request joins that request's take (``AnswerIndex.newest_take``), or it would hide the
answers there.
"""

import sqlite3
import time
from pathlib import Path

from replay_proxy.bounds.lru import LRU
from replay_proxy.store.sqlite import statements
from replay_proxy.store.writing.presence import Presence

#: Maximum number of cassettes that a run is present at; it leaves the least recently used one.
PRESENT = 64


def join_take(connection: sqlite3.Connection, run: str, started_us: int | None = None) -> int:
    """The id of a run's take, which began now or at ``started_us`` if it is new.

    Inside a transaction, or two runs could begin the same one.
    """
    row = connection.execute(statements.FIND_TAKE, {"run": run}).fetchone()
    if row is not None:
        return int(row[0])
    now_us = time.time_ns() // 1000 if started_us is None else started_us
    newest = connection.execute(statements.NEWEST_TAKE).fetchone()[0] or 0
    number = max(now_us << 11, newest + 1)
    take = {"id": number, "run": run, "started_us": now_us}
    connection.execute(statements.INSERT_TAKE, take)
    return int(number)


class TakeOfRun:
    """The take of a run with ``MODE=record``, in one of its processes.

    Runs that record one cassette at the same time share the take that the first of them has begun.
    A run that records alone begins its own.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._present: LRU[Path, Presence] = LRU(PRESENT)

    def take_id(self, connection: sqlite3.Connection, path: Path) -> int:
        """The id of the take to write to. Inside a transaction that writes."""
        presence = self._present.get(path)
        if presence is None:
            presence = Presence(path, self._run)
            if (dropped := self._present.put(path, presence)) is not None:
                dropped[1].leave()
        return join_take(connection, presence.run)

    def close(self) -> None:
        """Leave every cassette."""
        for presence in self._present.values():
            presence.leave()


def newest_take(connection: sqlite3.Connection, _: Path, *, run: str) -> int:
    """The id of the newest take, or of the run's own if there is none. Inside a transaction."""
    newest = connection.execute(statements.NEWEST_TAKE).fetchone()[0]
    return join_take(connection, run) if newest is None else int(newest)
