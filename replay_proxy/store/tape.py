"""``Tape``: a cassette in a SQLite file.

Reads are indexed look-ups on the event loop (tens of microseconds); writes go through the writer's
thread. Nothing is loaded ahead, so that size does not matter.
"""

from pathlib import Path
from typing import Any

from replay_proxy.cassette import Counts, Interaction
from replay_proxy.errors import StoreError
from replay_proxy.store import tables
from replay_proxy.store.files import damaged
from replay_proxy.store.positions import Positions
from replay_proxy.store.readers import Readers
from replay_proxy.store.rows import from_row, to_row
from replay_proxy.store.writer import Writer


class Tape:
    """Implements ``Cassette`` over one file, which recording creates when it is missing.

    Without a ``writer`` it can only be read.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        readers: Readers,
        writer: Writer | None,
        positions: Positions,
    ) -> None:
        self.name = name
        self._path = path
        self._readers = readers
        self._writer = writer
        self._positions = positions

    def check(self) -> None:
        """Raise ``StoreError`` if there is a file that cannot be used."""
        self._read("SELECT 1")

    async def take(self, fingerprint: str) -> Interaction | None:
        """The next answer to this fingerprint; see ``Cassette.take``."""
        key: dict[str, Any] = {"fingerprint": fingerprint}
        first = self._read(tables.ANSWERS, key | {"limit": 2, "n": 0})
        if not first:
            return None
        answer = first[0]
        if len(first) > 1:
            n = self._positions.advance(self.name, fingerprint)
            nth = self._read(tables.ANSWERS, key | {"limit": 1, "n": n})
            answer = nth[0] if nth else self._read(tables.LAST_ANSWER, key)[0]
        row = self._read(tables.READ_INTERACTION, {"id": answer[0]})[0]
        try:
            return from_row(dict(row))
        except ValueError as error:
            raise damaged(self._path, f"interaction {answer[0]}: {error}") from error

    async def add(self, interaction: Interaction) -> None:
        """Commit an interaction; see ``Cassette.add``."""
        if self._writer is None:
            raise StoreError(f"Cassette {self._path} is open for reading only.")
        await self._writer.write(self._path, lambda take_id: to_row(interaction, take_id))

    async def counts(self) -> Counts | None:
        """How much there is; see ``Cassette.counts``."""
        rows = self._read(tables.COUNT_INTERACTIONS)
        return Counts(*rows[0]) if rows else None

    def _read(self, sql: str, parameters: dict[str, Any] | None = None) -> list[Any]:
        return self._readers.read(self._path, sql, parameters)
