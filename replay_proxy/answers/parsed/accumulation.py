"""The sum of a stream's events: the object that the same answer is without ``stream``.

Pure. Texts that came in deltas are joined; of everything else the last value counts. Sources: the
streaming events of OpenAI's chat, completions, responses, assistants and audio APIs, and what
compatible hosts were recorded to send.
"""

from collections.abc import Iterable
from typing import Any

#: Events: the name or type, and the JSON object, of each.
Events = list[tuple[str, dict[str, Any]]]

#: The members of a delta whose texts are joined; a repeated role, id or name is not.
_CONTINUED = frozenset(
    {
        "arguments",
        "code",
        "content",
        "data",
        "input",
        "reasoning",
        "reasoning_content",
        "refusal",
        "summary",
        "text",
        "thinking",
        "transcript",
        "value",
    }
)
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


def joined(before: Any, delta: Any, name: str = "") -> Any:
    """A value with a delta added: lists by their elements' ``index``, texts joined by ``name``.

    Neither of the two is changed.
    """
    if before is None or delta is None:
        return before if delta is None else delta
    if isinstance(before, dict) and isinstance(delta, dict):
        return before | {key: joined(before.get(key), part, key) for key, part in delta.items()}
    if isinstance(before, list):
        return _joined_lists(before, delta if isinstance(delta, list) else [delta])
    if isinstance(before, str) and isinstance(delta, str):
        return before + delta if name in _CONTINUED else delta or before
    return delta


def _joined_lists(before: list[Any], delta: list[Any]) -> list[Any]:
    total = list(before)
    places = {
        item["index"]: place
        for place, item in enumerate(total)
        if isinstance(item, dict) and isinstance(item.get("index"), int)
    }
    for item in delta:
        index = item.get("index") if isinstance(item, dict) else None
        if isinstance(index, int) and index in places:
            total[places[index]] = joined(total[places[index]], item)
        else:
            total.append(item)
            if isinstance(index, int):
                places[index] = len(total) - 1
    return total


def _choices(events: Events) -> dict[str, Any]:
    """Chat completions and legacy completions."""
    total: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for _, value in events:
        # Azure begins with an empty id, model and object.
        total |= {key: member for key, member in value.items() if member or key not in total}
        deltas = value.get("choices")
        for delta in deltas if isinstance(deltas, list) else []:
            if isinstance(delta, dict):
                index = delta.get("index")
                place = index if isinstance(index, int) else 0
                choices[place] = _choice(choices.get(place, {}), delta)
    return total | {"choices": [choices[place] for place in sorted(choices)]}


def _choice(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    choice = dict(before)
    for key, delta in now.items():
        # Some hosts repeat the whole message in every chunk: the last one counts.
        start = None if key == "message" and delta is not None else before.get(key)
        choice[key] = joined(start, delta, key)
    return choice


def _response(events: Events) -> dict[str, Any]:
    """``/v1/responses``: the object of the last event, or as much of it as there is."""
    response: dict[str, Any] = {}
    items: dict[int, dict[str, Any]] = {}
    for kind, value in events:
        if isinstance(value.get("response"), dict):
            response = value["response"]
        place = _place(value.get("output_index"))
        if isinstance(value.get("item"), dict):
            items[place] = value["item"]
        elif kind in _DELTAS and isinstance(value.get("delta"), str):
            items[place] = _extended(items.get(place, {}), kind, value)
    output = response.get("output")
    if isinstance(output, list) and output:
        return dict(response)
    return response | {"output": [items[place] for place in sorted(items)]}


def _extended(item: dict[str, Any], kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """An item of a response's output with one more delta."""
    into, type_, name = _DELTAS[kind]
    if not into:
        return item | {name: joined(item.get(name), value["delta"], name)}
    parts = item.get(into)
    parts = list(parts) if isinstance(parts, list) else []
    place = _place(value.get("content_index", value.get("summary_index")))
    while len(parts) <= place:
        parts.append({"type": type_})
    part = parts[place] if isinstance(parts[place], dict) else {}
    parts[place] = part | {name: joined(part.get(name), value["delta"], name)}
    return item | {into: parts}


def _place(index: Any) -> int:
    return index if isinstance(index, int) and 0 <= index < _MOST else 0


def _objects(events: Events) -> dict[str, Any]:
    """Assistants: the last state of every message, run and step that a stream is about."""
    objects: dict[str, dict[str, Any]] = {}
    for _, value in events:
        identity = value.get("id")
        if not isinstance(identity, str):
            continue
        delta = value.get("delta")
        before = objects.get(identity, {})
        objects[identity] = joined(before, delta) if isinstance(delta, dict) else value
    return {"object": "list", "data": list(objects.values())}


def _anything(events: Events) -> dict[str, Any]:
    """Other streams, such as a transcription: the last of each member, and the deltas joined."""
    total: dict[str, Any] = {}
    for _, value in events:
        total |= value
    deltas = [value["delta"] for _, value in events if isinstance(value.get("delta"), str)]
    return {"text": "".join(deltas)} | total if deltas else total
