"""``RowIds``: inserts rows under ids that no other exchange has.

Two processes can give one id to two exchanges. The one that commits second gets the next free id of
the same microsecond, so nothing is overwritten and the order by arrival stays. Not in here: what
else a row means.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from replay_proxy.bounds.lru import LRU
from replay_proxy.cassette import Interaction, same_microsecond
from replay_proxy.errors import StoreError
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.rows import Row
from replay_proxy.store.writing.insertion import put_interaction, put_interactions

#: Number of latest rows that a process remembers as its own. An answer is stored at its terminal
#: event, and again if more bytes follow: the process then replaces its own row.
OWN = 10_000


class RowIds:
    """Inserts the rows of one process."""

    def __init__(self, own: int = OWN) -> None:
        self._own: LRU[tuple[Path, int], bool] = LRU(own)

    def put(
        self,
        connection: sqlite3.Connection,
        path: Path,
        rows: Sequence[tuple[int, Callable[[int], Row]]],
    ) -> list[int]:
        """Insert rows, and return their ids. A row is given as a wanted id and a maker from an id.

        Only a row that this process has committed under an id is replaced: see ``committed``.
        """
        numbers = [number for number, _ in rows]
        # Not tried under a savepoint, which makes the full-text index write its words at once.
        if _are_free(connection, numbers):
            made = [make_row(number) for number, make_row in rows]
            connection.executemany(statements.PUT_NEARNESS, made)
            put_interactions(connection, made)
            return numbers
        return [self._put_one(connection, path, number, make_row) for number, make_row in rows]

    def _put_one(
        self,
        connection: sqlite3.Connection,
        path: Path,
        number: int,
        make_row: Callable[[int], Row],
    ) -> int:
        replaced = (path, number) in self._own and not _are_free(connection, [number])
        if not replaced:
            number = free_id(connection, number)
        row = make_row(number)
        if replaced:  # Its words are those of the request, which is the same.
            connection.execute(statements.DELETE_INTERACTION, {"id": number})
        else:
            connection.execute(statements.PUT_NEARNESS, row)
        put_interaction(connection, row)
        return number

    def committed(self, path: Path, number: int) -> None:
        """Remember a row as this process's own, once it is committed."""
        self._own.put((path, number), True)


def _are_free(connection: sqlite3.Connection, numbers: Sequence[int]) -> bool:
    """Whether no row has one of these ids, and none of them appears twice."""
    ids = {"ids": orjson.dumps(numbers).decode()}
    taken = connection.execute(statements.TAKEN_ID, ids).fetchone()
    return taken is None and len(set(numbers)) == len(numbers)


def free_id(connection: sqlite3.Connection, wanted: int) -> int:
    """The id ``wanted``, or the next free one of its microsecond. Raises ``StoreError``."""
    for number in same_microsecond(wanted):
        if connection.execute(statements.READ_IDENTITY, {"id": number}).fetchone() is None:
            return number
    raise _no_id_left(wanted)


def id_of(connection: sqlite3.Connection, take_id: int, interaction: Interaction) -> int:
    """The id under which a tool puts an interaction that was recorded before.

    Its own id, if that is free or is the same exchange's: one of the same take, or one with the
    same request and answer. Otherwise the next such id of its microsecond. Repeating this gives the
    same id. Raises ``StoreError``.
    """
    same = (interaction.fingerprint, interaction.status, interaction.body)
    for number in same_microsecond(interaction.id):
        row = connection.execute(statements.READ_IDENTITY, {"id": number}).fetchone()
        if row is None or row[0] == take_id or row[1:] == same:
            return number
    raise _no_id_left(interaction.id)


def _no_id_left(wanted: int) -> StoreError:
    return StoreError(
        f"Interaction {wanted} cannot be stored: all ids of its microsecond are taken. Set the "
        "clock of this machine, which seems to stand still, and record it again."
    )
