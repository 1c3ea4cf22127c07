"""The model's output: a text or calls of tools, in pieces, and why it ends.

In here: from a conversation to the output, for every endpoint. Not in here: the form of the request
and of the answer (``endpoints``).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from replay_proxy.transports.dummy.json_schema.values import random_value
from replay_proxy.transports.dummy.question import Question
from replay_proxy.transports.dummy.sayings.bounds import Bounds
from replay_proxy.transports.dummy.sayings.lorem import sentences
from replay_proxy.transports.dummy.sayings.text import answer_pieces, up_to_end
from replay_proxy.transports.dummy.sayings.tools import History, Tool, ToolChoice, tools_to_call
from replay_proxy.transports.dummy.sayings.units import pieces

#: Reasoning tokens of a reasoning model, by ``reasoning_effort``.
_REASONING_TOKENS = {"none": 0, "minimal": 0, "low": 64, "medium": 256, "high": 1024, "xhigh": 4096}
#: Steps for any JSON value, however small.
_JSON_STEPS = 50
#: The names of reasoning models.
_REASONING = re.compile(r"(?:.*/)?(?:o[1-9]\b|gpt-(?:[5-9]|oss)(?!.*chat)|codex)")

Reason = Literal["stop", "length", "tool_calls"]


class Conversation(NamedTuple):
    """What a request asks for.

    ``schema`` is a JSON Schema that the text has to fit, None if the text is free; ``schema_at``
    is the path to it in the request.
    """

    model: str
    first: str
    history: History
    tools: Sequence[Tool] = ()
    choice: ToolChoice = ToolChoice()
    parallel: bool = True
    schema: object = None
    schema_at: str = ""
    stop: Sequence[str] = ()
    bounds: Bounds = Bounds()
    effort: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call of a tool that the answer makes, with the pieces of its arguments."""

    tool: Tool
    pieces: Sequence[str]


class ModelOutput(NamedTuple):
    """A text in pieces, or else calls. ``reasoning_tokens`` is None without a reasoning model."""

    pieces: Sequence[str]
    calls: Sequence[PlannedCall]
    reason: Reason
    reasoning_tokens: int | None

    @property
    def text(self) -> str:
        """The text as a whole."""
        return self.pieces if isinstance(self.pieces, str) else "".join(self.pieces)

    @property
    def characters(self) -> int:
        """The length of the text, or of all arguments together."""
        length = len(self.pieces) if isinstance(self.pieces, str) else sum(map(len, self.pieces))
        for call in self.calls:
            length += len("".join(call.pieces))
        return length

    @property
    def visible_tokens(self) -> int:
        """The number of tokens that the client sees."""
        return len(self.pieces) + sum(len(call.pieces) for call in self.calls)

    @property
    def tokens(self) -> int:
        """The number of tokens, reasoning included."""
        return self.visible_tokens + (self.reasoning_tokens or 0)


def output_of(question: Question, conversation: Conversation) -> ModelOutput:
    """The model's output for a conversation. Raises ``BudgetSpent``."""
    choice, history, bounds = conversation.choice, conversation.history, conversation.bounds
    tools = tools_to_call(
        conversation.tools, choice, history, question.budget, parallel=conversation.parallel
    )
    if tools:
        calls = [PlannedCall(tool, _arguments(question, tool)) for tool in tools]
        calls, complete = _within(bounds.limit, calls)
        # A call that was the only choice ends as a text does.
        end: Reason = "stop" if choice.forced else "tool_calls"
        return _with_reasoning(conversation, (), calls, end if complete else "length")
    if conversation.schema is None:
        text = answer_pieces(question, conversation.first, history.prompt, bounds.needed)
    else:
        bounds = Bounds(bounds.limit)  # JSON cannot be made longer.
        text = _json(question, conversation.schema, conversation.schema_at, "text")
    text, reason = up_to_end(text, conversation.stop, bounds, question.content.unit)
    return _with_reasoning(conversation, text, (), reason)


def _with_reasoning(
    conversation: Conversation, text: Sequence[str], calls: Sequence[PlannedCall], reason: Reason
) -> ModelOutput:
    """The output with as many reasoning tokens as the limit leaves room for."""
    output = ModelOutput(text, calls, reason, None)
    effort, limit = conversation.effort, conversation.bounds.limit
    if effort is None and not _REASONING.match(conversation.model):
        return output
    tokens = _REASONING_TOKENS.get(effort or "medium", _REASONING_TOKENS["medium"])
    if limit is not None:
        tokens = min(tokens, limit - output.visible_tokens)
    return ModelOutput(text, calls, reason, tokens)


def _arguments(question: Question, tool: Tool) -> Sequence[str]:
    purpose = f"arguments of {tool.name}"
    if tool.takes_text:
        return pieces(sentences(question.random(purpose), 5), question.content.unit)
    schema = tool.schema if tool.schema is not None else {"type": "object"}
    return _json(question, schema, tool.at, purpose)


def _json(question: Question, schema: object, at: str, purpose: str) -> Sequence[str]:
    question.budget.part = at
    question.budget.step(_JSON_STEPS)
    value = random_value(schema, question.random(purpose), question.budget)
    # Not orjson: a schema may ask for integers beyond 64 bits.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return pieces(text, question.content.unit)


def _within(limit: int | None, calls: list[PlannedCall]) -> tuple[list[PlannedCall], bool]:
    """The calls within a limit of tokens, and whether these are all calls as a whole."""
    if limit is None:
        return calls, True
    within: list[PlannedCall] = []
    for call in calls:
        if limit <= 0:
            return within, False
        within.append(PlannedCall(call.tool, call.pieces[:limit]))
        limit -= len(call.pieces)
    return within, limit >= 0
