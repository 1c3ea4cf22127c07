"""``POST /v1/responses``: a conversation answered.

In here: what a request asks for. Not in here: what is said (``turn``), how it is written
(``response_object``, ``response_events``), what a request may contain (``schemas``). Nothing is
kept: a request that continues an answer is answered from what it brings itself.
"""

import time
from collections.abc import Sequence
from typing import Any

from replay_proxy.transports.dummy.call import Call
from replay_proxy.transports.dummy.endpoints.models import MODELS
from replay_proxy.transports.dummy.endpoints.response_events import streamed
from replay_proxy.transports.dummy.endpoints.response_object import Answer, body
from replay_proxy.transports.dummy.endpoints.text_format import schema_of
from replay_proxy.transports.dummy.endpoints.validation import checked, json_object
from replay_proxy.transports.dummy.replies import JSON, Reply, Whole
from replay_proxy.transports.dummy.sayings.logprobs import pay
from replay_proxy.transports.dummy.sayings.tools import History, choice_of, tools_in
from replay_proxy.transports.dummy.sayings.turn import Asked, turn
from replay_proxy.transports.dummy.sayings.units import count
from replay_proxy.transports.dummy.schemas import CreateResponse

#: How often a stream has its text in it; and the characters around a call.
_IN_A_STREAM, _FRAME = 5, 200
_RESULTS = ("function_call_output", "custom_tool_call_output")
_CALLS = ("function_call", "custom_tool_call")


def create_response(call: Call) -> Reply:
    """Answer an input. Raises ``InvalidRequest``."""
    fields = json_object(call.request.body)
    if not call.name_model(fields) and "prompt" in fields:
        fields["model"] = MODELS[0]  # The stored prompt, which nobody knows here, has its own.
    asked = checked(CreateResponse, fields)
    items = asked.input if isinstance(asked.input, list) else [_message(asked.input or "")]
    form = (asked.text and asked.text.format) or None
    asking = Asked(
        model=asked.model,
        first=next((_text(item) for item in items if "role" in item), ""),
        history=_history(items),
        tools=tools_in(asked.tools or ()),
        choice=choice_of(asked.tool_choice),
        parallel=asked.parallel_tool_calls is not False,
        schema=form and schema_of(form, form, "text.format", "text.format"),
        schema_at="text.format.schema",
        limit=asked.max_output_tokens,
        effort=asked.reasoning.effort if asked.reasoning else None,
    )
    texts = [asked.instructions or "", *map(_text, items)]
    answer = Answer(
        id=call.new_id("resp_"),
        created=int(time.time()),
        asked=asked,
        turn=turn(call, asking),
        prompt_tokens=sum(count(text, call.content.unit) for text in texts),
        new_id=call.new_id,
    )
    # A stream has the whole answer in it several times: in deltas and in what ends each part.
    times = _IN_A_STREAM if asked.stream else 1
    call.budget.part = "input"
    call.budget.write(times * (answer.turn.characters + _FRAME * len(answer.turn.calls)))
    if answer.top_logprobs is not None and not answer.turn.calls:
        call.budget.part = "top_logprobs"
        pay(call.budget, answer.turn.pieces, answer.top_logprobs, times)
    if asked.stream:
        return streamed(answer)
    return Whole(JSON, body(answer), answer.turn.tokens, answer.prompt_tokens)


def _message(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _text(item: dict[str, Any]) -> str:
    """Text of an item of the input: a message's, or a tool's result."""
    content = item.get("content") if "role" in item else item.get("output")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def _history(items: Sequence[dict[str, Any]]) -> History:
    history = History()
    answered: set[str] = set()
    made: set[str] = set()
    for item in reversed(items):
        if item.get("role") == "user":
            history.prompt = _text(item)
            break
        kind = item.get("type")
        if kind in _RESULTS:
            answered.add(str(item.get("call_id")))
        elif kind in _CALLS:
            made.add(str(item.get("call_id")))
            history.add(item)
    history.untold = not answered <= made
    return history
