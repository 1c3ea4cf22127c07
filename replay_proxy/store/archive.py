"""``Archive``: a cassette at rest, as the tape tools read it; ``change`` is how they change it.

Synchronous, and one interaction at a time, so that memory does not grow with the cassette.
Recording and replay never come here.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from replay_proxy.cassette import Interaction, Take
from replay_proxy.errors import CassetteMissing
from replay_proxy.store import statements
from replay_proxy.store.files import ERRORS, damaged, open_to_read, trouble
from replay_proxy.store.rows import Row, from_row
from replay_proxy.target import flaw


class Archive:
    """One state of a cassette: what others commit meanwhile is not seen.

    ``with Archive(path) as archive`` closes it. Raises ``CassetteMissing`` and ``StoreError``, as
    every method does.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise CassetteMissing(f"There is no cassette {path}. Check its name, and STORE.")
        self.path = path
        self._connection = open_to_read(path)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def takes(self) -> list[Take]:
        """Every take, the oldest first."""
        return [Take(**row) for row in self.query(statements.ALL_TAKES)]

    def answers(self) -> dict[str, dict[int, list[int]]]:
        """The interactions of each fingerprint, in order of arrival, by take, oldest first."""
        found: dict[str, dict[int, list[int]]] = {}
        for fingerprint, take_id, number in self.tuples(statements.ALL_ANSWERS):
            takes = found.get(fingerprint)
            if takes is None:
                found[fingerprint] = {take_id: [number]}
            else:
                takes.setdefault(take_id, []).append(number)
        return found

    def rows(self) -> Iterator[Row]:
        """Every row as it is stored, by arrival; nothing about it is checked."""
        return (dict(row) for row in self.query(statements.ALL_INTERACTIONS))

    def interactions(self) -> Iterator[tuple[int, Interaction]]:
        """Every interaction behind the id of its take, by arrival."""
        return ((row["take_id"], self._whole(row)) for row in self.rows())

    def targets(self) -> Iterator[tuple[int, str, str]]:
        """Id, method and path of every interaction.

        Raises ``CassetteDamaged`` for one that could lead elsewhere than to the upstream.
        """
        for number, method, path, query in self.query(statements.ALL_TARGETS):
            if cause := flaw(str(method), str(path), str(query)):
                raise damaged(self.path, f"interaction {number}: {cause}")
            yield number, method, path

    def newest_streams(self, most: int) -> Iterator[Interaction]:
        """At most so many streamed answers, the newest first."""
        rows = self.query(statements.NEWEST_STREAMS, {"limit": most})
        return (self._whole(dict(row)) for row in rows)

    def interaction(self, number: int) -> Interaction | None:
        """The interaction of this id."""
        for row in self.query(statements.READ_INTERACTION, {"id": number}):
            return self._whole(dict(row))
        return None

    def holds(self, number: int) -> bool:
        """Whether there is an interaction of this id."""
        return any(True for _ in self.query(statements.READ_CHECKSUM, {"id": number}))

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> Iterator[sqlite3.Row]:
        """The rows that a statement reads, as they are asked for."""
        try:
            for row in self._connection.execute(sql, parameters or {}):  # noqa: UP028 - closes nothing
                yield row
        except ERRORS as error:
            raise trouble(self.path, error) from error

    def tuples(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows that a statement reads, all at once and without names: faster if it is many."""
        try:
            cursor = self._connection.cursor()
            cursor.row_factory = None
            return cursor.execute(sql).fetchall()
        except ERRORS as error:
            raise trouble(self.path, error) from error

    def _whole(self, row: Row) -> Interaction:
        try:
            interaction = from_row(row)
            request = interaction.request
            if cause := flaw(request.method, request.path, request.query):
                raise ValueError(cause)
            return interaction
        except ValueError as error:
            raise damaged(self.path, f"interaction {row['id']}: {error}") from error
