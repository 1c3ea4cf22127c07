"""``DiffSide``: one of the two states of cassettes that are compared. Part of ``diff``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from replay_proxy.cassette import Interaction
from replay_proxy.store.archive import Archive

#: The interactions of each fingerprint, in order of arrival.
State = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class DiffSide:
    """One of the two that are compared."""

    archive: Archive
    state: State

    @cached_property
    def checksums(self) -> Mapping[int, int]:
        """That of every interaction; reading them reads the whole table."""
        return {number: checksum for number, _, _, checksum in self.archive.stamps()}

    def answers(self, key: str) -> list[tuple[Any, ...]]:
        """What replay sends to the request, time after time."""
        return [self.answer(number) for number in self.state[key]]

    def answer(self, number: int) -> tuple[Any, ...]:
        """What replay sends: status, media type and body."""
        found = self.interaction(number)
        return found.status, found.media_type, found.body

    def interaction(self, number: int) -> Interaction:
        """The whole of it."""
        return self.archive.interaction(number)
