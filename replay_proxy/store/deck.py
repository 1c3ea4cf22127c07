"""``Deck``: what the tapes of one store share, made once and closed once."""

from dataclasses import dataclass, field

from replay_proxy.bounds.side_thread import SideThread
from replay_proxy.matching.rules import Rule
from replay_proxy.settings import Repeats
from replay_proxy.store.reading.cache import Cache
from replay_proxy.store.reading.keys import Keys
from replay_proxy.store.reading.large_rows import LargeRows
from replay_proxy.store.reading.patience import Patience
from replay_proxy.store.reading.positions import Positions
from replay_proxy.store.reading.readers import Readers
from replay_proxy.store.writing.writer import Writer


@dataclass(frozen=True)
class Deck:
    """Without a ``writer``, tapes can only be read. A rule that is not exact needs ``keys``.

    ``fills_gaps`` is whether a recording joins the take that already has its request, or else the
    newest take.
    """

    writer: Writer | None
    fills_gaps: bool
    repeats: Repeats
    rule: Rule
    keys: Keys | None
    positions: Positions
    readers: Readers = field(default_factory=Readers)
    cache: Cache = field(default_factory=Cache)
    large: LargeRows = field(default_factory=LargeRows)
    patience: Patience = field(default_factory=Patience)
    aside: SideThread = field(default_factory=SideThread)

    def close(self) -> None:
        """Finish writing, and close every file."""
        self.aside.close()
        self.large.close()
        self.readers.close()
        if self.writer is not None:
            self.writer.close()
        self.positions.close()
        if self.keys is not None:
            self.keys.close()
