"""What a cassette holds, ``Interaction`` and ``Take``, and what each of its users needs of it.

``Recordable`` is for what records, ``Playable`` for what replays, ``Catalogue`` for what explains
a miss, writes the report, or compares; ``Cassette`` is all three. No storage here: ``store``
implements them.

A method is ``async`` where it may have to wait: for a lock that another process has on the file,
for a large row that a thread reads, or for a commit.
"""

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from replay_proxy.timeline import Timeline
from replay_proxy.wire import Headers, Request, header, is_event_stream


@dataclass(frozen=True, slots=True)
class Interaction:
    """One request and its whole answer.

    ``id`` orders interactions by the arrival of their requests and is unique over all cassettes
    (``interaction_id``). Headers are those that may be stored. A large interaction holds a
    ``lease`` on its memory (``bounds.room``), so whoever keeps the body keeps the lease.
    """

    id: int
    fingerprint: str
    request: Request
    status: int
    headers: Headers
    body: bytes
    timeline: Timeline
    lease: object = field(default=None, repr=False, compare=False)

    @property
    def media_type(self) -> str | None:
        """The ``content-type`` of the answer."""
        value = header(self.headers, b"content-type")
        return value.decode("latin-1") if value else None

    @property
    def streams(self) -> bool:
        """Whether the answer is an event stream."""
        return is_event_stream(self.headers)


@dataclass(frozen=True, slots=True)
class Take:
    """One recording run. ``id`` sorts takes by when they began; ``run`` is unique."""

    id: int
    run: str
    started_us: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a cassette holds: interactions, and distinct fingerprints among them."""

    interactions: int
    fingerprints: int


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A recorded request without its answer."""

    id: int
    fingerprint: str
    request: Request


class Recordable(Protocol):
    """A cassette as a recorder needs it."""

    async def add(self, interaction: Interaction) -> int:
        """Store an interaction. When this returns, it survives the end of the process.

        Returns the id under which it is stored, which is another id of the same microsecond if
        another exchange already has its own. An interaction that this process has added under the
        same id is replaced. Raises ``StoreError``.
        """
        ...

    def rewind(self) -> None:
        """Let the next request get the first answer again."""
        ...


class Playable(Protocol):
    """A cassette as a player needs it."""

    @property
    def name(self) -> str:
        """The name that a request or the setting ``CASSETTE`` uses."""
        ...

    async def next_answer(self, key: str, counted_as: str | None = None) -> Interaction | None:
        """The next answer to a request with this key (``Rule.key``), or None if there is none.

        The N-th call gets the N-th answer of the newest take that has any, in the order in which
        the requests arrived. After the last one the store's setting decides (``Repeats``).
        Calls are counted by ``counted_as``, by default the key. Raises ``StoreError``.
        """
        ...

    def rewind(self) -> None:
        """Let the next request get the first answer again."""
        ...


class Catalogue(Protocol):
    """What a cassette holds, for users that do not replay it. Nothing in here changes it."""

    @property
    def name(self) -> str:
        """The name that a request or the setting ``CASSETTE`` uses."""
        ...

    async def counts(self) -> Counts | None:
        """How much the cassette holds, or None if it does not exist. Raises ``StoreError``."""
        ...

    async def answer_count(self, key: str) -> int:
        """The number of answers to this key, used or not. Raises ``StoreError``."""
        ...

    async def ids(self, key: str, limit: int) -> Sequence[int]:
        """The first ``limit`` interactions that answer this key. Raises ``StoreError``."""
        ...

    async def unused(self, used: Collection[int]) -> list[int]:
        """The interactions that replay could use, without ``used``. Raises ``StoreError``."""
        ...

    async def near(self, request: Request) -> list[RecordedRequest]:
        """The recorded requests that are most likely similar to this one.

        Raises ``StoreError``.
        """
        ...

    async def requests(self, ids: Sequence[int]) -> list[RecordedRequest]:
        """The requests of those of these interactions that exist. Raises ``StoreError``."""
        ...

    async def body(self, interaction: int) -> bytes:
        """The answer's body; empty if there is no such interaction. Raises ``StoreError``."""
        ...

    def kept_cassettes(self) -> list[str]:
        """The cassettes that hold what was in this one when its file was replaced."""
        ...


class Cassette(Recordable, Playable, Catalogue, Protocol):
    """A named sequence of interactions."""


#: The number of ids per microsecond.
_IDS = 1 << 11


def interaction_id(arrived_us: int, process_number: int) -> int:
    """An id that sorts by arrival and is almost always unique without coordination.

    The arrival in microseconds since 1970, shifted by 11 bits, plus a number that tells processes
    apart: 63 bits last until 2112. ``arrived_us`` does not repeat within a process (``Arrivals``).
    Whoever stores an interaction checks that its id is free, and otherwise uses the next free one
    of ``same_microsecond``.
    """
    return arrived_us * _IDS | process_number % _IDS


def same_microsecond(id_: int) -> Iterator[int]:
    """All ids of the microsecond of this one, which comes first."""
    first = id_ - id_ % _IDS
    return (first + (id_ + step) % _IDS for step in range(_IDS))


def process_number() -> int:
    """A number for ``interaction_id``, drawn at random when a process starts.

    Process ids do not distinguish processes: in every container one is 1.
    """
    return secrets.randbelow(_IDS)
