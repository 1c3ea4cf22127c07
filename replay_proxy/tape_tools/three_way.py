"""The three-way merge of a cassette, as git needs it: what two branches made of one base.

Requests are judged one by one. What only one branch has touched is taken from it. Where both have
recorded a request again, and with other answers, nobody but a person can tell which is right: a
conflict, in which ours stays for the time being.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replay_proxy.store.archive import Archive
from replay_proxy.store.change import changing

_ROWS = "SELECT id, take_id, fingerprint, checksum FROM interaction ORDER BY fingerprint, id"
_ANSWER = "SELECT status, media_type, body FROM interaction WHERE id = :id"

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


def three_way(
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
            conflict = Conflict(fingerprint, _current(our), _current(their))
            if _agree(base, ours, theirs, _current(was), conflict):
                merged = _united(was, our, their)
            else:
                conflicts.append(conflict)
                merged = their if fingerprint in prefer_theirs else our
        added += [number for number, row in merged.items() if our.get(number) != row]
        deleted += [number for number in our if number not in merged]
    return Merge(tuple(sorted(added)), tuple(sorted(deleted)), tuple(conflicts))


def apply(merge: Merge, theirs: Path, ours: Path) -> None:
    """Make of our cassette's file the merged one. Raises ``StoreError``."""
    with Archive(theirs) as archive, changing(ours) as change:
        for take in archive.takes():
            change.add_take(take)
        for number in merge.deleted:
            change.delete(number)
        takes = {row["id"]: row["take_id"] for row in archive.query(_ROWS)} if merge.added else {}
        for number in merge.added:
            interaction = archive.interaction(number)
            assert interaction is not None
            change.add(takes[number], interaction)


def recorded_since(versions: tuple[Path, ...], now: Path, merged: Path) -> None:
    """Put into a merged file what ``now`` has and no version that was merged. ``StoreError``."""
    known: set[int] = set()
    for version in versions:
        if version.stat().st_size:
            with Archive(version) as archive:
                known.update(row["id"] for row in archive.query(_ROWS))
    with Archive(now) as archive, changing(merged) as change:
        for take in archive.takes():
            change.add_take(take)
        for row in list(archive.query(_ROWS)):
            if row["id"] not in known:
                interaction = archive.interaction(row["id"])
                assert interaction is not None
                change.add(row["take_id"], interaction)


def _states(archive: Archive) -> dict[str, _State]:
    states: dict[str, _State] = {}
    for row in archive.query(_ROWS):
        states.setdefault(row["fingerprint"], {})[row["id"]] = row["take_id"], row["checksum"]
    return states


def _current(state: _State) -> tuple[int, ...]:
    """What replay uses: the newest take, in order of arrival."""
    newest = max((take for take, _ in state.values()), default=0)
    return tuple(number for number, (take, _) in state.items() if take == newest)


def _agree(
    base: Archive | None, ours: Archive, theirs: Archive, was: tuple[int, ...], now: Conflict
) -> bool:
    """Whether replay gets the same answers from both branches, or one left them as they were."""
    our, their = _answers(ours, now.ours), _answers(theirs, now.theirs)
    return our == their or (base is not None and _answers(base, was) in (our, their))


def _answers(archive: Archive, numbers: tuple[int, ...]) -> list[tuple[Any, ...]]:
    def read() -> Iterator[tuple[Any, ...]]:
        for number in numbers:
            yield from (tuple(row) for row in archive.query(_ANSWER, {"id": number}))

    return list(read())


def _united(was: _State, our: _State, their: _State) -> _State:
    """What both have left or one has added; of one that both have changed, theirs is as good."""
    return {
        number: their.get(number, our.get(number, (0, 0)))
        for number in our.keys() | their.keys()
        if not (number in was and (number not in our or number not in their))
    }
