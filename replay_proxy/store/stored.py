"""Which answers of a recording are in the cassette, once its proxy has ended."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, NamedTuple

from replay_proxy.errors import ReplayProxyError
from replay_proxy.matching.miss import summary
from replay_proxy.store.archive import Archive


class Stored(NamedTuple):
    """The recorded interactions that are stored, and requests with ``fewer`` answers than before.

    Replay uses the newest take of a request even if an older one has more answers to it, for
    example because the new recording was interrupted.
    """

    interactions: list[str]
    fewer: list[dict[str, Any]]


def stored(cassette: Path, recorded: Sequence[str]) -> Stored:
    """Which of the recorded interactions are stored; none if the cassette cannot be read."""
    if not recorded:
        return Stored([], [])
    try:
        with Archive(cassette) as archive:
            held = [number for number in recorded if archive.holds(int(number))]
    except ReplayProxyError:
        return Stored([], [])
    return Stored(held, fewer_answers(cassette, map(int, held)))


def fewer_answers(cassette: Path, recorded: Iterable[int]) -> list[dict[str, Any]]:
    """The requests of these interactions that have fewer answers than in the take before."""
    try:
        with Archive(cassette) as archive:
            counts = _fewer(archive, set(recorded)) if len(archive.takes()) > 1 else {}
            return [
                {"interaction": str(number), **summary(archive.request(number).request)}
                | {"answers_total": now, "answers_total_before": before}
                for number, (now, before) in counts.items()
            ]
    except ReplayProxyError:
        return []


def _fewer(archive: Archive, new: AbstractSet[int]) -> dict[int, tuple[int, int]]:
    """The numbers of answers now and before, by the last recorded interaction of each request."""
    counts = {}
    for takes in archive.answers().by_take.values():
        if len(takes) > 1:
            before, now = (takes[take] for take in sorted(takes)[-2:])
            if len(now) < len(before) and not new.isdisjoint(now):
                counts[now[-1]] = len(now), len(before)
    return counts
