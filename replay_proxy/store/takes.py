"""Takes: a recording run joins its own, or begins one that is newer than every other."""

import sqlite3
import time

from replay_proxy.store import statements


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
