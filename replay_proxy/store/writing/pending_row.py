"""``PendingRow``: an interaction on its way into a cassette, and where it is stored there."""

import logging
from dataclasses import replace
from pathlib import Path

from replay_proxy.cassette import Interaction
from replay_proxy.store.sqlite.rows import Row, to_row

logger = logging.getLogger("replay_proxy")


class PendingRow:
    """Makes the row of an interaction once the writer knows its take and its id.

    ``take`` is the take that it belongs to in any case; None leaves that to the writer.
    """

    def __init__(self, interaction: Interaction, take: int | None) -> None:
        self.interaction = interaction
        self.take = 0
        self._take = take
        self._wanted = interaction.id

    @property
    def size(self) -> int:
        """About how many bytes the row has."""
        return len(self.interaction.request.body) + len(self.interaction.body)

    def row(self, take_id: int, number: int) -> Row:
        """The row under this id. The last one that is made is the one that is stored."""
        self.take = take_id if self._take is None else self._take
        if number != self.interaction.id:
            self.interaction = replace(self.interaction, id=number)
        return to_row(self.interaction, self.take)

    def warn(self, path: Path) -> None:
        """Say in the log if it has another id than it should have had."""
        if self.interaction.id != self._wanted:
            logger.warning(
                "Cassette %s: interaction %d is of another process. What came in the same "
                "microsecond is stored as %d; a stream's header has named the other id.",
                *(path, self._wanted, self.interaction.id),
            )
