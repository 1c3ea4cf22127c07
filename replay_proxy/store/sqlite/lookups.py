"""Rows that were looked up by their id: read only if they are the right row and sound."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from replay_proxy.store.files.troubles import damage
from replay_proxy.store.sqlite.rows import Row

T = TypeVar("T")


def row_value(path: Path, read: Callable[[Row], T], number: int, rows: Sequence[Any]) -> T | None:
    """The value of the row of this id, if there is one. Raises ``CassetteDamaged``."""
    if not rows:
        return None
    try:
        if rows[0]["id"] != number:
            raise ValueError("another interaction is in its place")
        return read(rows[0])
    except ValueError as error:
        raise damage(path, f"interaction {number}: {error}") from error
