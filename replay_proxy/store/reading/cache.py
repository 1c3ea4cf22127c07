"""``Cache``: interactions that were read lately, so that what is asked for again is not read again.

Bounded in bytes, over all cassettes, so that memory does not grow with what they hold. Whether one
is still what the file says is told by the file's version, which the caller gives.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path

from replay_proxy.cassette import Interaction

#: So much is kept, by estimate.
MOST_BYTES = 24 * 1024 * 1024
#: When it is full, one in so many drives others out: of a cassette that is asked for from end to
#: end a part stays that is found again, and what is asked for often comes in soon enough.
ONE_IN = 16
#: What an interaction takes besides what it says, and each of its chunks.
_BYTES, _CHUNK_BYTES = 2_000, 80


class Cache:
    """The interactions that keys of cassettes led to; those unused for longest go first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._refused = 0
        self._kept: OrderedDict[tuple[Path, str], tuple[Hashable, Interaction]] = OrderedDict()

    def get(self, cassette: Path, key: str, version: Hashable) -> Interaction | None:
        """What the key led to in this version of the cassette, if it is known."""
        found = self._kept.get((cassette, key))
        if found is None or found[0] != version:
            return None
        self._kept.move_to_end((cassette, key))
        return found[1]

    def put(self, cassette: Path, key: str, version: Hashable, interaction: Interaction) -> None:
        """Keep what the key leads to in this version, in place of any other."""
        replaced = self._kept.pop((cassette, key), None)
        if replaced is not None:
            self._bytes -= _size(replaced[1])
        size = _size(interaction)
        if self._bytes + size > self._most_bytes:
            self._refused += 1
            if self._refused % ONE_IN or size > self._most_bytes:
                return
        if interaction.lease is not None:
            interaction = replace(interaction, lease=None)  # What is kept has a bound of its own.
        self._kept[cassette, key] = version, interaction
        self._bytes += size
        while self._bytes > self._most_bytes:
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= _size(gone)


def _size(interaction: Interaction) -> int:
    request = interaction.request
    size = _BYTES + len(interaction.body) + len(request.body) + len(request.query)
    size += sum([len(name) + len(value) for name, value in interaction.headers])
    return size + _CHUNK_BYTES * len(interaction.timeline.ends)
