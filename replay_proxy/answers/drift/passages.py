"""The events of a stream by what they do in it, so that like can be compared with like.

Pure; part of ``drift``. Events that have a name or a type are of that kind. Chunks of chat and
legacy completions are all of one type: there the first, the last, those that carry text, those
that carry a tool call, … are kinds of their own, since only some have members like ``usage`` or
``role``.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from replay_proxy.answers.drift.shape import ElementKind, Reading, kind_of
from replay_proxy.answers.parsed import Step
from replay_proxy.answers.transcript.utterance import dicts

#: For events whose strings are parts of a text or of JSON, which can be read only when joined.
_FRAGMENT = Reading(fragments=True)


def passages(steps: Iterable[Step], reading: Reading) -> Iterator[tuple[ElementKind, Any, Reading]]:
    """Every event with its kind, and how its strings are read.

    The filter of a kind is empty for chunks: they have no member that names the kind.
    """
    begun: set[int] = set()
    items: dict[str, str] = {}
    for step in steps:
        value = step.value
        members = value if isinstance(value, dict) else {}
        if "choices" in members or str(members.get("object")).endswith("chunk"):
            choices = dicts(members.get("choices"))
            yield ElementKind(_chunk(members, choices, begun)), value, _FRAGMENT
            begun |= {_index(choice) for choice in choices}
        else:
            words = _event(step.kind, members, items)
            is_fragment = step.kind.endswith(".delta")
            yield ElementKind(words, words), value, _FRAGMENT if is_fragment else reading


def _event(kind: str, value: dict[str, Any], items: dict[str, str]) -> str:
    """An event's kind and its subject: the item, the part, or the tool that was called before."""
    about = ""
    for member in ("item", "part"):
        if member in value:
            about = kind_of(value[member]).words
    identity = value.get("item_id")
    if isinstance(value.get("item"), dict):
        items[str(value["item"].get("id"))] = about
    elif "arguments" in value and isinstance(identity, str):
        about = items.get(identity, "")
    return f"{kind} {about}" if about else kind


def _chunk(value: dict[str, Any], choices: list[dict[str, Any]], begun: set[int]) -> str:
    if not choices:
        return "chunk with usage" if value.get("usage") else "chunk without choices"
    additions = {name for choice in choices for name in _additions(choice)}
    place = ""
    if any(isinstance(choice.get("finish_reason"), str) for choice in choices):
        place = "last "
    elif not begun.issuperset(map(_index, choices)):
        place = "first "
    return f"{place}chunk of {', '.join(sorted(additions)) or 'nothing'}"


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _additions(choice: dict[str, Any]) -> Iterator[str]:
    """What a chunk adds to a choice, and for a tool call whether the call begins."""
    delta = choice.get("delta")
    for name, value in (delta if isinstance(delta, dict) else {}).items():
        if value and name != "role":
            yield name
    for call in dicts(delta.get("tool_calls") if isinstance(delta, dict) else None):
        if call.get("id"):
            yield "a new call"
    if choice.get("text"):
        yield "text"
