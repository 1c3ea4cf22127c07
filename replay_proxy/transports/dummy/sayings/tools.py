"""Tools: which of them an answer calls.

In here: reading tools and choices from a request, in the form of chat completions or of responses;
and the decision. Not in here: arguments (``model_output``), the JSON of a call (``endpoints``).

The decision lets every agent loop end: no tool is called twice after the same message of the
user, so the results of the calls are followed by a text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy.endpoints.validation import missing_parameter
from replay_proxy.transports.dummy.work_budget import WorkBudget

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
#: Characters of a prompt that one step searches.
_PER_STEP = 1000
#: Steps to compile a pattern.
_COMPILE = 100


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that can be called: a function with a ``schema``, or one that takes free text.

    ``at`` is the path to the schema in the request.
    """

    name: str
    schema: object = None
    takes_text: bool = False
    at: str = "tools"


class ToolChoice(NamedTuple):
    """The meaning of ``tool_choice``: whether a tool is called, and which may be."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: frozenset[str] | None = None
    #: Whether one tool was named, so that no other answer was possible.
    forced: bool = False


@dataclass(slots=True)
class History:
    """What has happened since the user's last message, whose text is ``prompt``.

    ``tools`` are the names of the tools called since. ``has_unknown_calls`` means that the request
    has results of calls that it does not have itself: it continues a conversation stored at the
    API.
    """

    prompt: str = ""
    tools: set[str] = field(default_factory=set)
    has_unknown_calls: bool = False

    def add(self, call: object) -> None:
        """Add a call of a tool, as a request has it."""
        if name := _name(call):
            self.tools.add(name)


def tools_in(tools: Sequence[dict[str, Any]], field: str = "tools") -> list[Tool]:
    """The tools of a request that the dummy can call. Raises ``InvalidRequest``."""
    callable_tools = []
    for index, tool in enumerate(tools):
        at = f"{field}[{index}]"
        if field == "tools" and not isinstance(tool.get("type"), str):
            raise missing_parameter(f"{at}.type")
        kind = tool["type"] if field == "tools" else "function"
        if kind not in ("function", "custom"):
            continue  # The API runs its own tools.
        inner = tool.get(kind)
        if isinstance(inner, dict):
            tool, at = inner, f"{at}.{kind}"
        name = tool.get("name")
        if not isinstance(name, str):
            raise missing_parameter(f"{at}.name")
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"Invalid '{at}.name': string does not match pattern. "
                "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
                param=f"{at}.name",
                code="invalid_value",
            )
        callable_tools.append(
            Tool(name, tool.get("parameters"), kind == "custom", f"{at}.parameters")
        )
    return callable_tools


def choice_of(value: object) -> ToolChoice:
    """The choice of a tool in a request; ``auto`` for a choice that is not understood."""
    match value:
        case "none" | "auto" | "required":
            return ToolChoice(value)
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*tools]}}:
            return _allowed(mode, tools)
        case {"type": "allowed_tools", "mode": mode, "tools": [*tools]}:
            return _allowed(mode, tools)
        case {"type": "function" | "custom"} | {"name": str()}:
            name = _name(value)
            return ToolChoice("required", frozenset({name}), forced=True) if name else ToolChoice()
        case _:
            return ToolChoice()


def tools_to_call(
    tools: Sequence[Tool],
    choice: ToolChoice,
    history: History,
    budget: WorkBudget,
    *,
    parallel: bool,
) -> Sequence[Tool]:
    """The tools that the answer calls; none for a text.

    These are the tools that the user's last message names. If it names none and one is required,
    it is the first. Each is called once.
    """
    if choice.mode == "none" or history.has_unknown_calls or not tools:
        return ()
    uncalled = [
        tool
        for tool in tools
        if tool.name not in history.tools and (choice.names is None or tool.name in choice.names)
    ]
    budget.part = "tools"
    budget.step(len(uncalled) * (1 + len(history.prompt) // _PER_STEP))
    prompt = history.prompt
    lowered = prompt.lower()
    if len(lowered) != len(prompt):  # In lower case, some letters become two characters.
        prompt = lowered
    wanted = [tool for tool in uncalled if _names(prompt, lowered, tool.name, budget)]
    if not wanted and choice.mode == "required":
        wanted = uncalled[:1]
    return wanted if parallel else wanted[:1]


def _names(prompt: str, lowered: str, name: str, budget: WorkBudget) -> bool:
    """Whether a text names a tool; ``get_weather`` is also named by "get weather"."""
    words = list(filter(None, re.split("[_-]", name)))
    # Searching for a text is a hundred times as fast as for a pattern.
    first = words[0].lower() if words else ""
    if not first or first not in lowered:
        return False
    budget.step(_COMPILE)
    # A name may be followed by a particle: get_weather를.
    inner = r"[\s_-]+".join(map(re.escape, words))
    pattern = re.compile(rf"(?<![a-z0-9_]){inner}(?![a-z0-9_])", re.IGNORECASE)
    at = lowered.find(first)
    while at >= 0:
        budget.step()
        if pattern.match(prompt, at):
            return True
        at = lowered.find(first, at + 1)
    return False


def _allowed(mode: object, tools: Sequence[object]) -> ToolChoice:
    names = frozenset(filter(None, map(_name, tools)))
    return ToolChoice("required" if mode == "required" else "auto", names)


def _name(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    inner = value.get(str(value.get("type")))
    name = (inner if isinstance(inner, dict) else value).get("name")
    return name if isinstance(name, str) else None
