"""``POST /v1/responses``: an answer to a conversation.

In here: what a request asks for. Not in here: what the answer says (``model_output``), its JSON
(``response_object``, ``response_events``), what a request may contain (``schemas``). Nothing is
stored: a request that continues a response is answered from its own content.
"""

import time
from collections.abc import Sequence
from typing import Any

from replay_proxy.transports.dummy.endpoints.models import MODELS
from replay_proxy.transports.dummy.endpoints.response_events import stream_reply
from replay_proxy.transports.dummy.endpoints.response_object import ResponseObject, response_json
from replay_proxy.transports.dummy.endpoints.text_format import schema_of
from replay_proxy.transports.dummy.endpoints.validation import typed_body
from replay_proxy.transports.dummy.question import Question
from replay_proxy.transports.dummy.replies import JSON, Reply, WholeReply
from replay_proxy.transports.dummy.sayings.bounds import bounds_of
from replay_proxy.transports.dummy.sayings.logprobs import pay
from replay_proxy.transports.dummy.sayings.model_output import Conversation, output_of
from replay_proxy.transports.dummy.sayings.tools import History, choice_of, tools_in
from replay_proxy.transports.dummy.sayings.units import unit_count
from replay_proxy.transports.dummy.schemas import CreateResponse
from replay_proxy.transports.dummy.work_budget import WorkBudget

#: Copies of the text in a stream: in its deltas, and in the events that end each part.
_COPIES = 5
#: Characters of JSON around a call.
_FRAME = 200
#: Types of input items: results of calls, and calls.
_RESULTS = ("function_call_output", "custom_tool_call_output")
_CALLS = ("function_call", "custom_tool_call")


def create_response(question: Question) -> Reply:
    """Answer an input. Raises ``InvalidRequest``."""
    fields = question.fields_with_model()
    if fields.get("model") in (None, "") and "prompt" in fields:
        # The stored prompt names a model, and is not known here.
        fields = {**fields, "model": MODELS[0]}
    body = typed_body(CreateResponse, fields)
    items = body.input if isinstance(body.input, list) else [_message(body.input or "")]
    form = (body.text and body.text.format) or None
    conversation = Conversation(
        model=body.model,
        first=next((_text(item) for item in items if "role" in item), ""),
        history=_history(items),
        tools=tools_in(body.tools or ()),
        choice=choice_of(body.tool_choice),
        parallel=body.parallel_tool_calls is not False,
        schema=form and schema_of(form, form, "text.format", "text.format"),
        schema_at="text.format.schema",
        bounds=bounds_of(body.max_output_tokens, body.min_tokens, endless=body.ignore_eos),
        effort=body.reasoning.effort if body.reasoning else None,
    )
    texts = [body.instructions or "", *map(_text, items)]
    answer = ResponseObject(
        id=question.new_id("resp_"),
        created=int(time.time()),
        request=body,
        output=output_of(question, conversation),
        prompt_tokens=sum(unit_count(text, question.content.unit) for text in texts),
        new_id=question.new_id,
    )
    _pay(question.budget, answer, _COPIES if body.stream else 1)
    if body.stream:
        return stream_reply(answer)
    return WholeReply(JSON, response_json(answer), answer.output.tokens, answer.prompt_tokens)


def _pay(budget: WorkBudget, answer: ResponseObject, copies: int) -> None:
    """Pay for the copies of the output. Raises ``BudgetSpent``."""
    output = answer.output
    budget.part = "input"
    budget.write(copies * (output.characters + _FRAME * len(output.calls)))
    if answer.top_logprobs is not None and not output.calls:
        budget.part = "top_logprobs"
        pay(budget, output.pieces, answer.top_logprobs, copies)


def _message(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _text(item: dict[str, Any]) -> str:
    """The text of an item of the input: a message's, or a tool's result."""
    content = item.get("content") if "role" in item else item.get("output")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def _history(items: Sequence[dict[str, Any]]) -> History:
    history = History()
    results: set[str] = set()
    calls: set[str] = set()
    for item in reversed(items):
        if item.get("role") == "user":
            history.prompt = _text(item)
            break
        kind = item.get("type")
        if kind in _RESULTS:
            results.add(str(item.get("call_id")))
        elif kind in _CALLS:
            calls.add(str(item.get("call_id")))
            history.add(item)
    history.has_unknown_calls = not results <= calls
    return history
