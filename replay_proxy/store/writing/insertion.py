"""Inserting rows: a large one without copying its bodies in memory.

SQLite copies a value to bind it, and again to make the row. For large bodies it only reserves the
space, and they are written there in pieces (https://www.sqlite.org/c3ref/blob_open.html).
"""

import sqlite3

from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.rows import Row

#: Bodies up to this size are inserted with their row.
AT_ONCE_BYTES = 1 << 20
_PIECE_BYTES = 1 << 20
_BODIES = ("request_body", "body")


def put_interactions(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Insert rows in the open transaction."""
    if any(map(_is_large, rows)):
        for row in rows:
            put_interaction(connection, row)
    else:
        connection.executemany(statements.PUT_INTERACTION, rows)


def put_interaction(connection: sqlite3.Connection, row: Row) -> None:
    """Insert a row in the open transaction."""
    if not _is_large(row):
        connection.execute(statements.PUT_INTERACTION, row)
        return
    sizes = {name: len(row[name]) for name in _BODIES}
    connection.execute(statements.PUT_SIZES, row | sizes)
    for name in _BODIES:
        body = memoryview(row[name])
        with connection.blobopen("interaction", name, row["id"]) as blob:
            for at in range(0, len(body), _PIECE_BYTES):
                blob.write(body[at : at + _PIECE_BYTES])


def _is_large(row: Row) -> bool:
    return len(row["body"]) + len(row["request_body"]) > AT_ONCE_BYTES
