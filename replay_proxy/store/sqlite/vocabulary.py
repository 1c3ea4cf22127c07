"""The words that a cassette's index has for each interaction, read from the index itself.

The table ``nearness`` is contentless; SQLite's ``fts5vocab`` lists what its index holds
(https://www.sqlite.org/fts5.html#the_fts5vocab_virtual_table_module).
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from replay_proxy.store.files.troubles import damage
from replay_proxy.store.sqlite import statements

_OPEN = "CREATE VIRTUAL TABLE temp.word USING fts5vocab(main, nearness, instance)"
_CLOSE = "DROP TABLE temp.word"
_ALL = "SELECT doc, CAST(term AS BLOB) FROM temp.word"
_OF_ONE = "SELECT CAST(term AS BLOB) FROM temp.word WHERE doc = :id"


def digest(words: Iterable[bytes]) -> int:
    """A number for a set of words, whatever their order. Valid in this process only."""
    return sum(map(hash, words))


def digests(connection: sqlite3.Connection, path: Path) -> dict[int, int]:
    """The digest of each interaction's words, by its id.

    Raises ``CassetteDamaged``, and what SQLite raises for an index that it cannot read.
    """
    for (name,) in connection.execute(statements.INDEX_SETTING):
        raise damage(path, f"its index of words has the setting {name!r}")
    sums: dict[int, int] = {}
    with _word_table(connection):
        for number, word in _bounded(connection, path, connection.execute(_ALL)):
            sums[number] = sums.get(number, 0) + hash(word)
    return sums


def words_of(connection: sqlite3.Connection, path: Path, number: int) -> list[str]:
    """The words of an interaction that can be deleted from the index. Reads the whole index.

    Raises as ``digests`` does.
    """
    with _word_table(connection):
        rows = _bounded(connection, path, connection.execute(_OF_ONE, {"id": number}))
        words = [word.decode("utf-8", "replace") for (word,) in rows]
    return [word for word in words if word.isascii() and word.isalnum()]


def drop(connection: sqlite3.Connection, path: Path, number: int) -> bool:
    """Delete an interaction and its words, whatever they hold. Returns whether either existed.

    Raises as ``digests`` does.
    """
    words = words_of(connection, path, number)
    if words:
        entry = {"id": number, "features": " ".join(words)}
        connection.execute(statements.DELETE_NEARNESS, entry)
    deleted = connection.execute(statements.DELETE_INTERACTION, {"id": number}).rowcount
    return bool(words) or deleted > 0


def _bounded(connection: sqlite3.Connection, path: Path, rows: sqlite3.Cursor) -> Iterator[Any]:
    # A word of an interaction takes at least a byte.
    (most,) = connection.execute(statements.INDEX_BYTES).fetchone()
    for count, row in enumerate(rows):
        if count >= most:
            raise damage(path, "its index yields more words than fit into it")
        yield row


@contextmanager
def _word_table(connection: sqlite3.Connection) -> Iterator[None]:
    """Inside, the list of words is a temporary table of this connection; the file is unchanged."""
    (reads_only,) = connection.execute("PRAGMA query_only").fetchone()
    connection.execute("PRAGMA query_only = OFF")
    connection.execute(_OPEN)
    try:
        yield
    finally:
        connection.execute(_CLOSE)
        connection.execute(f"PRAGMA query_only = {reads_only}")
