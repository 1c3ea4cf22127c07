"""Tools: which of them an answer calls.

In here: tools and choices, read from a request in either form, chat completions' or responses';
and the decision. Not in here: arguments (``turn``), how a call is written.

The decision lets every agent loop end: no tool is called twice after the same message of the
user, so the results of the calls are followed by a text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy.budget import Budget
from replay_proxy.transports.dummy.endpoints.validation import missing

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
#: So many characters of a prompt are looked through in a step; a pattern takes many to be made.
_PER_STEP, _COMPILED = 1000, 100


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that can be called: a function of ``schema``, or one that takes free text.

    ``at`` is where the schema stands in the request.
    """

    name: str
    schema: object = None
    takes_text: bool = False
    at: str = "tools"


class Choice(NamedTuple):
    """What ``tool_choice`` asks for: whether a tool is called, and which come into question."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: frozenset[str] | None = None
    #: Whether one tool was named, and nothing else could be answered.
    forced: bool = False


@dataclass(slots=True)
class History:
    """What has happened since the user's last message, whose text is ``prompt``.

    ``untold`` says that there are results of calls that the request does not have, which is so
    when it continues a conversation that the API has kept.
    """

    prompt: str = ""
    called: set[str] = field(default_factory=set)
    untold: bool = False

    def add(self, call: object) -> None:
        """Remember a call of a tool, in the form in which requests have it."""
        if name := _name(call):
            self.called.add(name)


def tools_in(tools: Sequence[dict[str, Any]], field: str = "tools") -> list[Tool]:
    """Tools of a request that the dummy can call. Raises ``InvalidRequest``."""
    found = []
    for index, tool in enumerate(tools):
        at = f"{field}[{index}]"
        if field == "tools" and not isinstance(tool.get("type"), str):
            raise missing(f"{at}.type")
        kind = tool["type"] if field == "tools" else "function"
        if kind not in ("function", "custom"):
            continue  # The API's own tools are run by the API.
        inner = tool.get(kind)
        if isinstance(inner, dict):
            tool, at = inner, f"{at}.{kind}"
        name = tool.get("name")
        if not isinstance(name, str):
            raise missing(f"{at}.name")
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"Invalid '{at}.name': string does not match pattern. "
                "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
                param=f"{at}.name",
                code="invalid_value",
            )
        found.append(Tool(name, tool.get("parameters"), kind == "custom", f"{at}.parameters"))
    return found


def choice_of(value: object) -> Choice:
    """Choice of a tool as a request has it; what is not understood leaves it to the dummy."""
    match value:
        case "none" | "auto" | "required":
            return Choice(value)
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*tools]}}:
            return _allowed(mode, tools)
        case {"type": "allowed_tools", "mode": mode, "tools": [*tools]}:
            return _allowed(mode, tools)
        case {"type": "function" | "custom"} | {"name": str()}:
            name = _name(value)
            return Choice("required", frozenset({name}), forced=True) if name else Choice()
        case _:
            return Choice()


def called(
    tools: Sequence[Tool], choice: Choice, history: History, budget: Budget, *, parallel: bool
) -> Sequence[Tool]:
    """Tools that the answer calls; none means that it is a text.

    Called are the tools that the user's last message names, or else, if one is required, the
    first; each once.
    """
    if choice.mode == "none" or history.untold or not tools:
        return ()
    left = [
        tool
        for tool in tools
        if tool.name not in history.called and (choice.names is None or tool.name in choice.names)
    ]
    budget.part = "tools"
    budget.step(len(left) * (1 + len(history.prompt) // _PER_STEP))
    prompt = history.prompt
    lowered = prompt.lower()
    if len(lowered) != len(prompt):  # A few letters of Unicode become two.
        prompt = lowered
    named = [tool for tool in left if _names(prompt, lowered, tool.name, budget)]
    if not named and choice.mode == "required":
        named = left[:1]
    return named if parallel else named[:1]


def _names(prompt: str, lowered: str, name: str, budget: Budget) -> bool:
    """Whether a text names a tool; ``get_weather`` is also named by "get weather"."""
    words = list(filter(None, re.split("[_-]", name)))
    # Looking for a text is a hundred times as fast as for a pattern.
    first = words[0].lower() if words else ""
    if not first or first not in lowered:
        return False
    budget.step(_COMPILED)
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


def _allowed(mode: object, tools: Sequence[object]) -> Choice:
    names = frozenset(filter(None, map(_name, tools)))
    return Choice("required" if mode == "required" else "auto", names)


def _name(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    inner = value.get(str(value.get("type")))
    name = (inner if isinstance(inner, dict) else value).get("name")
    return name if isinstance(name, str) else None
