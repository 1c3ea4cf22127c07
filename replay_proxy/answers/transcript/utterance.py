"""What the JSON of an answer says: text, reasoning and tool calls, for any endpoint. Pure.

The forms are those of chat completions (whole, or joined deltas), legacy completions, responses,
assistants and transcriptions; part of ``transcript``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: Members of a message or of a part that hold the text, and those that hold the reasoning.
_TEXTS = ("content", "text", "value", "refusal", "transcript", "audio")
_THOUGHTS = ("reasoning_content", "reasoning", "summary", "thinking")
#: Types of items and parts whose text is reasoning.
_THOUGHT_TYPES = ("reasoning", "reasoning_text", "summary_text")
#: Members that hold the input of a tool, for the several forms of calls.
_INPUTS = ("arguments", "input", "code", "action", "queries")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool; ``arguments`` as received, mostly JSON, joined over all deltas."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one choice, item or message says; ``index`` is a choice's, and None otherwise."""

    index: int | None
    text: str
    reasoning: str


def utterances(value: dict[str, Any]) -> Iterator[Utterance]:
    """Everything that an answer says, in order, including empty texts."""
    for number, choice in enumerate(dicts(value.get("choices"))):
        index = choice.get("index")
        yield _utterance(index if isinstance(index, int) else number, message(choice))
    for item in dicts(value.get("output")):
        if item.get("type", "message") in ("message", "reasoning"):
            yield _utterance(None, item)
    for item in objects(value):
        if item.get("object") == "thread.message":
            yield _utterance(None, item)
    if isinstance(value.get("text"), str):
        yield _utterance(None, {"text": value["text"]})


def tool_calls(value: dict[str, Any]) -> Iterator[ToolCall]:
    """Every call of a tool that an answer asks for or reports."""
    for choice in dicts(value.get("choices")):
        part = message(choice)
        for call in dicts([*dicts(part.get("tool_calls")), part.get("function_call")]):
            yield _tool_call(call)
    for item in dicts(value.get("output")):
        if str(item.get("type", "")).endswith("_call"):
            yield _tool_call(item)
    for run in objects(value):
        action = run.get("required_action")
        outputs = action.get("submit_tool_outputs") if isinstance(action, dict) else None
        for call in dicts(outputs.get("tool_calls") if isinstance(outputs, dict) else None):
            yield _tool_call(call)


def objects(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects that an answer consists of: those of a list, or itself."""
    return dicts(value.get("data")) if value.get("object") == "list" else [value]


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of an array; no objects of any other value."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def message(choice: dict[str, Any]) -> dict[str, Any]:
    """A choice's message or joined delta; for a legacy completion, the choice itself."""
    for name in ("delta", "message"):
        inner = choice.get(name)
        if isinstance(inner, dict) and any(inner[key] for key in inner.keys() - {"role"}):
            return inner
    return choice


def _utterance(index: int | None, item: dict[str, Any]) -> Utterance:
    pieces = list(_pieces(item, thought=False))
    return Utterance(
        index,
        "".join(text for thought, text in pieces if not thought).strip("\n"),
        "".join(text for thought, text in pieces if thought).strip("\n"),
    )


def _pieces(value: Any, *, thought: bool) -> Iterator[tuple[bool, str]]:
    """The texts of a message or part, in order, each after whether it is reasoning."""
    if isinstance(value, str):
        yield thought, value
    elif isinstance(value, list):
        for element in value:
            yield from _pieces(element, thought=thought)
    elif isinstance(value, dict):
        type_ = value.get("type")
        thought = thought or (isinstance(type_, str) and type_ in _THOUGHT_TYPES)
        if type_ == "summary_text":
            yield thought, "\n\n"
        # Hosts repeat the same reasoning under several names.
        if (name := next((name for name in _THOUGHTS if value.get(name)), None)) is not None:
            yield from _pieces(value[name], thought=True)
            if type_ == "reasoning":
                return
        for name in _TEXTS:
            yield from _pieces(value.get(name), thought=thought)


def _tool_call(call: dict[str, Any]) -> ToolCall:
    type_ = call.get("type")
    inner = call.get("function") or (call.get(type_) if isinstance(type_, str) else None)
    inner = inner if isinstance(inner, dict) else call
    name = inner.get("name") or str(type_ or "").removesuffix("_call")
    given = next((inner[key] for key in _INPUTS if inner.get(key)), "")
    arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return ToolCall(str(name), arguments)
