"""``PendingRow``: an interaction whose take and id the writer decides."""

import logging
from dataclasses import replace
from pathlib import Path

from replay_proxy.cassette import Interaction
from replay_proxy.store.sqlite.rows import Row, to_row

logger = logging.getLogger("replay_proxy")


class PendingRow:
    """Makes the row of an interaction once the writer knows its take and its id.

    ``take_id`` is the take that it must belong to; None leaves that to the writer.
    """

    def __init__(self, interaction: Interaction, take_id: int | None) -> None:
        self.interaction = interaction
        self.take_id = 0
        self._required = take_id
        self._wanted = interaction.id

    @property
    def size(self) -> int:
        """Approximate size of the row, in bytes."""
        return len(self.interaction.request.body) + len(self.interaction.body)

    def make(self, take_id: int, number: int) -> Row:
        """The row under this id. The last one that is made is the one that is stored."""
        self.take_id = take_id if self._required is None else self._required
        if number != self.interaction.id:
            self.interaction = replace(self.interaction, id=number)
        return to_row(self.interaction, self.take_id)

    def warn(self, path: Path) -> None:
        """Log a warning if it is stored under another id than its own."""
        if self.interaction.id != self._wanted:
            logger.warning(
                "Cassette %s: interaction %d is of another process. What came in the same "
                "microsecond is stored as %d; a stream's header has named the other id.",
                *(path, self._wanted, self.interaction.id),
            )
