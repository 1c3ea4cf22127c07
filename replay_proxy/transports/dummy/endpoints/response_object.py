"""A response written down as an object: its fields, and the items of its output.

In here: JSON-ready values. Not in here: events (``response_events``), what is said (``turn``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from replay_proxy.transports.dummy.endpoints.usage import served_tier
from replay_proxy.transports.dummy.events import json_bytes
from replay_proxy.transports.dummy.sayings.logprobs import logprob
from replay_proxy.transports.dummy.sayings.turn import ToolCall, Turn
from replay_proxy.transports.dummy.schemas import CreateResponse

Item = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One turn. ``created`` is in seconds since 1970."""

    id: str
    created: int
    asked: CreateResponse
    turn: Turn
    prompt_tokens: int
    new_id: Callable[[str, object], str]

    @property
    def top_logprobs(self) -> int | None:
        """How many alternatives are shown with each token; None if no log probabilities are."""
        if "message.output_text.logprobs" not in (self.asked.include or ()):
            return None
        return self.asked.top_logprobs or 0

    @property
    def status(self) -> str:
        """How the response ends."""
        return "incomplete" if self.turn.reason == "length" else "completed"

    @cached_property
    def items(self) -> list[Item]:
        """The output: thoughts, then a message or calls."""
        items = []
        if self.turn.reasoning_tokens:
            items.append(self._thoughts())
        if not self.turn.calls:
            part = text_part(self.turn.text, self.logprobs)
            items.append(
                {
                    "id": self.new_id("msg_", ""),
                    "type": "message",
                    "status": self.status,
                    "content": [part],
                    "role": "assistant",
                }
            )
        last = len(self.turn.calls) - 1
        for at, call in enumerate(self.turn.calls):
            items.append(self._call(at, call, self.status if at == last else "completed"))
        return items

    @property
    def logprobs(self) -> list[dict[str, Any]]:
        """The log probabilities of the whole text."""
        top = self.top_logprobs
        return [] if top is None else [logprob(token, top) for token in self.turn.pieces]

    def _thoughts(self) -> Item:
        item: Item = {"id": self.new_id("rs_", ""), "type": "reasoning", "summary": []}
        if "reasoning.encrypted_content" in (self.asked.include or ()):
            item["encrypted_content"] = self.new_id("gAAAAA", "thoughts")
        return item

    def _call(self, at: int, call: ToolCall, status: str) -> Item:
        kind = "custom_tool_call" if call.tool.takes_text else "function_call"
        field = "input" if call.tool.takes_text else "arguments"
        return {
            "id": self.new_id("ctc_" if call.tool.takes_text else "fc_", at),
            "type": kind,
            "status": status,
            field: "".join(call.pieces),
            "call_id": self.new_id("call_", at),
            "name": call.tool.name,
        }


def text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    """The part of a message that is its text."""
    return {"type": "output_text", "annotations": [], "logprobs": logprobs, "text": text}


def body(answer: Answer) -> bytes:
    """The whole response, ended."""
    return json_bytes(ended(answer))


def ended(answer: Answer) -> dict[str, Any]:
    """The response with its output and its usage."""
    turn = answer.turn
    fields = begun(answer)
    fields["status"] = answer.status
    fields["output"] = answer.items
    if answer.status == "incomplete":
        fields["incomplete_details"] = {"reason": "max_output_tokens"}
    else:
        fields["completed_at"] = answer.created
    fields["service_tier"] = served_tier(answer.asked.service_tier or "auto")
    fields["usage"] = {
        "input_tokens": answer.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": turn.tokens,
        "output_tokens_details": {"reasoning_tokens": turn.reasoning_tokens or 0},
        "total_tokens": answer.prompt_tokens + turn.tokens,
    }
    return fields


def begun(answer: Answer) -> dict[str, Any]:
    """The response at its beginning: what was asked for, and no output yet."""
    asked = answer.asked
    extra = asked.model_extra or {}
    reasoning, text = asked.reasoning, asked.text
    fields = {
        "id": answer.id,
        "object": "response",
        "created_at": answer.created,
        "status": "in_progress",
        "background": bool(asked.background),
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "max_tool_calls": asked.max_tool_calls,
        "model": asked.model,
        "output": [],
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "previous_response_id": asked.previous_response_id,
        "prompt_cache_key": asked.prompt_cache_key,
        "reasoning": {
            "effort": reasoning and reasoning.effort,
            "summary": reasoning and reasoning.summary,
        },
        "safety_identifier": asked.safety_identifier,
        "service_tier": asked.service_tier or "auto",
        "store": asked.store is not False,
        "temperature": 1.0 if asked.temperature is None else asked.temperature,
        "text": {
            "format": (text and text.format) or {"type": "text"},
            "verbosity": (text and text.verbosity) or "medium",
        },
        "tool_choice": "auto" if asked.tool_choice is None else asked.tool_choice,
        "tools": [_shown(tool) for tool in asked.tools or ()],
        "top_logprobs": asked.top_logprobs or 0,
        "top_p": 1.0 if asked.top_p is None else asked.top_p,
        "truncation": asked.truncation or "disabled",
        "usage": None,
        "user": asked.user,
        "metadata": asked.metadata or {},
    }
    if prompt := extra.get("prompt"):
        fields["prompt"] = prompt
    if conversation := extra.get("conversation"):
        is_id = isinstance(conversation, str)
        fields["conversation"] = {"id": conversation} if is_id else conversation
    return fields


def _shown(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool of the request, with what the API adds to it."""
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": True, **tool}
