"""``RuleIndex``: answers by a rule's keys, which are computed from the stored requests."""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

from replay_proxy.cassette import Interaction, RecordedRequest
from replay_proxy.matching.replacements import PatternTooSlow
from replay_proxy.matching.rules import Rule
from replay_proxy.store.files.access import open_to_read
from replay_proxy.store.files.troubles import ERRORS, damage, trouble
from replay_proxy.store.reading.keys import HEADER_BITS, KeyEntry, Keys
from replay_proxy.store.reading.merged_requests import warn_of_merged
from replay_proxy.store.reading.news import TOP, FileVersion, News
from replay_proxy.store.reading.order import IndexPlace, in_id_order, page_of, start_at
from replay_proxy.store.reading.patience import Patience, insist_aside
from replay_proxy.store.reading.readers import Readers
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.rows import Row, to_recorded_request
from replay_proxy.store.sqlite.step_limit import StepLimit

#: Number of requests read at a time.
_BATCH = 64


class RuleIndex:
    """Answers by a rule's keys, which no column holds: ``keys``, filled at the first use.

    Filling it reads every request of the cassette once, in a thread. It goes on when the clients
    that wait for it leave, so a later attempt finds it done. From then on, only what others commit
    is read.
    """

    def __init__(
        self, path: Path, readers: Readers, patience: Patience, rule: Rule, keys: Keys
    ) -> None:
        self._path = path
        self._patience = patience
        self._rule = rule
        self._keys = keys
        self._news = News(path, readers, keys)
        self._version: FileVersion = None
        #: The version that was compared completely, or counted.
        self._complete: FileVersion = None
        self._doubtful = False
        self._turn = asyncio.Lock()
        self._is_read = False
        self._reading: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Wait until the cassette, if there is one, has been read. Raises ``StoreError``."""
        if self._is_read or not self._path.exists():
            return
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    def knows(self, version: FileVersion) -> bool:
        """Whether the quick look has seen this version, or a newer one."""
        return version == self._version

    async def renew(self) -> None:
        """Take a quick look at what others have committed."""
        await self.ready()
        async with self._turn:
            await self._renew()

    async def complete(self) -> bool:
        """Read all that is there now. Returns whether the quick look had missed something."""
        await self.ready()
        async with self._turn:
            version = await self._renew()
            if version == self._complete and not self._doubtful:
                return False
            missed = self._doubtful or not await self._patience.run(self._path, self._news.is_all)
            if missed:
                await insist_aside(self._compare)
            self._complete, self._doubtful = version, False
            return missed

    def some(self, key: str, n: int, limit: int) -> Sequence[int]:
        """Up to ``limit`` ids from number ``n`` on."""
        return self._keys.some(self._path, key, n, limit)

    def count(self, key: str) -> int:
        """The number of answers to a key."""
        return self._keys.count(self._path, key)

    def current(self, after: IndexPlace | None) -> tuple[Sequence[int], IndexPlace | None]:
        """A page of the ids that replay can use, and the place where the next page begins."""
        return page_of(self._keys.page(self._path, **start_at(after)))

    def newest_take(self, interaction: Interaction) -> int | None:
        """The newest take that has an answer to its key."""
        return self._keys.newest_take(self._path, self._rule.key(interaction.request))

    def added(self, interaction: Interaction, take_id: int) -> None:
        """Add the interaction without reading the file."""
        self._keys.put(self._path, [self._entry_of(interaction, take_id)])

    def missing(self) -> None:
        """Compare everything at the next miss."""
        self._doubtful = True

    def leads_to(self, key: str, interaction: Interaction) -> bool:
        """Compare the row with the one its key was made from, by ``_mark``: it may be replaced.

        Making the key again would cost as much as for the request itself.
        """
        if self._keys.mark(self._path, interaction.id) == _mark(interaction):
            return True
        self._keys.remove(self._path, [interaction.id])  # The next miss reads it again.
        self.missing()
        return False

    async def _renew(self) -> FileVersion:
        version = await self._patience.run(self._path, self._news.version)
        if version == self._version:
            return version
        if self._version is not None and (version is None or version[0] != self._version[0]):
            self._keys.forget(self._path)  # The name is another file's now.
        below = TOP
        while below:
            page = partial(self._news.page, below)
            below, rows, large = await self._patience.run(self._path, page)
            if rows:
                await asyncio.to_thread(self._put, rows)
            if large:
                await insist_aside(partial(self._put_stored, large))
        self._version = version
        return version

    async def _read(self) -> None:
        try:
            await insist_aside(self._put_stored)
            await insist_aside(self._warn)
            self._is_read = True
        finally:
            self._reading = None

    def _warn(self) -> None:
        """Log whether the rule makes different recorded requests one."""
        requests, keys, ids = self._keys.merged(self._path)
        rows = [row for batch in self._batches(ids) for row in batch]
        if len(rows) > 1:
            example = [to_recorded_request(row) for row in rows]
            warn_of_merged(self._path, self._rule, requests, keys, example)

    def _compare(self) -> None:
        self._put_stored(self._news.unknown())

    def _put_stored(self, ids: Sequence[int] | None = None) -> None:
        """Put the keys of these interactions, or of all interactions."""
        for batch in self._batches(ids):
            self._put(batch)

    def _batches(self, ids: Sequence[int] | None) -> Iterator[list[Row]]:
        """The requests of these interactions, or of all interactions."""
        sql = statements.ALL_REQUESTS if ids is None else statements.READ_REQUEST
        try:
            with closing(open_to_read(self._path, busy_ms=0)) as connection:
                connection.row_factory = sqlite3.Row
                steps = StepLimit(connection, self._path)
                for parameters in [{}] if ids is None else [{"id": number} for number in ids]:
                    steps.begin()
                    rows = in_id_order(self._path, connection.execute(sql, parameters))
                    while (batch := list(islice(rows, _BATCH))) and not self._keys.closed:
                        yield [dict(row) for row in batch]
        except ERRORS as error:
            raise trouble(self._path, error) from error

    def _put(self, rows: Sequence[Row]) -> None:
        self._keys.put(self._path, [self._entry(row) for row in rows])

    def _entry(self, row: Row) -> KeyEntry:
        try:
            return self._entry_of(to_recorded_request(row), row["take_id"])
        except ValueError as error:
            raise damage(self._path, f"interaction {row['id']}: {error}") from error
        except PatternTooSlow as error:
            place = f"The text is in interaction {row['id']} of cassette {self._path.stem}"
            raise PatternTooSlow(f"{error.message} {place}.") from None

    def _entry_of(self, recorded: Interaction | RecordedRequest, take_id: int) -> KeyEntry:
        return self._rule.key(recorded.request), take_id, recorded.id, _mark(recorded)


def _mark(recorded: Interaction | RecordedRequest) -> int:
    """A number for everything that a key can depend on; another request has another number."""
    bits = (1 << HEADER_BITS) - 1
    headers = hash(recorded.request.headers) & bits
    return (hash(recorded.fingerprint) & bits) << HEADER_BITS | headers
