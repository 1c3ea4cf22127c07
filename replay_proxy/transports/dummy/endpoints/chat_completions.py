"""``POST /v1/chat/completions``: a conversation answered.

In here: what a request asks for. Not in here: what is said (``turn``), how it is written
(``chat_answer``), what a request may contain (``schemas``, ``validation``).
"""

import time
from collections.abc import Sequence

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy.budget import Budget
from replay_proxy.transports.dummy.call import Call
from replay_proxy.transports.dummy.endpoints.chat_answer import Answer, streamed, whole
from replay_proxy.transports.dummy.endpoints.text_format import schema_of
from replay_proxy.transports.dummy.endpoints.usage import served_tier
from replay_proxy.transports.dummy.endpoints.validation import checked, json_object
from replay_proxy.transports.dummy.replies import Reply
from replay_proxy.transports.dummy.sayings.logprobs import pay
from replay_proxy.transports.dummy.sayings.tools import Choice, History, Tool, choice_of, tools_in
from replay_proxy.transports.dummy.sayings.turn import Asked, turn
from replay_proxy.transports.dummy.sayings.units import count
from replay_proxy.transports.dummy.schemas import (
    ChatCompletionRequestMessage,
    ChatCompletionRequestMessageContentPartText,
    CreateChatCompletionRequest,
)

#: The characters around a choice, or a call, and the steps that a call costs.
_FRAME, _CALL = 200, 10


def create_chat_completion(call: Call) -> Reply:
    """Answer a conversation. Raises ``InvalidRequest``."""
    body = json_object(call.request.body)
    if not call.name_model(body):
        raise InvalidRequest("you must provide a model parameter")
    asked = checked(CreateChatCompletionRequest, body)
    tools, choice = _tools(asked)
    unit = call.content.unit
    answer = Answer(
        id=call.new_id("chatcmpl-"),
        created=int(time.time()),
        model=asked.model,
        turn=turn(
            call,
            Asked(
                model=asked.model,
                first=text_of(asked.messages[0]),
                history=_history(asked.messages),
                tools=tools,
                choice=choice,
                parallel=asked.parallel_tool_calls is not False and not asked.functions,
                schema=_schema(asked),
                schema_at="response_format.json_schema.schema",
                stop=[asked.stop] if isinstance(asked.stop, str) else asked.stop or (),
                limit=asked.max_completion_tokens or asked.max_tokens,
                effort=asked.reasoning_effort,
            ),
        ),
        prompt_tokens=sum(count(text_of(message), unit) for message in asked.messages),
        call_id=lambda index, at: call.new_id("call_", f"{index} {at}"),
        n=asked.n or 1,
        top_logprobs=(asked.top_logprobs or 0) if asked.logprobs else None,
        legacy=not asked.tools and bool(asked.functions),
        tier=served_tier(asked.service_tier) if asked.service_tier else None,
    )
    _pay(call.budget, answer)
    if not asked.stream:
        return whole(answer)
    options = asked.stream_options
    return streamed(answer, with_usage=bool(options and options.include_usage))


def _pay(budget: Budget, answer: Answer) -> None:
    """Pay for all choices. Raises ``BudgetSpent``."""
    made = answer.turn
    budget.part = "n" if answer.n > 1 else "messages"
    budget.step(answer.n * len(made.calls) * _CALL)
    budget.write(answer.n * (made.characters + _FRAME * (1 + len(made.calls))))
    if answer.top_logprobs is not None and not made.calls:
        budget.part = "logprobs"
        pay(budget, made.pieces, answer.top_logprobs, answer.n)


def text_of(message: ChatCompletionRequestMessage) -> str:
    """Text of a message: its content, or its text parts joined; ``""`` without any."""
    if isinstance(message.content, str):
        return message.content
    return "".join(
        part.text
        for part in message.content or ()
        if isinstance(part, ChatCompletionRequestMessageContentPartText)
    )


def _tools(asked: CreateChatCompletionRequest) -> tuple[Sequence[Tool], Choice]:
    """The tools, or the functions that they once were, and the choice among them."""
    if asked.tools:
        return tools_in(asked.tools), choice_of(asked.tool_choice)
    if asked.functions:
        return tools_in(asked.functions, "functions"), choice_of(asked.function_call)
    return (), Choice()


def _schema(asked: CreateChatCompletionRequest) -> object:
    form = asked.response_format
    if form is None:
        return None
    inner = form.get("json_schema")
    return schema_of(form, inner, "response_format", "response_format.json_schema")


def _history(messages: Sequence[ChatCompletionRequestMessage]) -> History:
    history = History()
    answered: set[str] = set()
    made: set[str] = set()
    for message in reversed(messages):
        if message.role == "user":
            history.prompt = text_of(message)
            break
        extra = message.model_extra or {}
        if message.role == "tool":
            answered.add(str(extra.get("tool_call_id")))
        elif message.role == "function" and message.name:
            history.called.add(message.name)
        elif message.role == "assistant":
            calls = extra.get("tool_calls")
            for each in calls if isinstance(calls, list) else ():
                if isinstance(each, dict):
                    made.add(str(each.get("id")))
                    history.add(each)
    history.untold = not answered <= made
    return history
