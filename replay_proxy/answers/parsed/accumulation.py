"""The sum of a stream's events: the object that the same answer is without ``stream``.

Pure, and linear in the stream (``joining``). Texts that came in deltas are joined; of everything
else the last value counts. Sources: the streaming events of OpenAI's chat, completions, responses,
assistants and audio APIs, and what compatible hosts were recorded to send.
"""

from collections.abc import Iterable
from typing import Any

from replay_proxy.answers.parsed.joining import JoinedList, JoinedObject, add, plain

#: Events: the name or type, and the JSON object, of each.
Events = list[tuple[str, dict[str, Any]]]

#: Where a delta of ``/v1/responses`` belongs in its item: the list, the type of the part in it,
#: and the part's member. Without a list, the member is the item's own.
_DELTAS = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
    "response.function_call_arguments.delta": ("", "", "arguments"),
    "response.mcp_call_arguments.delta": ("", "", "arguments"),
    "response.code_interpreter_call_code.delta": ("", "", "code"),
    "response.custom_tool_call_input.delta": ("", "", "input"),
}
#: The largest position in a list that a stream may name.
_MOST = 10_000


def accumulated(steps: Iterable[tuple[str, Any]]) -> dict[str, Any] | None:
    """The object of a stream, given each event's name or type and its JSON; None without any.

    ``error`` is the error that the stream reported, if any. Chat choices keep their ``delta``,
    joined. Assistants' objects are a list, as from their API.
    """
    events: Events = [(kind, value) for kind, value in steps if isinstance(value, dict)]
    if not events:
        return None
    if any(isinstance(value.get("choices"), list) for _, value in events):
        total = _choices(events)
    elif any(kind.startswith("response.") for kind, _ in events):
        total = _response(events)
    elif any(kind.startswith("thread.") for kind, _ in events):
        total = _objects(events)
    else:
        total = _anything(events)
    for kind, value in events:
        if kind == "error" or value.get("error"):
            total["error"] = value.get("error") or value
    return total


def _choices(events: Events) -> dict[str, Any]:
    """Chat completions and legacy completions."""
    total: dict[str, Any] = {}
    choices: dict[int, JoinedObject] = {}
    for _, value in events:
        # Azure begins with an empty id, model and object.
        total |= {key: member for key, member in value.items() if member or key not in total}
        deltas = value.get("choices")
        for delta in deltas if isinstance(deltas, list) else []:
            if isinstance(delta, dict):
                index = delta.get("index")
                place = index if isinstance(index, int) else 0
                _add_choice(choices.setdefault(place, JoinedObject({})), delta)
    return total | {"choices": [plain(choices[place]) for place in sorted(choices)]}


def _add_choice(choice: JoinedObject, now: dict[str, Any]) -> None:
    for key, delta in now.items():
        # Some hosts repeat the whole message in every chunk: the last one counts.
        if key == "message" and delta is not None:
            choice.members[key] = delta
        else:
            choice.add(key, delta)


def _response(events: Events) -> dict[str, Any]:
    """``/v1/responses``: the object of the last event, or as much of it as there is."""
    response: dict[str, Any] = {}
    items: dict[int, JoinedObject] = {}
    for kind, value in events:
        if isinstance(value.get("response"), dict):
            response = value["response"]
        place = _place(value.get("output_index"))
        if isinstance(value.get("item"), dict):
            items[place] = JoinedObject(value["item"])
        elif kind in _DELTAS and isinstance(value.get("delta"), str):
            _extend(items.setdefault(place, JoinedObject({})), kind, value)
    output = response.get("output")
    if isinstance(output, list) and output:
        return dict(response)
    return response | {"output": [plain(items[place]) for place in sorted(items)]}


def _extend(item: JoinedObject, kind: str, value: dict[str, Any]) -> None:
    """Add one more delta to an item of a response's output."""
    into, type_, name = _DELTAS[kind]
    if not into:
        item.add(name, value["delta"])
        return
    parts = item.members.get(into)
    if not isinstance(parts, JoinedList):
        parts = item.members[into] = JoinedList(parts if isinstance(parts, list) else [])
    place = _place(value.get("content_index", value.get("summary_index")))
    while len(parts.elements) <= place:
        parts.elements.append({"type": type_})
    part = parts.elements[place]
    if not isinstance(part, JoinedObject):
        part = parts.elements[place] = JoinedObject(part if isinstance(part, dict) else {})
    part.add(name, value["delta"])


def _place(index: Any) -> int:
    return index if isinstance(index, int) and 0 <= index < _MOST else 0


def _objects(events: Events) -> dict[str, Any]:
    """Assistants: the last state of every message, run and step that a stream is about."""
    objects: dict[str, Any] = {}
    for _, value in events:
        identity = value.get("id")
        if not isinstance(identity, str):
            continue
        delta = value.get("delta")
        if isinstance(delta, dict):
            objects[identity] = add(objects.get(identity, {}), delta)
        else:
            objects[identity] = value
    return {"object": "list", "data": [plain(each) for each in objects.values()]}


def _anything(events: Events) -> dict[str, Any]:
    """Other streams, such as a transcription: the last of each member, and the deltas joined."""
    total: dict[str, Any] = {}
    for _, value in events:
        total |= value
    deltas = [value["delta"] for _, value in events if isinstance(value.get("delta"), str)]
    return {"text": "".join(deltas)} | total if deltas else total
