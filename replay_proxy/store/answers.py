"""Which interactions answer a key, in order: by the index of fingerprints, or by another rule.

Both look at the newest take that has the key, and count from 0.
"""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from replay_proxy.cassette import Interaction
from replay_proxy.matching import Rule
from replay_proxy.store import statements
from replay_proxy.store.files import ERRORS, open_to_read, trouble
from replay_proxy.store.keys import Entry, Keys
from replay_proxy.store.patience import insist_aside
from replay_proxy.store.readers import Readers
from replay_proxy.store.rows import to_recorded

#: The take of what this process records: newer than every take that was there before.
_NOW = 2**63 - 1
#: So many requests are read at a time.
_BATCH = 64


class Answers(Protocol):
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

    def current(self) -> Sequence[int]:
        """Every id that some key leads to, in order of arrival."""
        ...

    def added(self, interaction: Interaction) -> None:
        """Know of an interaction that was recorded just now."""
        ...


class ByFingerprint:
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

    def current(self) -> Sequence[int]:
        """Every id that some key leads to, in order of arrival."""
        return self._ids(statements.CURRENT)

    def added(self, interaction: Interaction) -> None:
        """The index knows by itself."""

    def _ids(self, sql: str, **parameters: Any) -> list[int]:
        return [row[0] for row in self._readers.read(self._path, sql, parameters)]


class ByRule:
    """Answers by a rule's keys, which no column holds: ``keys``, filled at the first use.

    That reads every request of the cassette once, in a thread. It goes on when those who wait for
    it leave, so that a client that is less patient finds it done when it asks again.
    """

    def __init__(self, path: Path, rule: Rule, keys: Keys) -> None:
        self._path = path
        self._rule = rule
        self._keys = keys
        self._is_read = False
        self._reading: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Wait until the cassette, if there is one, has been read. Raises ``StoreError``."""
        if self._is_read or not self._path.exists():
            return
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    def some(self, key: str, n: int, limit: int) -> Sequence[int]:
        """Up to ``limit`` ids from number ``n`` on."""
        return self._keys.some(self._path, key, n, limit)

    def count(self, key: str) -> int:
        """How many there are."""
        return self._keys.count(self._path, key)

    def current(self) -> Sequence[int]:
        """Every id that some key leads to, in order of arrival."""
        return self._keys.current(self._path)

    def added(self, interaction: Interaction) -> None:
        """Put what was recorded just now in place of older takes."""
        self._keys.put(self._path, [(self._rule.key(interaction.request), _NOW, interaction.id)])

    async def _read(self) -> None:
        try:
            await insist_aside(self._put_all)
            self._is_read = True
        finally:
            self._reading = None

    def _put_all(self) -> None:
        try:
            with closing(open_to_read(self._path, busy_ms=0)) as connection:
                rows = connection.execute(statements.ALL_REQUESTS)
                while (some := rows.fetchmany(_BATCH)) and not self._keys.closed:
                    self._keys.put(self._path, [self._entry(row) for row in some])
        except ERRORS as error:
            raise trouble(self._path, error) from error

    def _entry(self, row: Sequence[Any]) -> Entry:
        named = dict(zip(statements.REQUEST_COLUMNS, row, strict=True))
        return self._rule.key(to_recorded(named).request), named["take_id"], named["id"]
