"""A response as one object: its fields, and the items of its output.

In here: JSON-ready values. Not in here: events (``response_events``), what the response says
(``model_output``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from replay_proxy.transports.dummy.endpoints.usage import served_tier
from replay_proxy.transports.dummy.rendering import json_bytes
from replay_proxy.transports.dummy.sayings.logprobs import logprob
from replay_proxy.transports.dummy.sayings.model_output import ModelOutput, PlannedCall
from replay_proxy.transports.dummy.schemas import CreateResponse

Item = dict[str, Any]


@dataclass(frozen=True)
class ResponseObject:
    """The model's output, and the request for it. ``created`` is in seconds since 1970."""

    id: str
    created: int
    request: CreateResponse
    output: ModelOutput
    prompt_tokens: int
    new_id: Callable[[str, object], str]

    @property
    def top_logprobs(self) -> int | None:
        """How many alternatives each token has; None without log probabilities."""
        if "message.output_text.logprobs" not in (self.request.include or ()):
            return None
        return self.request.top_logprobs or 0

    @property
    def status(self) -> str:
        """How the response ends."""
        return "incomplete" if self.output.reason == "length" else "completed"

    @cached_property
    def items(self) -> list[Item]:
        """The items of the output: reasoning, then a message or calls."""
        items = []
        if self.output.reasoning_tokens:
            items.append(self._reasoning())
        if not self.output.calls:
            part = text_part(self.output.text, self.logprobs)
            items.append(
                {
                    "id": self.new_id("msg_", ""),
                    "type": "message",
                    "status": self.status,
                    "content": [part],
                    "role": "assistant",
                }
            )
        last = len(self.output.calls) - 1
        for at, call in enumerate(self.output.calls):
            items.append(self._call(at, call, self.status if at == last else "completed"))
        return items

    @property
    def logprobs(self) -> list[dict[str, Any]]:
        """The log probabilities of the whole text."""
        top = self.top_logprobs
        return [] if top is None else [logprob(token, top) for token in self.output.pieces]

    def _reasoning(self) -> Item:
        item: Item = {"id": self.new_id("rs_", ""), "type": "reasoning", "summary": []}
        if "reasoning.encrypted_content" in (self.request.include or ()):
            item["encrypted_content"] = self.new_id("gAAAAA", "thoughts")
        return item

    def _call(self, at: int, call: PlannedCall, status: str) -> Item:
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
    """The text part of a message."""
    return {"type": "output_text", "annotations": [], "logprobs": logprobs, "text": text}


def response_json(answer: ResponseObject) -> bytes:
    """The final response as JSON."""
    return json_bytes(final_response(answer))


def final_response(answer: ResponseObject) -> dict[str, Any]:
    """The response at its end, with its output and its usage."""
    output = answer.output
    fields = initial_response(answer)
    fields["status"] = answer.status
    fields["output"] = answer.items
    if answer.status == "incomplete":
        fields["incomplete_details"] = {"reason": "max_output_tokens"}
    else:
        fields["completed_at"] = answer.created
    fields["service_tier"] = served_tier(answer.request.service_tier or "auto")
    fields["usage"] = {
        "input_tokens": answer.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output.tokens,
        "output_tokens_details": {"reasoning_tokens": output.reasoning_tokens or 0},
        "total_tokens": answer.prompt_tokens + output.tokens,
    }
    return fields


def initial_response(answer: ResponseObject) -> dict[str, Any]:
    """The response at its beginning: the settings of the request, and no output yet."""
    body = answer.request
    extra = body.model_extra or {}
    reasoning, text = body.reasoning, body.text
    fields = {
        "id": answer.id,
        "object": "response",
        "created_at": answer.created,
        "status": "in_progress",
        "background": bool(body.background),
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "model": body.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {
            "effort": reasoning and reasoning.effort,
            "summary": reasoning and reasoning.summary,
        },
        "safety_identifier": body.safety_identifier,
        "service_tier": body.service_tier or "auto",
        "store": body.store is not False,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": {
            "format": (text and text.format) or {"type": "text"},
            "verbosity": (text and text.verbosity) or "medium",
        },
        "tool_choice": "auto" if body.tool_choice is None else body.tool_choice,
        "tools": [_completed_tool(tool) for tool in body.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": body.truncation or "disabled",
        "usage": None,
        "user": body.user,
        "metadata": body.metadata or {},
    }
    if prompt := extra.get("prompt"):
        fields["prompt"] = prompt
    if conversation := extra.get("conversation"):
        is_id = isinstance(conversation, str)
        fields["conversation"] = {"id": conversation} if is_id else conversation
    return fields


def _completed_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool of the request, with the fields that the API adds."""
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": True, **tool}
