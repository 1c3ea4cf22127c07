"""Takes: which one a recording run writes to.

A run with ``MODE=record`` begins a take that is newer than every other (``TakeOfRun``), a run with
``ON_MISS=record`` adds what is missing to the newest one (``newest_take``). A further answer to a
recorded request joins the others of it (``AnswerIndex.newest_take``), or it would hide them.
"""

import sqlite3
import time
from collections import OrderedDict
from pathlib import Path

from replay_proxy.store.sqlite import statements
from replay_proxy.store.writing.presence import Presence

#: The most cassettes that a run is present at; the one unused for longest is left.
PRESENT = 64


def join_take(connection: sqlite3.Connection, run: str) -> int:
    """The id of a run's take. Inside of a transaction, or two runs could begin the same one."""
    found = connection.execute(statements.FIND_TAKE, {"run": run}).fetchone()
    if found is not None:
        return int(found[0])
    now_us = time.time_ns() // 1000
    newest = connection.execute(statements.NEWEST_TAKE).fetchone()[0] or 0
    number = max(now_us << 11, newest + 1)
    take = {"id": number, "run": run, "started_us": now_us}
    connection.execute(statements.INSERT_TAKE, take)
    return int(number)


class TakeOfRun:
    """A run with ``MODE=record``, in one of its processes.

    Runs that record one cassette at the same time share a take: the one that the first of them has
    begun. A run that records alone begins its own.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._present: OrderedDict[Path, Presence] = OrderedDict()

    def take(self, connection: sqlite3.Connection, path: Path) -> int:
        """The id of the take to write to. Inside of a transaction that writes."""
        present = self._present.get(path)
        if present is None:
            if len(self._present) >= PRESENT:
                self._present.popitem(last=False)[1].leave()
            present = self._present[path] = Presence(path, self._run)
        self._present.move_to_end(path)
        return join_take(connection, present.run)

    def close(self) -> None:
        """Leave every cassette."""
        for present in self._present.values():
            present.leave()


def newest_take(connection: sqlite3.Connection, _: Path, *, run: str) -> int:
    """The id of the newest take, or of the run's own if there is none. Inside of a transaction."""
    newest = connection.execute(statements.NEWEST_TAKE).fetchone()[0]
    return join_take(connection, run) if newest is None else int(newest)
