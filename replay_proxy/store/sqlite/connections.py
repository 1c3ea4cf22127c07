"""Connections to SQLite files, with the settings that every one of them needs."""

import sqlite3
from pathlib import Path
from typing import TypeVar

from replay_proxy.store.sqlite.schema import defend

#: How long a connection waits for locks of other processes.
BUSY_MS = 10_000

C = TypeVar("C", bound=sqlite3.Connection)


def connect(path: Path, mode: str, *, busy_ms: int = BUSY_MS) -> sqlite3.Connection:
    """A connection that any thread may use. ``mode`` is SQLite's; URI parameters may follow it."""
    return connect_as(sqlite3.Connection, path, mode, busy_ms=busy_ms)


def connect_as(kind: type[C], path: Path, mode: str, *, busy_ms: int = BUSY_MS) -> C:
    """The same, as an object of this class."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        factory=kind,
        isolation_level=None,
        check_same_thread=False,
        timeout=busy_ms / 1000,
    )
    defend(connection, reads_only=mode != "rw")
    return connection
