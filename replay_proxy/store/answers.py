"""Which interactions answer a key, in order: by the index of fingerprints, or by another rule.

Both look at the newest take that has the key, and count from 0.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from replay_proxy.cassette import Interaction
from replay_proxy.matching import Rule
from replay_proxy.store import tables
from replay_proxy.store.files import open_to_read
from replay_proxy.store.readers import Readers
from replay_proxy.store.rows import to_recorded

#: The take of what this process records: newer than every take that was there before.
_NOW = 2**63


class Answers(Protocol):
    """Looks interactions up by key."""

    async def some(self, key: str, n: int, limit: int) -> Sequence[int]:
        """Up to ``limit`` ids from number ``n`` on."""
        ...

    async def count(self, key: str) -> int:
        """How many there are."""
        ...

    async def current(self) -> Sequence[int]:
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

    async def some(self, key: str, n: int, limit: int) -> Sequence[int]:
        """Up to ``limit`` ids from number ``n`` on."""
        return self._ids(tables.ANSWERS, fingerprint=key, n=n, limit=limit)

    async def count(self, key: str) -> int:
        """How many there are."""
        return sum(self._ids(tables.COUNT_ANSWERS, fingerprint=key))

    async def current(self) -> Sequence[int]:
        """Every id that some key leads to, in order of arrival."""
        return self._ids(tables.CURRENT)

    def added(self, interaction: Interaction) -> None:
        """The index knows by itself."""

    def _ids(self, sql: str, **parameters: Any) -> list[int]:
        return [row[0] for row in self._readers.read(self._path, sql, parameters)]


class ByRule:
    """Answers by a rule's keys, which no column holds: an index in memory, made at the first use.

    Making it reads every request of the cassette once (some seconds for 100,000).
    """

    def __init__(self, path: Path, rule: Rule) -> None:
        self._path = path
        self._rule = rule
        self._reading = asyncio.Lock()
        self._index: dict[str, tuple[int, list[int]]] | None = None
        #: Recorded while the index was not made yet.
        self._early: list[Interaction] = []

    async def some(self, key: str, n: int, limit: int) -> Sequence[int]:
        """Up to ``limit`` ids from number ``n`` on."""
        return (await self._known()).get(key, (0, []))[1][n : n + limit]

    async def count(self, key: str) -> int:
        """How many there are."""
        return len((await self._known()).get(key, (0, []))[1])

    async def current(self) -> Sequence[int]:
        """Every id that some key leads to, in order of arrival."""
        known = await self._known()
        return sorted(number for _, ids in known.values() for number in ids)

    def added(self, interaction: Interaction) -> None:
        """Put what was recorded just now in place of older takes."""
        if self._index is None:
            self._early.append(interaction)
        else:
            _put(self._index, self._rule.key(interaction.request), _NOW, interaction.id)

    async def _known(self) -> dict[str, tuple[int, list[int]]]:
        async with self._reading:
            if self._index is None and self._path.exists():
                self._index = await asyncio.to_thread(self._read)
                for interaction in self._early:
                    self.added(interaction)
                self._early.clear()
        return self._index or {}

    def _read(self) -> dict[str, tuple[int, list[int]]]:
        index: dict[str, tuple[int, list[int]]] = {}
        connection = open_to_read(self._path)
        try:
            for row in connection.execute(tables.ALL_REQUESTS):
                named = dict(zip(tables.REQUEST_COLUMNS, row, strict=True))
                key = self._rule.key(to_recorded(named).request)
                _put(index, key, named["take_id"], named["id"])
        finally:
            connection.close()
        return index


def _put(index: dict[str, tuple[int, list[int]]], key: str, take: int, number: int) -> None:
    newest, ids = index.get(key, (take, []))
    if take > newest or not ids:
        index[key] = take, [number]
    elif take == newest and number not in ids[-1:]:
        ids.append(number)
