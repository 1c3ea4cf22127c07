"""The differences of two shapes, each as a finding. Pure; part of ``drift``."""

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from replay_proxy.answers.drift.shape import ElementKind, Path, Place, Shape
from replay_proxy.matching.leaves import step

#: Members that say how an answer ended: a new value there is a change, never just an addition.
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

    ``path`` is a JSONPath in the answer (``$.choices[*].message.content``). For a member of a typed
    event it is the type and the path in the event (``response.completed: $.response.usage``). What
    is not in the JSON has a name: ``status``, ``media type``, ``streaming``, ``end``, ``events``,
    ``text``, ``reasoning``, ``tool calls``.
    """

    change: Change
    path: str
    recorded: str
    now: str


def differences(old: Shape, new: Shape) -> Iterator[Finding]:
    """Every place in which two shapes differ, without those below a place that only one has."""
    for path in [*old, *(path for path in new if path not in old)]:
        text = _path_text(path, old, new)
        before, after = old.get(path), new.get(path)
        if before and after:
            yield from _changes(text, path, before, after)
        if path and isinstance(path[-1], str):
            yield from _presence(text, path, old, new)


def differences_of_events(old: Shape, new: Shape) -> Iterator[Finding]:
    """The same for the events of two streams. Chunks are compared if both have their kind."""
    kinds = [{kind for kind in side[()].kinds if kind.filter} for side in (old, new)]
    if finding := _difference("events", _words(kinds[0]), _words(kinds[1])):
        yield finding
    below = [{path: place for path, place in side.items() if path} for side in (old, new)]
    yield from differences(below[0], below[1])


def _changes(text: str, path: Path, before: Place, after: Place) -> Iterator[Finding]:
    """The differences at a place that both shapes have."""
    new = after.types - before.types
    # Arguments that had not arrived when this was recorded may be there now.
    if new and (before.types or not all(type_.endswith("string") for type_ in new)):
        yield Finding(Change.CHANGED, text, _types(before), _types(after))
    if finding := _difference(text, before.values, after.values):
        if path[-1] in _ENDS and finding.change is Change.ADDED:
            finding = Finding(Change.CHANGED, text, *_both(before.values, after.values))
        yield finding
    # A place that is not an array any more has been reported already.
    optional = path and path[-1] in _MAY_BE_EMPTY and not (before.kinds and after.kinds)
    if before.types == after.types and not optional:
        kinds = _words(before.kinds), _words(after.kinds)
        if finding := _difference(f"{text}[*]", *kinds):
            if finding.change is Change.ADDED and _lost_its_name(before.kinds, after.kinds):
                finding = Finding(Change.CHANGED, finding.path, *_both(*kinds))
            yield finding


def _presence(text: str, path: Path, old: Shape, new: Shape) -> Iterator[Finding]:
    """The finding about a member that is new, gone, or missing in objects that all had it."""
    old_of, new_of = (side[path[:-1]].objects if path[:-1] in side else 0 for side in (old, new))
    if not old_of or not new_of:
        return  # One side has no object that could have the member.
    before, after = old.get(path, Place()), new.get(path, Place())
    if not before.count:
        yield Finding(Change.ADDED, text, _ABSENT, _types(after))
    elif not after.count:
        yield Finding(Change.REMOVED, text, _types(before), _ABSENT)
    elif before.count == old_of and after.count < new_of:
        now = f"in {after.count} of {new_of}"
        yield Finding(Change.REMOVED, text, f"in all {old_of}", now)


def _difference(text: str, before: set[str], after: set[str]) -> Finding | None:
    gone, came = before - after, after - before
    if not gone and not came:
        return None
    if gone and came:
        return Finding(Change.CHANGED, text, *_both(before, after))
    if gone:
        return Finding(Change.REMOVED, text, _enumeration(gone), _ABSENT)
    return Finding(Change.ADDED, text, _ABSENT, _enumeration(came))


def _lost_its_name(before: set[ElementKind], after: set[ElementKind]) -> bool:
    """Whether a new kind of elements is a recorded one without its type or its tool's name."""
    return any(
        {*kind.words.split()} < {*known.words.split()}
        for kind in after - before
        for known in before
    )


def _both(before: set[str], after: set[str]) -> tuple[str, str]:
    return _enumeration(before), _enumeration(after)


def _enumeration(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _words(kinds: Iterable[ElementKind]) -> set[str]:
    return {kind.words or "elements" for kind in kinds}


def _types(place: Place) -> str:
    return " or ".join(sorted(place.types)) or "present"


def _path_text(path: Path, old: Shape, new: Shape) -> str:
    """A path as text; elements are told apart if there is more than one kind of them."""
    text, event = "$", ""
    for place, part in enumerate(path):
        if isinstance(part, str):
            text += step(part)
        elif place == 0 and () not in old:
            event = f"{part.filter}: " if part.filter else ""
        else:
            kinds = {
                kind
                for shape in (old, new)
                if (above := shape.get(path[:place]))
                for kind in above.kinds
            }
            text += f"[?{part.filter}]" if len(kinds) > 1 and part.filter else "[*]"
    return event + text
