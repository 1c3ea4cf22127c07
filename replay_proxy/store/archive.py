"""``Archive``: a cassette at rest, as the tape tools read it; ``change`` is how they change it.

Synchronous, and one interaction at a time, so that memory does not grow with the cassette.
Recording and replay never come here.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

from replay_proxy.cassette import Interaction, RecordedRequest, Take
from replay_proxy.errors import CassetteMissing
from replay_proxy.store.files.opening import ERRORS, damaged, open_to_read, trouble
from replay_proxy.store.listing import to_answers, to_stamp, to_take
from replay_proxy.store.reading.order import rising
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.rows import Row, replayable, to_recorded
from replay_proxy.store.sqlite.steps import Steps
from replay_proxy.store.sqlite.vocabulary import digests
from replay_proxy.target import flaw

T = TypeVar("T")

_TOO_MANY = "it gives more rows than it has room for"


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
        self._steps = Steps(self._connection, path)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def takes(self) -> list[Take]:
        """Every take, the oldest first."""
        return [self._sound(to_take, dict(row)) for row in self.query(statements.ALL_TAKES)]

    def answers(self) -> dict[str, dict[int, list[int]]]:
        """The interactions of each fingerprint, in order of arrival, by take, oldest first."""
        return self._sound(to_answers, self.tuples(statements.ALL_ANSWERS))

    def stamps(self) -> Iterator[tuple[int, int, str, int]]:
        """The id, take, fingerprint and checksum of every interaction, by fingerprint and id."""
        return (self._sound(to_stamp, tuple(row)) for row in self.query(statements.ALL_STAMPS))

    def rows(self) -> Iterator[Row]:
        """Every row as it is stored, by arrival; nothing about it is checked."""
        return (dict(row) for row in self._by_id(statements.ALL_INTERACTIONS))

    def interactions(self) -> Iterator[tuple[int, Interaction]]:
        """Every interaction behind the id of its take, by arrival."""
        return ((row["take_id"], self._whole(row)) for row in self.rows())

    def targets(self) -> Iterator[tuple[int, str, str]]:
        """Id, method and path of every interaction.

        Raises ``CassetteDamaged`` for one that could lead elsewhere than to the upstream.
        """
        for number, method, path, query in self._by_id(statements.ALL_TARGETS):
            if cause := flaw(str(method), str(path), str(query)):
                raise damaged(self.path, f"interaction {number}: {cause}")
            yield number, method, path

    def newest_streams(self, most: int) -> Iterator[Interaction]:
        """At most so many streamed answers, the newest first."""
        rows = self.query(statements.NEWEST_STREAMS, {"limit": most})
        return (self._whole(dict(row)) for row in rows)

    def page(self, limit: int, offset: int) -> Iterator[tuple[int, Interaction]]:
        """As ``interactions``, so many after the first ``offset``."""
        rows = self.query(statements.PAGE_OF_INTERACTIONS, {"limit": limit, "offset": offset})
        return ((row["take_id"], self._whole(dict(row))) for row in rising(self.path, rows))

    def interaction(self, number: int) -> Interaction:
        """The interaction of this id, which some list of this file has."""
        return self.in_take(number)[1]

    def in_take(self, number: int) -> tuple[int, Interaction]:
        """The same after the id of its take."""
        row = self._only(statements.READ_INTERACTION, number)
        return row["take_id"], self._whole(row)

    def recorded(self, number: int) -> RecordedRequest:
        """Its request, without the answer."""
        return self._sound(to_recorded, self._only(statements.READ_REQUEST, number))

    def _only(self, sql: str, number: int) -> Row:
        """The row of an id that is somewhere in the file."""
        for row in self.query(sql, {"id": number}):
            if row["id"] == number:
                return dict(row)
        raise damaged(self.path, f"interaction {number} is listed, and it is not there")

    def holds(self, number: int) -> bool:
        """Whether there is an interaction of this id."""
        return any(True for _ in self.query(statements.READ_CHECKSUM, {"id": number}))

    def words(self) -> dict[int, int]:
        """The digest of the words that the index has for each interaction, by its id."""
        try:
            self._steps.begin()
            return digests(self._connection, self.path)
        except ERRORS as error:
            raise trouble(self.path, error) from error

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> Iterator[sqlite3.Row]:
        """The rows that a statement reads, as they are asked for."""
        try:
            self._steps.begin()
            for number, row in enumerate(self._connection.execute(sql, parameters or {})):
                if number % 1_000 == 999 and number > self._steps.most_rows():
                    raise damaged(self.path, _TOO_MANY)
                yield row
        except ERRORS as error:
            raise trouble(self.path, error) from error

    def _by_id(self, sql: str) -> Iterator[sqlite3.Row]:
        """The rows of a statement that orders them by id."""
        return rising(self.path, self.query(sql))

    def tuples(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows that a statement reads, all at once and without names: faster if it is many."""
        try:
            cursor = self._connection.cursor()
            cursor.row_factory = None
            self._steps.begin()
            most = self._steps.most_rows()
            rows = cursor.execute(sql).fetchmany(most + 1)
        except ERRORS as error:
            raise trouble(self.path, error) from error
        if len(rows) > most:
            raise damaged(self.path, _TOO_MANY)
        return rows

    def _whole(self, row: Row) -> Interaction:
        return self._sound(replayable, row)

    def _sound(self, read: Callable[[Any], T], stored: Any) -> T:
        """What is read of something stored. Raises ``CassetteDamaged`` when it is not sound."""
        try:
            return read(stored)
        except ValueError as error:
            named = f"interaction {stored['id']}: " if "fingerprint" in stored else ""
            raise damaged(self.path, f"{named}{error}") from error
