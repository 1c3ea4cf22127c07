"""``DiffSide``: one of the two states that ``diff`` compares."""

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
    """A cassette, and those of its interactions that replay uses, or used before a take."""

    archive: Archive
    state: State

    @cached_property
    def checksums(self) -> Mapping[int, int]:
        """The checksum of every interaction. Reads the whole table."""
        return {number: checksum for number, _, _, checksum in self.archive.stamps()}

    def answers(self, key: str) -> list[tuple[Any, ...]]:
        """The answers of a request, in order of replay."""
        return [self.answer(number) for number in self.state[key]]

    def answer(self, number: int) -> tuple[Any, ...]:
        """The status, media type and body of an interaction."""
        interaction = self.interaction(number)
        return interaction.status, interaction.media_type, interaction.body

    def interaction(self, number: int) -> Interaction:
        """The interaction with this id."""
        return self.archive.interaction(number)
