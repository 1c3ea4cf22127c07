"""``Cache``: interactions that were read recently, so that they are not read again.

Bounded in bytes over all cassettes, so memory does not grow with what they hold. The caller gives
the file's version, which tells whether a cached interaction is still what the file holds.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path

from replay_proxy.cassette import Interaction

#: Maximum estimated size of the cache.
MOST_BYTES = 24 * 1024 * 1024
#: Once the cache is full, one new entry in ONE_IN is admitted. A cassette that is read end to end
#: would otherwise evict itself before anything is asked for twice.
ONE_IN = 16
#: Estimated overhead of an interaction, and of each of its chunks.
_BYTES, _CHUNK_BYTES = 2_000, 80


class Cache:
    """The answers to keys of cassettes; the least recently used are evicted first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._refused = 0
        self._entries: OrderedDict[tuple[Path, str], tuple[Hashable, Interaction]] = OrderedDict()

    def get(self, cassette: Path, key: str, version: Hashable) -> Interaction | None:
        """The answer to the key in this version of the cassette, if it is cached."""
        place = cassette, key
        entry = self._entries.get(place)
        if entry is None or entry[0] != version:
            return None
        self._entries.move_to_end(place)
        return entry[1]

    def put(self, cassette: Path, key: str, version: Hashable, interaction: Interaction) -> None:
        """Cache the answer to the key in this version, in place of any other."""
        replaced = self._entries.pop((cassette, key), None)
        if replaced is not None:
            self._bytes -= _size(replaced[1])
        size = _size(interaction)
        if self._bytes + size > self._most_bytes:
            self._refused += 1
            if self._refused % ONE_IN or size > self._most_bytes:
                return
        if interaction.lease is not None:
            interaction = replace(interaction, lease=None)  # The cache has a bound of its own.
        self._entries[cassette, key] = version, interaction
        self._bytes += size
        while self._bytes > self._most_bytes:
            _, (_, gone) = self._entries.popitem(last=False)
            self._bytes -= _size(gone)


def _size(interaction: Interaction) -> int:
    request = interaction.request
    size = _BYTES + len(interaction.body) + len(request.body) + len(request.query)
    size += sum([len(name) + len(value) for name, value in interaction.headers])
    return size + _CHUNK_BYTES * len(interaction.timeline.ends)
