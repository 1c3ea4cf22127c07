"""``News``: what others have committed to a cassette, or deleted, since ``keys`` were read from it.

Ids sort by arrival and not by commit, so no id marks where the news begins. It is found in two
steps. A quick look reads ids from the newest down to the first page without an unknown one, so its
cost grows with the news only. A count then tells whether that was all; if not, everything is
compared.
"""

from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from replay_proxy.store.files.access import open_to_read
from replay_proxy.store.files.troubles import ERRORS, damage, trouble
from replay_proxy.store.reading.keys import Keys
from replay_proxy.store.reading.readers import LargeRow, Readers
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.step_limit import StepLimit

#: Ids per page. A page of known ids ends the quick look.
PAGE = 32
#: Bound of the first page, above every id.
TOP = 2**63 - 1

FileVersion = tuple[int, int] | None


class News:
    """The news of one cassette. Raises ``StoreError``."""

    def __init__(self, path: Path, readers: Readers, keys: Keys) -> None:
        self._path = path
        self._readers = readers
        self._keys = keys
        #: The number of the reader through which the rows have been counted one by one.
        self._counted: int | None = None

    def version(self) -> FileVersion:
        """Differs once anybody has committed."""
        return self._readers.version(self._path)

    def page(self, below: int) -> tuple[int, list[dict[str, Any]], list[int]]:
        """Where the next page begins, and the unknown requests among the newest below an id.

        The next page begins at 0 if none is needed. Of large requests only the ids are given.
        """
        limits = {"below": below, "limit": PAGE}
        ids = [row[0] for row in self._readers.read(self._path, statements.NEWEST_IDS, limits)]
        if any(later <= earlier for later, earlier in pairwise([below, *ids])):
            raise damage(self._path, "its interactions are not in the order of their ids")
        unknown = self._keys.unknown(self._path, ids)
        rows: list[dict[str, Any]] = []
        large: list[int] = []
        for number in unknown:
            try:
                request = self._readers.read(self._path, statements.READ_REQUEST, {"id": number})
            except LargeRow:
                large.append(number)
            else:
                rows += [dict(row) for row in request]
        return (ids[-1] if unknown and len(ids) == PAGE else 0), rows, large

    def is_all(self) -> bool:
        """Whether as many interactions are known as the cassette has."""
        number = self._readers.number(self._path)
        is_counted = number is not None and number == self._counted
        sql = statements.COUNT_IDS_AGAIN if is_counted else statements.COUNT_IDS
        rows = self._readers.read(self._path, sql)
        self._counted = number
        return (rows[0][0] if rows else 0) == self._keys.size(self._path)

    def unknown(self) -> Sequence[int]:
        """The unknown ids of the whole cassette; ids that it no longer has are removed.

        Takes a tenth of a second for 100,000 recordings, so it runs in a thread.
        """
        if not self._path.exists():
            stored = set[int]()
        else:
            try:
                with closing(open_to_read(self._path, busy_ms=0)) as connection:
                    StepLimit(connection, self._path)
                    stored = {row[0] for row in connection.execute(statements.ALL_IDS)}
            except ERRORS as error:
                raise trouble(self._path, error) from error
        known = set(self._keys.ids(self._path))
        self._keys.remove(self._path, known - stored)
        return sorted(stored - known)
