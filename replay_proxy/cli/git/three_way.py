"""The three-way merge of a cassette, as git needs it: two branches with a common base.

It decides request by request. A request that only one branch has changed is taken from that branch.
If both have recorded it again with different answers, only a person knows which are right: that is
a conflict, and ours stays for now.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction

#: The rows of one request: per id, the take and the checksum.
_State = dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A request that both branches recorded again, and the interactions that replay would use."""

    fingerprint: str
    ours: tuple[int, ...]
    theirs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """The changes that turn our cassette into the merged one, and the conflicts that remain."""

    #: Interactions of theirs to add, or to put in place of ours with the same id.
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
    """Turn our cassette's file into the merged one. Raises ``StoreError``."""
    with Archive(theirs) as archive, transaction(ours) as change:
        for take in archive.takes():
            change.add_take(take)
        for number in merge.deleted:
            change.delete(number)
        for number in merge.added:
            change.add(*archive.in_take(number))


def add_recorded_since(versions: tuple[Path, ...], now: Path, merged: Path) -> None:
    """Add to a merged file what ``now`` has and no version has. Raises ``StoreError``."""
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
    """The rows that replay uses: those of the newest take, in order of arrival."""
    newest = _take(state)
    return {number: row for number, row in state.items() if row[0] == newest}


def _winner(
    base: Archive | None, ours: Archive, theirs: Archive, was: _State, our: _State, their: _State
) -> _State | None:
    """The rows that replay should use: those of the branch that has changed the answers.

    None if both branches have changed them, in different ways.
    """
    our_answers, their_answers = _answers(ours, our), _answers(theirs, their)
    if our_answers == their_answers:
        return max(our, their, key=_take)
    if base is None or (before := _answers(base, was)) not in (our_answers, their_answers):
        return None
    return their if before == our_answers else our


def _answers(archive: Archive, numbers: Iterable[int]) -> list[tuple[Any, ...]]:
    answers = (archive.interaction(number) for number in numbers)
    return [(answer.status, answer.media_type, answer.body) for answer in answers]


def _union(was: _State, our: _State, their: _State, winner: _State) -> _State:
    """The winner, and the older rows that both branches have kept or one has added.

    No other row of the winner's take, or of a later one, stays: replay would use it.
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
