"""``POST /v1/chat/completions``: an answer to a conversation.

In here: what a request asks for. Not in here: what the answer says (``model_output``), its JSON
(``chat_answer``), what a request may contain (``schemas``, ``validation``).
"""

import time
from collections.abc import Sequence

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy.endpoints.chat_answer import (
    ChatAnswer,
    stream_reply,
    whole_reply,
)
from replay_proxy.transports.dummy.endpoints.text_format import schema_of
from replay_proxy.transports.dummy.endpoints.usage import served_tier
from replay_proxy.transports.dummy.endpoints.validation import typed_body
from replay_proxy.transports.dummy.question import Question
from replay_proxy.transports.dummy.replies import Reply
from replay_proxy.transports.dummy.sayings.bounds import bounds_of
from replay_proxy.transports.dummy.sayings.logprobs import pay
from replay_proxy.transports.dummy.sayings.model_output import Conversation, output_of
from replay_proxy.transports.dummy.sayings.tools import (
    History,
    Tool,
    ToolChoice,
    choice_of,
    tools_in,
)
from replay_proxy.transports.dummy.sayings.units import unit_count
from replay_proxy.transports.dummy.schemas import (
    ChatCompletionRequestMessage,
    ChatCompletionRequestMessageContentPartText,
    CreateChatCompletionRequest,
)
from replay_proxy.transports.dummy.work_budget import WorkBudget

#: Characters of JSON around a choice, or a call; steps that a call costs.
_FRAME, _CALL = 200, 10


def create_chat_completion(question: Question) -> Reply:
    """Answer a conversation. Raises ``InvalidRequest``."""
    fields = question.fields_with_model()
    if fields.get("model") in (None, ""):
        raise InvalidRequest("you must provide a model parameter")
    body = typed_body(CreateChatCompletionRequest, fields)
    tools, choice = _tools(body)
    unit = question.content.unit
    answer = ChatAnswer(
        id=question.new_id("chatcmpl-"),
        created=int(time.time()),
        model=body.model,
        output=output_of(
            question,
            Conversation(
                model=body.model,
                first=text_of(body.messages[0]),
                history=_history(body.messages),
                tools=tools,
                choice=choice,
                parallel=body.parallel_tool_calls is not False and not body.functions,
                schema=_schema(body),
                schema_at="response_format.json_schema.schema",
                stop=[body.stop] if isinstance(body.stop, str) else body.stop or (),
                bounds=bounds_of(
                    body.max_completion_tokens or body.max_tokens,
                    body.min_tokens,
                    endless=body.ignore_eos,
                ),
                effort=body.reasoning_effort,
            ),
        ),
        prompt_tokens=sum(unit_count(text_of(message), unit) for message in body.messages),
        call_id=lambda index, at: question.new_id("call_", f"{index} {at}"),
        n=body.n or 1,
        top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        legacy=not body.tools and bool(body.functions),
        tier=served_tier(body.service_tier) if body.service_tier else None,
    )
    _pay(question.budget, answer)
    if not body.stream:
        return whole_reply(answer)
    options = body.stream_options
    return stream_reply(answer, with_usage=bool(options and options.include_usage))


def _pay(budget: WorkBudget, answer: ChatAnswer) -> None:
    """Pay for all choices. Raises ``BudgetSpent``."""
    output = answer.output
    budget.part = "n" if answer.n > 1 else "messages"
    budget.step(answer.n * len(output.calls) * _CALL)
    budget.write(answer.n * (output.characters + _FRAME * (1 + len(output.calls))))
    if answer.top_logprobs is not None and not output.calls:
        budget.part = "logprobs"
        pay(budget, output.pieces, answer.top_logprobs, answer.n)


def text_of(message: ChatCompletionRequestMessage) -> str:
    """The text of a message: its content, or its text parts joined; ``""`` without any."""
    if isinstance(message.content, str):
        return message.content
    return "".join(
        part.text
        for part in message.content or ()
        if isinstance(part, ChatCompletionRequestMessageContentPartText)
    )


def _tools(body: CreateChatCompletionRequest) -> tuple[Sequence[Tool], ToolChoice]:
    """The tools, or the ``functions`` of the older API, and the choice among them."""
    if body.tools:
        return tools_in(body.tools), choice_of(body.tool_choice)
    if body.functions:
        return tools_in(body.functions, "functions"), choice_of(body.function_call)
    return (), ToolChoice()


def _schema(body: CreateChatCompletionRequest) -> object:
    form = body.response_format
    if form is None:
        return None
    inner = form.get("json_schema")
    return schema_of(form, inner, "response_format", "response_format.json_schema")


def _history(messages: Sequence[ChatCompletionRequestMessage]) -> History:
    history = History()
    results: set[str] = set()
    calls: set[str] = set()
    for message in reversed(messages):
        if message.role == "user":
            history.prompt = text_of(message)
            break
        extra = message.model_extra or {}
        if message.role == "tool":
            results.add(str(extra.get("tool_call_id")))
        elif message.role == "function" and message.name:
            history.tools.add(message.name)
        elif message.role == "assistant":
            items = extra.get("tool_calls")
            for item in items if isinstance(items, list) else ():
                if isinstance(item, dict):
                    calls.add(str(item.get("id")))
                    history.add(item)
    history.has_unknown_calls = not results <= calls
    return history
