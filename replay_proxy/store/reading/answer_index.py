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
    """Looks interactions up by key, once it is ready."""

    async def ready(self) -> None:
        """Return when all that was recorded is known. Raises ``StoreError``."""
        ...

    def some(self, key: str, n: int, limit: int) -> Sequence[int]:
        """Up to ``limit`` ids from number ``n`` on."""
        ...

    def count(self, key: str) -> int:
        """How many there are."""
        ...

    def current(self, after: IndexPlace | None) -> tuple[Sequence[int], IndexPlace | None]:
        """Some of the ids that a key leads to, from a place on, and the place to go on from."""
        ...

    def newest_take(self, interaction: Interaction) -> int | None:
        """The newest take with an answer to its request, whose answers replay uses, if any."""
        ...

    def added(self, interaction: Interaction, take_id: int) -> None:
        """Know of an interaction that was recorded just now."""
        ...

    def missing(self) -> None:
        """Hear that an interaction is not there any more."""
        ...

    def leads_to(self, key: str, found: Interaction) -> bool:
        """Whether what was found by its id is of the request that the key stands for.

        Raises ``CassetteDamaged`` if the file contradicts itself.
        """
        ...

    def knows(self, version: FileVersion) -> bool:
        """Whether what is answered is of this version of the cassette."""
        ...

    async def renew(self) -> None:
        """Know what others have committed. Raises ``StoreError``."""
        ...

    async def complete(self) -> bool:
        """Know what others have committed or deleted, even if it takes long; whether it did."""
        ...


class FingerprintIndex:
    """Answers by the column ``fingerprint`` and its index: nothing is kept in memory."""

    def __init__(self, path: Path, readers: Readers) -> None:
        self._path = path
        self._readers = readers

    async def ready(self) -> None:
        """The index is."""

    def some(self, key: str, n: int, limit: int) -> Sequence[int]:
        """Up to ``limit`` ids from number ``n`` on."""
        return self._ids(statements.ANSWERS, fingerprint=key, n=n, limit=limit)

    def count(self, key: str) -> int:
        """How many there are."""
        return sum(self._ids(statements.COUNT_ANSWERS, fingerprint=key))

    def current(self, after: IndexPlace | None) -> tuple[Sequence[int], IndexPlace | None]:
        """Some of the ids that a key leads to, from a place on, and the place to go on from."""
        rows = self._readers.read(self._path, statements.CURRENT, start_at(after))
        check_order(self._path, after, rows)
        return page_of(rows)

    def newest_take(self, interaction: Interaction) -> int | None:
        """The newest take with an answer to its fingerprint."""
        found = self._ids(statements.NEWEST_TAKE_OF, fingerprint=interaction.fingerprint)
        return found[0] if found else None

    def added(self, interaction: Interaction, take_id: int) -> None:
        """The index knows by itself."""

    def missing(self) -> None:
        """The index knows by itself."""

    def leads_to(self, key: str, found: Interaction) -> bool:
        """Compare the fingerprints of the index and of the row."""
        if found.fingerprint != key:
            cause = f"its index leads to interaction {found.id} of another request"
            raise damage(self._path, cause)
        return True

    def knows(self, version: FileVersion) -> bool:
        """The index is of every version."""
        return True

    async def renew(self) -> None:
        """The index needs no renewal."""

    async def complete(self) -> bool:
        """The index is complete."""
        return False

    def _ids(self, sql: str, **parameters: Any) -> list[int]:
        return [row[0] for row in self._readers.read(self._path, sql, parameters)]
