"""Takes: a recording run joins its own, or begins one that is newer than every other."""

import sqlite3
import time

from replay_proxy.store import statements


def join_take(connection: sqlite3.Connection, run: str) -> int:
    """The id of a run's take. Inside of a transaction, or two runs could begin the same one."""
    now_us = time.time_ns() // 1000
    newest = connection.execute(statements.NEWEST_TAKE).fetchone()[0] or 0
    take = {"id": max(now_us << 11, newest + 1), "run": run, "started_us": now_us}
    connection.execute(statements.INSERT_TAKE, take)
    return int(connection.execute(statements.FIND_TAKE, take).fetchone()[0])
