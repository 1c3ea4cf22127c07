"""How a row gets into a cassette: a large one without a copy of its bodies in memory.

SQLite would copy a value to bind it and again to make the row. It makes room for large bodies
instead, and they are written into it piece by piece (https://www.sqlite.org/c3ref/blob_open.html).
"""

import sqlite3

from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.rows import Row

#: Bodies of up to this size are put at once.
AT_ONCE_BYTES = 1 << 20
_PIECE_BYTES = 1 << 20
_BODIES = ("request_body", "body")


def put_interactions(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Insert rows, in the transaction that is open."""
    if any(map(_is_large, rows)):
        for row in rows:
            put_interaction(connection, row)
    else:
        connection.executemany(statements.PUT_INTERACTION, rows)


def put_interaction(connection: sqlite3.Connection, row: Row) -> None:
    """Insert a row, in the transaction that is open."""
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
