"""The model's turn: a text or calls of tools, in pieces, and why it ends.

In here: from what a conversation asks for, in whichever endpoint's form it came, to what is
answered. Not in here: that form, and the answer's (each endpoint's own file).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from replay_proxy.transports.dummy.call import Call
from replay_proxy.transports.dummy.json_schema.schema import value_of
from replay_proxy.transports.dummy.sayings.lorem import sentences
from replay_proxy.transports.dummy.sayings.text import ended, said
from replay_proxy.transports.dummy.sayings.tools import Choice, History, Tool, called
from replay_proxy.transports.dummy.sayings.units import pieces

#: Tokens that a reasoning model thinks for, by ``reasoning_effort``.
_THOUGHT = {"none": 0, "minimal": 0, "low": 64, "medium": 256, "high": 1024, "xhigh": 4096}
#: What it costs to draw anything at all.
_DRAWN = 50
_REASONING = re.compile(r"(?:.*/)?(?:o[1-9]\b|gpt-(?:[5-9]|oss)(?!.*chat)|codex)")


class Asked(NamedTuple):
    """What a conversation asks for.

    ``schema`` is a JSON Schema that the text has to fit, None where it is free; ``schema_at`` is
    where it stands in the request.
    """

    model: str
    first: str
    history: History
    tools: Sequence[Tool] = ()
    choice: Choice = Choice()
    parallel: bool = True
    schema: object = None
    schema_at: str = ""
    stop: Sequence[str] = ()
    limit: int | None = None
    effort: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool, and the pieces of its arguments."""

    tool: Tool
    pieces: Sequence[str]


class Turn(NamedTuple):
    """A text in pieces, or else calls. ``reasoning_tokens`` is None if the model does not think."""

    pieces: Sequence[str]
    calls: Sequence[ToolCall]
    reason: Literal["stop", "length", "tool_calls"]
    reasoning_tokens: int | None

    @property
    def text(self) -> str:
        """The text as a whole."""
        return self.pieces if isinstance(self.pieces, str) else "".join(self.pieces)

    @property
    def characters(self) -> int:
        """How long the text is, or all arguments together."""
        found = len(self.pieces) if isinstance(self.pieces, str) else sum(map(len, self.pieces))
        for call in self.calls:
            found += len("".join(call.pieces))
        return found

    @property
    def shown(self) -> int:
        """How many tokens the client gets to see."""
        return len(self.pieces) + sum(len(call.pieces) for call in self.calls)

    @property
    def tokens(self) -> int:
        """How many tokens it takes, thoughts included."""
        return self.shown + (self.reasoning_tokens or 0)


def turn(call: Call, asked: Asked) -> Turn:
    """The answer to a conversation."""
    tools = called(asked.tools, asked.choice, asked.history, call.budget, parallel=asked.parallel)
    if tools:
        calls = [ToolCall(tool, _arguments(call, tool)) for tool in tools]
        calls, whole = _cut(calls, asked.limit)
        # A call that was the only choice ends as a text does.
        ends: Literal["stop", "tool_calls"] = "stop" if asked.choice.forced else "tool_calls"
        return _thought_over(asked, (), calls, ends if whole else "length")
    if asked.schema is None:
        text = said(call, asked.first, asked.history.prompt)
    else:
        text = _json(call, asked.schema, asked.schema_at, "text")
    text, reason = ended(text, asked.stop, asked.limit, call.content.unit)
    return _thought_over(asked, text, (), reason)


def _thought_over(
    asked: Asked,
    text: Sequence[str],
    calls: Sequence[ToolCall],
    reason: Literal["stop", "length", "tool_calls"],
) -> Turn:
    """The turn with its thoughts, as many as the limit leaves room for."""
    made = Turn(text, calls, reason, None)
    if asked.effort is None and not _REASONING.match(asked.model):
        return made
    thought = _THOUGHT.get(asked.effort or "medium", _THOUGHT["medium"])
    if asked.limit is not None:
        thought = min(thought, asked.limit - made.shown)
    return Turn(text, calls, reason, thought)


def _arguments(call: Call, tool: Tool) -> Sequence[str]:
    purpose = f"arguments of {tool.name}"
    if tool.takes_text:
        return pieces(sentences(call.random(purpose), 5), call.content.unit)
    schema = tool.schema if tool.schema is not None else {"type": "object"}
    return _json(call, schema, tool.at, purpose)


def _json(call: Call, schema: object, at: str, purpose: str) -> Sequence[str]:
    call.budget.part = at
    call.budget.step(_DRAWN)
    value = value_of(schema, call.random(purpose), call.budget)
    # Not orjson: a schema may ask for integers beyond 64 bits.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return pieces(text, call.content.unit)


def _cut(calls: list[ToolCall], limit: int | None) -> tuple[list[ToolCall], bool]:
    """The calls within the limit, and whether these are all there are."""
    if limit is None:
        return calls, True
    kept: list[ToolCall] = []
    for each in calls:
        if limit <= 0:
            return kept, False
        kept.append(ToolCall(each.tool, each.pieces[:limit]))
        limit -= len(each.pieces)
    return kept, limit >= 0
