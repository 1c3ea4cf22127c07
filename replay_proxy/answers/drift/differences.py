"""The differences of two shapes, each as a finding. Pure; part of ``drift``."""

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from replay_proxy.answers.drift.shape import ElementKind, Path, Place, Shape
from replay_proxy.matching.leaves import step

#: Places in which a new word is another end, even in addition to the recorded one.
_ENDS = ("finish_reason", "status")
#: Arrays that a model may fill or leave empty.
_MAY_BE_EMPTY = frozenset({"logprobs", "summary", "top_logprobs"})
_ABSENT = "absent"


class Change(enum.Enum):
    """What happened to a place. An addition does not break a careful program."""

    REMOVED = "removed"
    ADDED = "added"
    CHANGED = "changed"
    WORDING = "wording"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: where it is, and as text what was recorded there and what is there now.

    ``path`` is a JSONPath in the answer (``$.choices[*].message.content``); of events that have a
    type, in the event and after its type (``response.completed: $.response.usage``); or a word for
    what is not in the JSON (``status``, ``media type``, ``streaming``, ``end``, ``events``,
    ``text``, ``reasoning``, ``tool calls``).
    """

    change: Change
    path: str
    recorded: str
    now: str


def differences(old: Shape, new: Shape) -> Iterator[Finding]:
    """Every place in which two shapes differ, without those below a place that only one has."""
    for path in [*old, *(path for path in new if path not in old)]:
        shown = _shown(path, old, new)
        before, after = old.get(path), new.get(path)
        if before and after:
            yield from _changes(shown, path, before, after)
        if path and isinstance(path[-1], str):
            yield from _presence(shown, path, old, new)


def differences_of_events(old: Shape, new: Shape) -> Iterator[Finding]:
    """The same for the events of two streams. Chunks are compared if both have their kind."""
    kinds = [{kind for kind in each[()].kinds if kind.filter} for each in (old, new)]
    if found := _difference("events", _words(kinds[0]), _words(kinds[1])):
        yield found
    below = [{path: place for path, place in each.items() if path} for each in (old, new)]
    yield from differences(below[0], below[1])


def _changes(shown: str, path: Path, before: Place, after: Place) -> Iterator[Finding]:
    """The differences at a place that both shapes have."""
    new = after.types - before.types
    # Arguments that had not come yet may be there now.
    if new and (before.types or not all(each.endswith("string") for each in new)):
        yield Finding(Change.CHANGED, shown, _types(before), _types(after))
    if found := _difference(shown, before.values, after.values):
        ends = path[-1] in _ENDS and found.change is Change.ADDED
        yield Finding(Change.CHANGED, shown, *_both(before.values, after.values)) if ends else found
    # A place that is not an array any more has been reported already.
    optional = path and path[-1] in _MAY_BE_EMPTY and not (before.kinds and after.kinds)
    if before.types == after.types and not optional:
        kinds = _words(before.kinds), _words(after.kinds)
        if found := _difference(f"{shown}[*]", *kinds):
            vague = found.change is Change.ADDED and _lost_its_name(before.kinds, after.kinds)
            yield Finding(Change.CHANGED, found.path, *_both(*kinds)) if vague else found


def _presence(shown: str, path: Path, old: Shape, new: Shape) -> Iterator[Finding]:
    """Whether some objects lack a member that all of them had, or there is a new member."""
    old_of, new_of = (each[path[:-1]].objects if path[:-1] in each else 0 for each in (old, new))
    if not old_of or not new_of:
        return  # There is nothing that could have it.
    before, after = old.get(path, Place()), new.get(path, Place())
    if not before.count:
        yield Finding(Change.ADDED, shown, _ABSENT, _types(after))
    elif not after.count:
        yield Finding(Change.REMOVED, shown, _types(before), _ABSENT)
    elif before.count == old_of and after.count < new_of:
        now = f"in {after.count} of {new_of}"
        yield Finding(Change.REMOVED, shown, f"in all {old_of}", now)


def _difference(shown: str, before: set[str], after: set[str]) -> Finding | None:
    gone, came = before - after, after - before
    if not gone and not came:
        return None
    if gone and came:
        return Finding(Change.CHANGED, shown, *_both(before, after))
    if gone:
        return Finding(Change.REMOVED, shown, _listed(gone), _ABSENT)
    return Finding(Change.ADDED, shown, _ABSENT, _listed(came))


def _lost_its_name(before: set[ElementKind], after: set[ElementKind]) -> bool:
    """Whether a new kind of elements is a recorded one without its type or its tool's name."""
    return any(
        {*kind.words.split()} < {*known.words.split()}
        for kind in after - before
        for known in before
    )


def _both(before: set[str], after: set[str]) -> tuple[str, str]:
    return _listed(before), _listed(after)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _words(kinds: Iterable[ElementKind]) -> set[str]:
    return {kind.words or "elements" for kind in kinds}


def _types(place: Place) -> str:
    return " or ".join(sorted(place.types)) or "present"


def _shown(path: Path, old: Shape, new: Shape) -> str:
    """A path as text; elements are told apart if there is more than one kind of them."""
    shown, event = "$", ""
    for place, each in enumerate(path):
        if isinstance(each, str):
            shown += step(each)
        elif place == 0 and () not in old:
            event = f"{each.filter}: " if each.filter else ""
        else:
            kinds = {
                kind
                for shape in (old, new)
                if (above := shape.get(path[:place]))
                for kind in above.kinds
            }
            shown += f"[?{each.filter}]" if len(kinds) > 1 and each.filter else "[*]"
    return event + shown
