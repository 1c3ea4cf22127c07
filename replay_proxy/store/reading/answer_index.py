"""``AnswerIndex``: which interactions answer a key, in order of arrival, counted from 0.

They are those of the newest take that has the key. ``FingerprintIndex`` asks the file's index.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from replay_proxy.cassette import Interaction
from replay_proxy.store.files.troubles import damage
from replay_proxy.store.reading.news import FileVersion
from replay_proxy.store.reading.order import IndexPlace as IndexPlace
from replay_proxy.store.reading.order import check_order, page_of, start_at
from replay_proxy.store.reading.readers import Readers
from replay_proxy.store.sqlite import statements


class AnswerIndex(Protocol):
    """Looks up interactions by key, once it is ready."""

    async def ready(self) -> None:
        """Wait until everything that was recorded is known. Raises ``StoreError``."""
        ...

    def some(self, key: str, n: int, limit: int) -> Sequence[int]:
        """Up to ``limit`` ids from number ``n`` on."""
        ...

    def count(self, key: str) -> int:
        """The number of answers to a key."""
        ...

    def current(self, after: IndexPlace | None) -> tuple[Sequence[int], IndexPlace | None]:
        """A page of the ids that replay can use, and the place where the next page begins."""
        ...

    def newest_take(self, interaction: Interaction) -> int | None:
        """The newest take that has an answer to its request, if any: replay uses that take."""
        ...

    def added(self, interaction: Interaction, take_id: int) -> None:
        """Take note of an interaction that has just been recorded."""
        ...

    def missing(self) -> None:
        """Take note that an interaction no longer exists."""
        ...

    def leads_to(self, key: str, interaction: Interaction) -> bool:
        """Whether an interaction that was read by its id answers the key.

        Raises ``CassetteDamaged`` if the file contradicts itself.
        """
        ...

    def knows(self, version: FileVersion) -> bool:
        """Whether the index is of this version of the cassette."""
        ...

    async def renew(self) -> None:
        """Read what others have committed. Raises ``StoreError``."""
        ...

    async def complete(self) -> bool:
        """Read all that others have committed or deleted. Returns whether anything was missing.

        May take long.
        """
        ...


class FingerprintIndex:
    """Answers by the column ``fingerprint`` and its index: nothing is kept in memory."""

    def __init__(self, path: Path, readers: Readers) -> None:
        self._path = path
        self._readers = readers

    async def ready(self) -> None:
        """Always ready: the index is in the file."""

    def some(self, key: str, n: int, limit: int) -> Sequence[int]:
        """Up to ``limit`` ids from number ``n`` on."""
        return self._ids(statements.ANSWERS, fingerprint=key, n=n, limit=limit)

    def count(self, key: str) -> int:
        """The number of answers to a key."""
        return sum(self._ids(statements.COUNT_ANSWERS, fingerprint=key))

    def current(self, after: IndexPlace | None) -> tuple[Sequence[int], IndexPlace | None]:
        """A page of the ids that replay can use, and the place where the next page begins."""
        rows = self._readers.read(self._path, statements.CURRENT, start_at(after))
        check_order(self._path, after, rows)
        return page_of(rows)

    def newest_take(self, interaction: Interaction) -> int | None:
        """The newest take with an answer to its fingerprint."""
        takes = self._ids(statements.NEWEST_TAKE_OF, fingerprint=interaction.fingerprint)
        return takes[0] if takes else None

    def added(self, interaction: Interaction, take_id: int) -> None:
        """Nothing to do: the index is in the file."""

    def missing(self) -> None:
        """Nothing to do: the index is in the file."""

    def leads_to(self, key: str, interaction: Interaction) -> bool:
        """Compare the fingerprints of the index and of the row."""
        if interaction.fingerprint != key:
            cause = f"its index leads to interaction {interaction.id} of another request"
            raise damage(self._path, cause)
        return True

    def knows(self, version: FileVersion) -> bool:
        """The index in the file is of every version."""
        return True

    async def renew(self) -> None:
        """Nothing to do: the index is in the file."""

    async def complete(self) -> bool:
        """The index in the file is always complete."""
        return False

    def _ids(self, sql: str, **parameters: Any) -> list[int]:
        return [row[0] for row in self._readers.read(self._path, sql, parameters)]
