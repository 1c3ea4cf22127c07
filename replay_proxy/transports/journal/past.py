"""``Past``: what was noted on cassettes before they were rewound, for the verdict of a run."""

from dataclasses import replace

from replay_proxy.transports.journal.entry import Entry

#: The most cassettes with a past, and the most losses that are kept, over all of them.
KEPT_CASSETTES, KEPT_LOSSES = 1_000, 10_000


class Past:
    """The losses, and the numbers of answers and misses, of entries that were removed."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._losses = 0

    def add(self, cassette: str, entry: Entry) -> None:
        """Add an entry that is removed. Losses beyond the limit are only counted."""
        past = self.entries.get(cassette)
        if past is None:
            if len(self.entries) >= KEPT_CASSETTES:
                return
            past = Entry()
        added = _sum(Entry(), entry)
        if self._losses + len(added.losses) > KEPT_LOSSES:
            added.more_losses += len(added.losses)
            added.losses = {}
        self._losses += len(added.losses.keys() - past.losses.keys())
        self.entries[cassette] = _sum(added, past)

    def keep(self, cassette: str, key: str, arrived_us: int) -> None:
        """Forget the loss of a request whose answer is stored now."""
        past = self.entries.get(cassette)
        lost = past.losses.get((cassette, key)) if past is not None else None
        if past is not None and lost is not None and lost.arrived_us < arrived_us:
            del past.losses[cassette, key]
            self._losses -= 1

    def with_entry(self, cassette: str, entry: Entry) -> Entry:
        """The entry of a cassette, with what was before it."""
        past = self.entries.get(cassette)
        return entry if past is None else _sum(entry, past)


def _sum(entry: Entry, past: Entry) -> Entry:
    return replace(
        entry,
        answers=entry.answers + past.answers,
        recorded_total=entry.recorded_total + past.recorded_total,
        losses=past.losses | entry.losses,
        more_misses=entry.more_misses + past.more_misses + len(past.misses),
        more_losses=entry.more_losses + past.more_losses,
    )
