"""The order of rows in a file, and pages of them.

If the pages of a file refer to one page several times, SQLite returns its rows again and again.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from replay_proxy.store.files.troubles import damage

#: Entries of an index per page. Between pages, other requests get their turn.
_PAGE = 1_000

#: A place in an index: a key, a take and an id.
IndexPlace = tuple[str, int, int]

R = TypeVar("R")


def in_id_order(path: Path, rows: Iterable[R]) -> Iterator[R]:
    """The rows of a statement that orders them by id.

    Raises ``CassetteDamaged`` if they do not come in that order.
    """
    before = None
    for row in rows:
        number = row["id"]  # type: ignore[index]
        if not isinstance(number, int) or (before is not None and number <= before):
            raise damage(path, f"interaction {number} is there more than once")
        before = number
        yield row


def check_order(path: Path, after: IndexPlace | None, rows: Sequence[Any]) -> None:
    """Raise ``CassetteDamaged`` if the places of an index do not come one after another."""
    places = [tuple(row)[:3] for row in rows]
    if {tuple(map(type, place)) for place in places} - {(str, int, int)}:
        raise damage(path, "its index has a value of the wrong type")
    if after is not None:
        places.insert(0, after)
    if any(one >= other for one, other in pairwise(places)):
        raise damage(path, "its index is not in order")


def start_at(after: IndexPlace | None) -> dict[str, Any]:
    """The parameters of a statement that reads the page of an index after a place."""
    key, take, number = after or ("", 0, 0)
    return {"key": key, "take": take, "id": number, "limit": _PAGE}


def page_of(rows: Sequence[Any]) -> tuple[list[int], IndexPlace | None]:
    """The ids of a page that replay can use, and the place where the next page begins."""
    ids = [row[2] for row in rows if row[3]]
    return ids, tuple(rows[-1])[:3] if len(rows) == _PAGE else None
