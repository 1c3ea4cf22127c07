"""``POST /v1/completions``: continuations of prompts, the API before conversations.

In here: what a request asks for, and the JSON and the events of the answer. Not in here: what the
answer says (``text``), reading the prompts (``batches``).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import orjson

from replay_proxy.transports.dummy.endpoints.batches import InputText, batch
from replay_proxy.transports.dummy.endpoints.usage import usage
from replay_proxy.transports.dummy.endpoints.validation import typed_body
from replay_proxy.transports.dummy.question import Question
from replay_proxy.transports.dummy.rendering import DONE, event, json_string, renderings
from replay_proxy.transports.dummy.replies import EVENTS, JSON, Reply, StreamReply, WholeReply
from replay_proxy.transports.dummy.sayings.bounds import bounds_of
from replay_proxy.transports.dummy.sayings.logprobs import logprob, pay
from replay_proxy.transports.dummy.sayings.text import answer_pieces, up_to_end
from replay_proxy.transports.dummy.sayings.units import pieces
from replay_proxy.transports.dummy.schemas import CreateCompletionRequest
from replay_proxy.transports.dummy.work_budget import WorkBudget

#: Maximum number of choices per request: an event of a stream has a part of each of them.
_CHOICES = 4096
#: Characters of JSON around a choice.
_FRAME = 150
#: The prompt of a request without one.
_NO_PROMPT = "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class _Continuation:
    """One continuation. With ``echo``, ``text`` has the prompt before it."""

    pieces: Sequence[str]
    finish_reason: str
    text: Sequence[str]


def create_completion(question: Question) -> Reply:
    """Continue a prompt, or each of several, ``n`` times. Raises ``InvalidRequest``."""
    body = typed_body(CreateCompletionRequest, question.fields_with_model())
    unit = question.content.unit
    prompts = batch(_NO_PROMPT if body.prompt is None else body.prompt, "prompt", unit)
    choices = _continuations(question, body, prompts)
    prompt_tokens = sum(prompt.tokens for prompt in prompts)
    tokens = sum(len(choice.pieces) for choice in choices)
    used = usage(prompt_tokens, tokens, None)
    head = {
        "id": question.new_id("cmpl-"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": body.model,
    }
    if body.stream:
        with_usage = bool(body.stream_options and body.stream_options.include_usage)
        return _stream_reply(
            head, choices, body.logprobs, prompt_tokens, used if with_usage else None
        )
    # All choices of a prompt are the same object.
    firsts = choices[:: body.n or 1]
    logprobs = {id(choice): _logprobs(choice.text, body.logprobs) for choice in firsts}
    content = orjson.dumps(
        {
            **head,
            "choices": [
                {
                    "text": "".join(choice.text),
                    "index": index,
                    "logprobs": logprobs[id(choice)],
                    "finish_reason": choice.finish_reason,
                }
                for index, choice in enumerate(choices)
            ],
            "usage": used,
        }
    )
    return WholeReply(JSON, content, tokens, prompt_tokens)


def _continuations(
    question: Question, body: CreateCompletionRequest, prompts: Sequence[InputText]
) -> list[_Continuation]:
    """The choices, ``n`` of each prompt, paid for. Raises ``BudgetSpent``."""
    budget, unit, times = question.budget, question.content.unit, body.n or 1
    budget.part = "prompt"
    if len(prompts) * times > _CHOICES:
        raise budget.refusal(f"{_CHOICES:,} choices")
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or ()
    bounds = bounds_of(body.max_tokens, body.min_tokens, endless=body.ignore_eos)
    choices: list[_Continuation] = []
    for prompt in prompts:
        answer = answer_pieces(question, prompt.text, prompt.text, bounds.needed)
        answer, reason = up_to_end(answer, stop, bounds, unit)
        text = _joined(pieces(prompt.text, unit), answer) if body.echo else answer
        _pay(budget, body, text)
        choices += [_Continuation(answer, reason, text)] * times
    return choices


def _joined(one: Sequence[str], other: Sequence[str]) -> Sequence[str]:
    if isinstance(one, str) and isinstance(other, str):
        return one + other
    return [*one, *other]


def _pay(budget: WorkBudget, body: CreateCompletionRequest, text: Sequence[str]) -> None:
    """Pay for the continuations of one prompt. Raises ``BudgetSpent``."""
    times = body.n or 1
    budget.part = "n" if times > 1 else "prompt"
    budget.step(times)
    budget.write(times * (_FRAME + sum(map(len, text))))
    if body.logprobs is not None:
        budget.part = "logprobs"
        pay(budget, text, body.logprobs, times)


def _logprobs(tokens: Sequence[str], top: int | None, offset: int = 0) -> dict[str, object] | None:
    if top is None:
        return None
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    entries = [logprob(token, top) for token in tokens]
    return {
        "text_offset": offsets,
        "token_logprobs": [entry["logprob"] for entry in entries],
        "tokens": list(tokens),
        "top_logprobs": [
            {other["token"]: other["logprob"] for other in entry["top_logprobs"]}
            for entry in entries
        ],
    }


def _stream_reply(
    head: Mapping[str, object],
    choices: Sequence[_Continuation],
    top_logprobs: int | None,
    prompt_tokens: int,
    used: Mapping[str, object] | None,
) -> StreamReply:
    no_usage = {} if used is None else {"usage": None}

    def one(index: int, text: str, reason: str | None = None, logprobs: object = None) -> bytes:
        choice = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": reason}
        return event({**head, "choices": [choice], **no_usage})

    def plain(index: int, choice: _Continuation) -> Iterator[bytes]:
        # The text is the last empty string: only the model's name is free, and it comes before.
        before, _, after = one(index, "").rpartition(b'""')
        return renderings(lambda text: before + json_string(text) + after, choice.text)

    def likely(index: int, choice: _Continuation) -> Iterator[bytes]:
        offset = 0
        for text in choice.text:
            yield one(index, text, logprobs=_logprobs([text], top_logprobs, offset))
            offset += len(text)

    events = plain if top_logprobs is None else likely
    streams = [events(index, choice) for index, choice in enumerate(choices)]
    closing = [one(index, "", choice.finish_reason) for index, choice in enumerate(choices)]
    if used is not None:
        closing.append(event({**head, "choices": [], "usage": used}))
    return StreamReply(
        EVENTS,
        opening=b"",
        tokens=map(b"".join, zip_longest(*streams, fillvalue=b"")),
        closing=b"".join([*closing, DONE]),
        count=max(len(choice.text) for choice in choices),
        prompt_tokens=prompt_tokens,
    )
