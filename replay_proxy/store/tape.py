"""``Tape``: a cassette in a SQLite file. Nothing is loaded in advance, so size does not matter.

Reads are indexed look-ups on the event loop (tens of microseconds); the writer's thread writes.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from replay_proxy.cassette import Counts, Interaction, RecordedRequest
from replay_proxy.errors import StoreError
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.matching.nearness import features_to_look_up
from replay_proxy.settings import Repeats
from replay_proxy.store.deck import Deck
from replay_proxy.store.files.quarantine import kept_cassettes
from replay_proxy.store.files.troubles import damage
from replay_proxy.store.reading.answer_index import AnswerIndex, FingerprintIndex, IndexPlace
from replay_proxy.store.reading.candidates import nearest_requests
from replay_proxy.store.reading.large_rows import LargeAnswer
from replay_proxy.store.reading.readers import LargeRow
from replay_proxy.store.reading.rule_index import RuleIndex
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.lookups import row_value
from replay_proxy.store.sqlite.rows import Row, replayable, to_recorded_request
from replay_proxy.store.writing.pending_row import PendingRow
from replay_proxy.wire import Request

logger = logging.getLogger("replay_proxy")

T = TypeVar("T")


class Tape:
    """Implements ``Cassette`` over one file, which recording creates when it is missing."""

    def __init__(self, name: str, path: Path, deck: Deck) -> None:
        self.name = name
        self._path = path
        # Attributes of its own: looking up an answer reads them several times.
        self._readers, self._cache, self._patience = deck.readers, deck.cache, deck.patience
        self._writer, self._fills_gaps = deck.writer, deck.fills_gaps
        self._positions, self._repeats = deck.positions, deck.repeats
        self._aside, self._large = deck.aside, deck.large
        self._request = partial(self._sound, statements.READ_REQUEST, to_recorded_request)
        self._counted: tuple[tuple[int, int], Counts] | None = None
        #: Recordings of this process that the index of answers knows; they enter after the commit.
        self._added = 0
        self._exact = deck.rule.exact
        self._answers: AnswerIndex = FingerprintIndex(path, deck.readers)
        if deck.keys is not None:
            self._answers = RuleIndex(path, deck.readers, deck.patience, deck.rule, deck.keys)

    def check(self) -> None:
        """Raise ``StoreError`` if there is a file that cannot be used."""
        self._readers.version(self._path)

    async def next_answer(self, key: str, counted_as: str | None = None) -> Interaction | None:
        """The next answer to this key; see ``Playable.next_answer``."""
        counter = counted_as or key
        await self._answers.ready()
        cached = await self._patience.run(self._path, partial(self._cached, key))
        if cached is not None:
            return cached
        answer, is_current = await self._patience.run(
            self._path, partial(self._next_if_current, key, counter)
        )
        if not is_current:
            await self._answers.renew()
            answer = await self._patience.run(self._path, partial(self._next, key, counter))
        if answer is None and await self._answers.complete():
            answer = await self._patience.run(self._path, partial(self._next, key, counter))
        if isinstance(answer, LargeAnswer):
            if (large := await self._large.interaction(self._path, answer.id)) is not None:
                return self._checked(large, key, answer.version)
            self._answers.missing()
            return None
        return answer

    async def add(self, interaction: Interaction) -> int:
        """Commit an interaction; see ``Recordable.add``."""
        if self._writer is None:
            raise StoreError("is open for reading only.", thing=f"Cassette {self._path}")
        take = None
        if self._fills_gaps:
            newest = partial(self._answers.newest_take, interaction)
            take = await self._patience.run(self._path, newest)
        row = PendingRow(interaction, take)
        try:
            await self._writer.write(self._path, interaction.id, row.make, row.size)
        except StoreError:
            if take is None:
                raise
            # The name may be another file's now, without that take.
            row = PendingRow(interaction, None)
            await self._writer.write(self._path, interaction.id, row.make, row.size)
        row.warn(self._path)
        self._answers.added(row.interaction, row.take_id)
        self._added += 1
        return row.interaction.id

    async def answer_count(self, key: str) -> int:
        """The number of answers to a key; see ``Catalogue.answer_count``."""
        await self._answers.complete()
        return await self._patience.run(self._path, partial(self._answers.count, key))

    async def near(self, request: Request) -> list[RecordedRequest]:
        """Requests that share the most and the rarest features; see ``Catalogue.near``."""
        size = len(request.body)
        features = await self._aside.run(partial(features_to_look_up, request), size)
        near = await nearest_requests(features, size, read=self._read, request=self._request)
        same = near.get(fingerprint(request)) if self._exact else None
        if same is not None and not await self.answer_count(same.fingerprint):
            raise damage(self._path, f"its index hides interaction {same.id}")
        return list(near.values())

    def rewind(self) -> None:
        """Start over; see ``Playable.rewind``."""
        self._positions.rewind(self.name)

    async def unused(self, used: Collection[int]) -> list[int]:
        """What no request has used; see ``Catalogue.unused``."""
        await self._answers.complete()
        unused: list[int] = []
        after: IndexPlace | None = None
        while True:
            page = partial(self._answers.current, after)
            ids, after = await self._patience.run(self._path, page)
            unused += [number for number in ids if number not in used]
            if after is None:
                return sorted(unused)
            await asyncio.sleep(0)

    async def ids(self, key: str, limit: int) -> Sequence[int]:
        """The first interactions of a key; see ``Catalogue.ids``."""
        return await self._patience.run(self._path, partial(self._answers.some, key, 0, limit))

    async def requests(self, ids: Sequence[int]) -> list[RecordedRequest]:
        """The requests of these interactions; see ``Catalogue.requests``."""
        return [found for number in ids if (found := await self._request(number)) is not None]

    async def body(self, interaction: int) -> bytes:
        """An answer's body; see ``Catalogue.body``."""
        recorded = await self._sound(statements.READ_INTERACTION, replayable, interaction)
        return recorded.body if recorded is not None else b""

    async def counts(self) -> Counts | None:
        """How much there is; see ``Catalogue.counts``."""
        return await self._patience.run(self._path, self._count)

    def kept_cassettes(self) -> list[str]:
        """What a replaced file held; see ``Catalogue.kept_cassettes``."""
        return kept_cassettes(self._path)

    def _count(self) -> Counts | None:
        version = self._readers.version(self._path)
        if version is None:
            return None
        if self._counted is None or self._counted[0] != version:
            counts = Counts(*self._readers.read(self._path, statements.COUNT_INTERACTIONS)[0])
            self._counted = version, counts
        return self._counted[1]

    def _cached(self, key: str) -> Interaction | None:
        """The cached answer, if nobody has committed since: one statement, no transaction."""
        version = self._readers.version(self._path)
        return self._cache.get(self._path, key, (version, self._added))

    def _next_if_current(
        self, key: str, counter: str
    ) -> tuple[Interaction | LargeAnswer | None, bool]:
        """The next answer, and True; None and False if others have committed since."""
        with self._readers.one_state(self._path):
            version = self._readers.version(self._path)
            if not self._answers.knows(version):
                return None, False
            return self._cached_or_read(key, counter, version), True

    def _next(self, key: str, counter: str) -> Interaction | LargeAnswer | None:
        """The next answer that the index knows; others may have committed again meanwhile."""
        with self._readers.one_state(self._path):
            return self._cached_or_read(key, counter, self._readers.version(self._path))

    def _cached_or_read(
        self, key: str, counter: str, file_version: Hashable
    ) -> Interaction | LargeAnswer | None:
        version = file_version, self._added
        cached = self._cache.get(self._path, key, version)
        return cached if cached is not None else self._look_up(key, counter, version)

    def _look_up(
        self, key: str, counter: str, version: Hashable
    ) -> Interaction | LargeAnswer | None:
        first = self._answers.some(key, 0, 2)
        if not first:
            return None
        answer = first[0]
        repeats = len(first) > 1 or self._repeats is Repeats.FAIL
        if repeats:
            n = self._positions.advance(self.name, counter)
            count = self._answers.count(key) if self._repeats is not Repeats.FAIL else n + 1
            n = n % count if self._repeats is Repeats.CYCLE else min(n, count - 1)
            nth = self._answers.some(key, n, 1)
            if not nth:
                return None
            answer = nth[0]
        try:
            rows = self._readers.read(self._path, statements.READ_INTERACTION, {"id": answer})
        except LargeRow:
            return LargeAnswer(answer, None if repeats else version)
        interaction = row_value(self._path, replayable, answer, rows)
        if interaction is None:
            self._answers.missing()
            return None
        return self._checked(interaction, key, None if repeats else version)

    def _checked(self, answer: Interaction, key: str, version: Hashable) -> Interaction | None:
        """The answer, cached for this version; None if it is another request's."""
        if not self._answers.leads_to(key, answer):
            return None
        if version is not None:
            self._cache.put(self._path, key, version, answer)
        return answer

    async def _sound(self, sql: str, convert: Callable[[Row], T], number: int) -> T | None:
        try:
            rows = await self._read(sql, {"id": number})
        except LargeRow:
            return await self._large.read(self._path, sql, convert, number)
        return row_value(self._path, convert, number, rows)

    async def _read(self, sql: str, parameters: dict[str, Any]) -> list[Any]:
        read = partial(self._readers.read, self._path, sql, parameters)
        return await self._patience.run(self._path, read)
