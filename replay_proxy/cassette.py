"""What a tape is: ``Interaction``, the recorded pair; ``Take``, a run; ``Cassette``, the sequence.

No storage here; ``store`` implements ``Cassette``, and the parts that record and replay know only
this page.
"""

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from replay_proxy.timeline import Timeline
from replay_proxy.wire import Headers, Request, header


@dataclass(frozen=True, slots=True)
class Interaction:
    """One request and its whole answer.

    ``id`` orders interactions by the arrival of their requests and is unique over all cassettes
    (``interaction_id``). Headers are those that may be stored. A large one that was read has a
    ``lease`` of the memory that it takes (``room``): whoever needs its body refers to it.
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
        found = header(self.headers, b"content-type")
        return found.decode("latin-1") if found else None

    @property
    def streams(self) -> bool:
        """Whether the answer is an event stream."""
        return (self.media_type or "").lower().startswith("text/event-stream")


@dataclass(frozen=True, slots=True)
class Take:
    """One recording run. ``id`` sorts takes by their beginning, ``run`` is unique."""

    id: int
    run: str
    started_us: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a cassette holds: interactions, and distinct fingerprints among them."""

    interactions: int
    fingerprints: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded request without its answer."""

    id: int
    fingerprint: str
    request: Request


class Cassette(Protocol):
    """A named sequence of interactions."""

    @property
    def name(self) -> str:
        """The name that a request or the setting ``CASSETTE`` uses."""
        ...

    async def take(self, key: str) -> Interaction | None:
        """The next answer to a request with this key (``Rule.key``), or None if there is none.

        The N-th call gets the N-th answer of the newest take that has any, in the order in which
        the requests arrived; what comes past the last one is the store's setting (``Repeats``).
        Raises ``StoreError``.
        """
        ...

    async def add(self, interaction: Interaction) -> int:
        """Store an interaction; when this returns it survives the end of the process.

        Returns the id under which it is stored: another one of the same microsecond if another
        exchange has its own. An interaction that this process has added under the same id is
        replaced. Raises ``StoreError``.
        """
        ...

    async def answers(self, key: str) -> int:
        """How many answers there are to this key, used or not. Raises ``StoreError``."""
        ...

    async def near(self, request: Request) -> list[Recorded]:
        """Recorded requests that are likely to be like this one. Raises ``StoreError``."""
        ...

    def rewind(self) -> None:
        """Let the next request get the first answer again."""
        ...

    async def unused(self, used: Collection[int]) -> list[int]:
        """The interactions that replay could use, less ``used``. Raises ``StoreError``."""
        ...

    async def ids(self, key: str, most: int) -> Sequence[int]:
        """The interactions that answer this key, the first ones. Raises ``StoreError``."""
        ...

    async def recorded(self, ids: Sequence[int]) -> list[Recorded]:
        """The requests of these interactions, as far as there are any. Raises ``StoreError``."""
        ...

    async def body(self, interaction: int) -> bytes:
        """The answer's body, empty when there is no such interaction. Raises ``StoreError``."""
        ...

    def kept(self) -> list[str]:
        """The cassettes with what was in this one when its file was replaced."""
        ...

    async def counts(self) -> Counts | None:
        """How much the cassette holds, or None when it does not exist. Raises ``StoreError``."""
        ...


#: How many ids there are for each microsecond.
_IDS = 1 << 11


def interaction_id(arrived_us: int, process_number: int) -> int:
    """An id that sorts by arrival and is almost always unique without asking anybody.

    The arrival in microseconds since 1970, shifted by 11 bits, plus a number that tells processes
    apart: 63 bits last until 2112. ``arrived_us`` does not repeat within a process (``Arrivals``).
    Whoever stores an interaction looks whether its id is free, and else takes another one of
    ``same_microsecond``.
    """
    return arrived_us * _IDS | process_number % _IDS


def same_microsecond(id_: int) -> Iterator[int]:
    """All ids that sort by the same arrival as this one, which is the first."""
    first = id_ - id_ % _IDS
    return (first + (id_ + step) % _IDS for step in range(_IDS))


def process_number() -> int:
    """A number for ``interaction_id``, drawn at random when a process starts.

    Ids of processes do not tell them apart: in a container each is 1.
    """
    return secrets.randbelow(_IDS)
