"""The three-way merge of a cassette, as git needs it: what two branches made of one base.

Requests are judged one by one. What only one branch has touched is taken from it. Where both have
recorded a request again, and with other answers, nobody but a person can tell which is right: a
conflict, in which ours stays for the time being.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction

#: The rows of one request: by id, the take and the checksum.
_State = dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A request that both branches have recorded anew: the interactions that replay would use."""

    fingerprint: str
    ours: tuple[int, ...]
    theirs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """What turns ours into the merged cassette, and what a person has to decide."""

    #: Interactions of theirs to be added, or put in place of one of the same id.
    added: tuple[int, ...]
    deleted: tuple[int, ...]
    conflicts: tuple[Conflict, ...]


def three_way_merge(
    base: Archive | None, ours: Archive, theirs: Archive, *, prefer_theirs: frozenset[str]
) -> Merge:
    """The merge of two branches; conflicts of the fingerprints in ``prefer_theirs`` take theirs."""
    sides = tuple({} if side is None else _states(side) for side in (base, ours, theirs))
    added: list[int] = []
    deleted: list[int] = []
    conflicts: list[Conflict] = []
    for fingerprint in sorted(sides[1].keys() | sides[2].keys() | sides[0].keys()):
        was, our, their = (side.get(fingerprint, {}) for side in sides)
        if our == their or their == was:
            continue
        merged = their
        if our != was:
            current = tuple(_current(side) for side in (was, our, their))
            winner = _winner(base, ours, theirs, *current)
            if winner is None:
                conflicts.append(Conflict(fingerprint, *map(tuple, current[1:])))
                merged = their if fingerprint in prefer_theirs else our
            else:
                merged = _union(was, our, their, winner)
        added += [number for number, row in merged.items() if our.get(number) != row]
        deleted += [number for number in our if number not in merged]
    return Merge(tuple(sorted(added)), tuple(sorted(deleted)), tuple(conflicts))


def apply(merge: Merge, theirs: Path, ours: Path) -> None:
    """Make of our cassette's file the merged one. Raises ``StoreError``."""
    with Archive(theirs) as archive, transaction(ours) as change:
        for take in archive.takes():
            change.add_take(take)
        for number in merge.deleted:
            change.delete(number)
        for number in merge.added:
            change.add(*archive.in_take(number))


def add_recorded_since(versions: tuple[Path, ...], now: Path, merged: Path) -> None:
    """Put into a merged file what ``now`` has and no version that was merged. ``StoreError``."""
    known: set[int] = set()
    for version in versions:
        if version.stat().st_size:
            with Archive(version) as archive:
                known.update(number for number, *_ in archive.stamps())
    with Archive(now) as archive, transaction(merged) as change:
        for take in archive.takes():
            change.add_take(take)
        for number, *_ in list(archive.stamps()):
            if number not in known:
                change.add(*archive.in_take(number))


def _states(archive: Archive) -> dict[str, _State]:
    states: dict[str, _State] = {}
    for number, take_id, fingerprint, checksum in archive.stamps():
        states.setdefault(fingerprint, {})[number] = take_id, checksum
    return states


def _current(state: _State) -> _State:
    """What replay uses: the newest take, in order of arrival."""
    newest = _take(state)
    return {number: row for number, row in state.items() if row[0] == newest}


def _winner(
    base: Archive | None, ours: Archive, theirs: Archive, was: _State, our: _State, their: _State
) -> _State | None:
    """What replay is to use: of the branch that has changed its answers what it uses there.

    None if both have, each in its own way.
    """
    our_answers, their_answers = _answers(ours, our), _answers(theirs, their)
    if our_answers == their_answers:
        return max(our, their, key=_take)
    if base is None or (before := _answers(base, was)) not in (our_answers, their_answers):
        return None
    return their if before == our_answers else our


def _answers(archive: Archive, numbers: Iterable[int]) -> list[tuple[Any, ...]]:
    found = (archive.interaction(number) for number in numbers)
    return [(each.status, each.media_type, each.body) for each in found]


def _union(was: _State, our: _State, their: _State, winner: _State) -> _State:
    """What both have left or one has added, beside what replay is to use.

    Of the take of that and of later ones nothing else stays, or replay would use it.
    """
    older = {
        number: row
        for number, row in (our | their).items()
        if row[0] < _take(winner)
        and not (number in was and (number not in our or number not in their))
    }
    return older | winner


def _take(state: _State) -> int:
    """The newest take."""
    return max((take for take, _ in state.values()), default=0)
