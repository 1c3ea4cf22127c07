"""``Archive``: a cassette at rest, as the tape tools read it; ``transaction`` changes one.

Each question that a tool has is a method; the SQL is in ``statements``.

Synchronous, and one interaction at a time, so memory does not grow with the cassette. Recording
and replay do not use it.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

from replay_proxy.cassette import Counts, Interaction, RecordedRequest, Take
from replay_proxy.errors import CassetteMissing
from replay_proxy.store.files.access import open_to_read
from replay_proxy.store.files.troubles import ERRORS, damage, trouble
from replay_proxy.store.listing import RecordedAnswers, to_answers, to_stamp, to_take
from replay_proxy.store.reading.order import in_id_order
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.rows import Row, replayable, to_recorded_request
from replay_proxy.store.sqlite.step_limit import StepLimit
from replay_proxy.store.sqlite.vocabulary import digests
from replay_proxy.target import flaw

T = TypeVar("T")

_TOO_MANY = "it yields more rows than fit into the file"


class Archive:
    """One state of a cassette: later commits of others are not seen.

    ``with Archive(path) as archive`` closes it. It and every method raise ``CassetteMissing`` and
    ``StoreError``.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise CassetteMissing(
                "does not exist", thing=f"Cassette {path}", remedy="Check its name, and STORE."
            )
        self.path = path
        self._connection = open_to_read(path)
        self._steps = StepLimit(self._connection, path)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def takes(self) -> list[Take]:
        """Every take, the oldest first."""
        return [self._sound(to_take, dict(row)) for row in self._query(statements.ALL_TAKES)]

    def counts(self) -> Counts:
        """How much the cassette holds."""
        ((interactions, fingerprints),) = self._query(statements.COUNT_INTERACTIONS)
        return Counts(interactions, fingerprints)

    def answers(self) -> RecordedAnswers:
        """Which interactions answer each request, and which of them replay uses."""
        return self._sound(to_answers, self._tuples(statements.ALL_ANSWERS))

    def id_at(self, position: int) -> int | None:
        """The interaction at this position, from 0, in the order of arrival."""
        return self._first(statements.ID_AT, offset=position)

    def last_id_of(self, fingerprint: str) -> int | None:
        """The last interaction of the newest take of this request."""
        return self._first(statements.LAST_ID_OF, fingerprint=fingerprint)

    def checksums(self) -> Iterator[tuple[int, int, int]]:
        """The id, take and checksum of every interaction, by arrival; nothing is checked."""
        return (tuple(row) for row in self._query(statements.ALL_CHECKSUMS))

    def integrity_errors(self) -> Iterator[str]:
        """What SQLite finds wrong with the file's pages."""
        verdicts = (str(row[0]) for row in self._query(statements.CHECK_INTEGRITY))
        return (verdict for verdict in verdicts if verdict != "ok")

    def stamps(self) -> Iterator[tuple[int, int, str, int]]:
        """The id, take, fingerprint and checksum of every interaction, by fingerprint and id."""
        return (self._sound(to_stamp, tuple(row)) for row in self._query(statements.ALL_STAMPS))

    def rows(self) -> Iterator[Row]:
        """Every row as it is stored, by arrival; nothing is checked."""
        return (dict(row) for row in self._by_id(statements.ALL_INTERACTIONS))

    def interactions(self) -> Iterator[tuple[int, Interaction]]:
        """The take's id and the interaction, for every interaction, by arrival."""
        return ((row["take_id"], self._whole(row)) for row in self.rows())

    def targets(self) -> Iterator[tuple[int, str, str]]:
        """Id, method and path of every interaction.

        Raises ``CassetteDamaged`` for one that could lead elsewhere than to the upstream.
        """
        for number, method, path, query in self._by_id(statements.ALL_TARGETS):
            if cause := flaw(str(method), str(path), str(query)):
                raise damage(self.path, f"interaction {number}: {cause}")
            yield number, method, path

    def newest_streams(self, most: int) -> Iterator[Interaction]:
        """The ``most`` newest streamed answers, the newest first."""
        rows = self._query(statements.NEWEST_STREAMS, {"limit": most})
        return (self._whole(dict(row)) for row in rows)

    def page(self, limit: int, offset: int) -> Iterator[tuple[int, Interaction]]:
        """Like ``interactions``: ``limit`` of them after the first ``offset``."""
        rows = self._query(statements.PAGE_OF_INTERACTIONS, {"limit": limit, "offset": offset})
        return ((row["take_id"], self._whole(dict(row))) for row in in_id_order(self.path, rows))

    def interaction(self, number: int) -> Interaction:
        """The interaction of this id, which is known to be in the file."""
        return self.in_take(number)[1]

    def in_take(self, number: int) -> tuple[int, Interaction]:
        """The take's id and the interaction of this id."""
        row = self._only(statements.READ_INTERACTION, number)
        return row["take_id"], self._whole(row)

    def request(self, number: int) -> RecordedRequest:
        """The request of this id, without the answer."""
        return self._sound(to_recorded_request, self._only(statements.READ_REQUEST, number))

    def _only(self, sql: str, number: int) -> Row:
        """The row of an id that is known to be in the file."""
        for row in self._query(sql, {"id": number}):
            if row["id"] == number:
                return dict(row)
        raise damage(self.path, f"interaction {number} is listed but missing")

    def holds(self, number: int) -> bool:
        """Whether there is an interaction of this id."""
        return any(True for _ in self._query(statements.READ_CHECKSUM, {"id": number}))

    def words(self) -> dict[int, int]:
        """A digest of each interaction's words in the index, by the interaction's id."""
        try:
            self._steps.begin()
            return digests(self._connection, self.path)
        except ERRORS as error:
            raise trouble(self.path, error) from error

    def _query(self, sql: str, parameters: dict[str, Any] | None = None) -> Iterator[sqlite3.Row]:
        """The rows that a statement reads, one at a time."""
        try:
            self._steps.begin()
            for number, row in enumerate(self._connection.execute(sql, parameters or {})):
                if number % 1_000 == 999 and number > self._steps.most_rows():
                    raise damage(self.path, _TOO_MANY)
                yield row
        except ERRORS as error:
            raise trouble(self.path, error) from error

    def _first(self, sql: str, **parameters: Any) -> int | None:
        """The id that a statement finds, if it finds one."""
        for (number,) in self._query(sql, parameters):
            return int(number)
        return None

    def _by_id(self, sql: str) -> Iterator[sqlite3.Row]:
        """The rows of a statement that orders them by id."""
        return in_id_order(self.path, self._query(sql))

    def _tuples(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows that a statement reads, all at once and without names, which is faster."""
        try:
            cursor = self._connection.cursor()
            cursor.row_factory = None
            self._steps.begin()
            most = self._steps.most_rows()
            rows = cursor.execute(sql).fetchmany(most + 1)
        except ERRORS as error:
            raise trouble(self.path, error) from error
        if len(rows) > most:
            raise damage(self.path, _TOO_MANY)
        return rows

    def _whole(self, row: Row) -> Interaction:
        return self._sound(replayable, row)

    def _sound(self, read: Callable[[Any], T], stored: Any) -> T:
        """The value that is read from a row. Raises ``CassetteDamaged`` if it is not sound."""
        try:
            return read(stored)
        except ValueError as error:
            thing = f"interaction {stored['id']}: " if "fingerprint" in stored else ""
            raise damage(self.path, f"{thing}{error}") from error
