"""``Keys``: which interactions answer a rule's match keys, in a private temporary database.

SQLite keeps it in memory while it is small, and otherwise spills it to an unnamed file
(https://www.sqlite.org/inmemorydb.html, "Temporary Databases"), so memory does not grow with the
cassettes. Not in here: how keys are made.
"""

import sqlite3
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from replay_proxy.errors import StoreError

#: The bits of a mark below those of the fingerprint.
HEADER_BITS = 31
_SCHEMA = """
CREATE TABLE answer (
    cassette INTEGER, key TEXT, take INTEGER, id INTEGER, mark INTEGER,
    PRIMARY KEY (cassette, key, take, id)
) WITHOUT ROWID
"""
_BY_ID = "CREATE UNIQUE INDEX answer_by_id ON answer (cassette, id)"
_HAS = "SELECT 1 FROM answer WHERE cassette = ? AND id = ?"
_MARK = "SELECT mark FROM answer WHERE cassette = :cassette AND id = :id"
_IDS = "SELECT id FROM answer WHERE cassette = :cassette"
_REMOVE = "DELETE FROM answer WHERE cassette = ? AND id = ?"
_PUT = "INSERT OR IGNORE INTO answer VALUES (?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM answer WHERE cassette = :cassette"
_NEWEST = """
FROM answer AS one WHERE cassette = :cassette AND take =
    (SELECT max(take) FROM answer WHERE cassette = one.cassette AND key = one.key)
"""
_SOME = f"SELECT id {_NEWEST} AND key = :key ORDER BY id LIMIT :limit OFFSET :n"
_COUNT = f"SELECT count(*) {_NEWEST} AND key = :key"
_NEWEST_TAKE = "SELECT max(take) FROM answer WHERE cassette = :cassette AND key = :key"
#: How many requests have a key that several have, how many such keys there are, and one of them.
_MERGED = """
SELECT total(requests), count(*), min(key) FROM (
    SELECT key, count(DISTINCT mark >> :bits) AS requests FROM answer
    WHERE cassette = :cassette GROUP BY key HAVING requests > 1
)
"""
_MERGED_EXAMPLE = """
SELECT min(id) AS first FROM answer WHERE cassette = :cassette AND key = :key
GROUP BY mark >> :bits ORDER BY first LIMIT 2
"""
#: A page of entries, and whether each is of its key's newest take.
_CURRENT = """
SELECT key, take, id, take =
    (SELECT max(take) FROM answer WHERE cassette = one.cassette AND key = one.key)
FROM answer AS one WHERE cassette = :cassette AND (key, take, id) > (:key, :take, :id)
ORDER BY key, take, id LIMIT :limit
"""

#: A key, the take and id of its interaction, and a number that differs for another request.
KeyEntry = tuple[str, int, int, int]


class Keys:
    """The keys of all cassettes of a store. Any thread may use it. Raises ``StoreError``."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = MEMORY")
        self._connection.execute(_SCHEMA)
        self._connection.execute(_BY_ID)
        self._lock = threading.Lock()
        self._cassettes: dict[Path, int] = {}
        self._sizes: Counter[Path] = Counter()
        self.closed = False

    def put(self, cassette: Path, entries: Sequence[KeyEntry]) -> None:
        """Add entries; existing ones stay as they are. Does nothing once it is closed."""
        self._change(cassette, _PUT, entries, +1)

    def remove(self, cassette: Path, ids: Collection[int]) -> None:
        """Remove interactions."""
        self._change(cassette, _REMOVE, [(number,) for number in ids], -1)

    def unknown(self, cassette: Path, ids: Sequence[int]) -> list[int]:
        """Those of the interactions that have no entry."""
        with self._lock:
            name = self._number(cassette)
            try:
                execute = self._connection.execute
                return [id_ for id_ in ids if execute(_HAS, (name, id_)).fetchone() is None]
            except sqlite3.Error as error:
                raise _trouble(error) from error

    def ids(self, cassette: Path) -> list[int]:
        """All interactions."""
        return self._ids(_IDS, cassette)

    def mark(self, cassette: Path, interaction: int) -> int | None:
        """The number that an interaction was put with; None if it has no entry."""
        return next(iter(self._ids(_MARK, cassette, id=interaction)), None)

    def size(self, cassette: Path) -> int:
        """The number of interactions."""
        return self._sizes[cassette]

    def some(self, cassette: Path, key: str, n: int, limit: int) -> list[int]:
        """Up to ``limit`` interactions of a key's newest take, by arrival, from number ``n`` on."""
        return self._ids(_SOME, cassette, key=key, n=n, limit=limit)

    def count(self, cassette: Path, key: str) -> int:
        """The number of interactions in a key's newest take."""
        return self._ids(_COUNT, cassette, key=key)[0]

    def newest_take(self, cassette: Path, key: str) -> int | None:
        """The newest take that has an interaction of a key."""
        take: int | None = self._rows(_NEWEST_TAKE, cassette, key=key)[0][0]
        return take

    def merged(self, cassette: Path) -> tuple[int, int, list[int]]:
        """How many requests count as how many, and the ids of two that count as one."""
        if self.closed:
            return 0, 0, []
        requests, keys, key = self._rows(_MERGED, cassette, bits=HEADER_BITS)[0]
        example = self._ids(_MERGED_EXAMPLE, cassette, key=key, bits=HEADER_BITS)
        return int(requests), keys, example

    def page(self, cassette: Path, **parameters: Any) -> list[tuple[str, int, int, bool]]:
        """A page of entries, and whether each is of its key's newest take."""
        return self._rows(_CURRENT, cassette, **parameters)

    def forget(self, cassette: Path) -> None:
        """Remove all entries of a cassette."""
        with self._lock:
            if not self.closed:
                self._connection.execute(_FORGET, {"cassette": self._number(cassette)})

    def close(self) -> None:
        """Remove the database."""
        with self._lock:
            self.closed = True
            self._connection.close()

    def _change(
        self, cassette: Path, sql: str, parameters: Sequence[tuple[Any, ...]], sign: int
    ) -> None:
        with self._lock:
            if self.closed:
                return
            rows = [(self._number(cassette), *values) for values in parameters]
            before = self._connection.total_changes
            try:
                self._connection.execute("BEGIN")
                self._connection.executemany(sql, rows)
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise _trouble(error) from error
            self._sizes[cassette] += sign * (self._connection.total_changes - before)

    def _number(self, cassette: Path) -> int:
        return self._cassettes.setdefault(cassette, len(self._cassettes))

    def _ids(self, sql: str, cassette: Path, **parameters: Any) -> list[int]:
        return [row[0] for row in self._rows(sql, cassette, **parameters)]

    def _rows(self, sql: str, cassette: Path, **parameters: Any) -> list[Any]:
        with self._lock:
            parameters["cassette"] = self._cassettes.get(cassette)
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                raise _trouble(error) from error


def _trouble(error: sqlite3.Error) -> StoreError:
    return StoreError(
        f"The index that MATCH_IGNORE, MATCH_REPLACE and MATCH_HEADERS need cannot be used: "
        f"{error}. It is kept "
        "in the directory for temporary files: check its free space, or name another one in TMPDIR."
    )
