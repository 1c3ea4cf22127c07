"""``POST /v1/completions``: prompts continued, as before there were conversations.

In here: what a request asks for, its JSON and its events. Not in here: what is said (``text``),
which prompts there are (``batches``).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import orjson

from replay_proxy.transports.dummy.budget import Budget
from replay_proxy.transports.dummy.call import Call
from replay_proxy.transports.dummy.endpoints.batches import batch
from replay_proxy.transports.dummy.endpoints.usage import usage
from replay_proxy.transports.dummy.endpoints.validation import checked, json_object
from replay_proxy.transports.dummy.events import DONE, event, json_string, rendered_once
from replay_proxy.transports.dummy.replies import EVENTS, JSON, Reply, Streamed, Whole
from replay_proxy.transports.dummy.sayings.logprobs import logprob, pay
from replay_proxy.transports.dummy.sayings.text import ended, said
from replay_proxy.transports.dummy.sayings.units import pieces
from replay_proxy.transports.dummy.schemas import CreateCompletionRequest

#: So many choices are made of one request: an event of a stream has a part of each of them.
_CHOICES = 4096
#: The characters around a choice.
_FRAME = 150
#: What the API continues where there is no prompt.
_NO_PROMPT = "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class _Choice:
    """One continuation. It is ``shown`` with the prompt before it where that is repeated."""

    pieces: Sequence[str]
    finish_reason: str
    shown: Sequence[str]


def create_completion(call: Call) -> Reply:
    """Continue a prompt, or each of several, ``n`` times. Raises ``InvalidRequest``."""
    fields = json_object(call.request.body)
    call.name_model(fields)
    asked = checked(CreateCompletionRequest, fields)
    unit = call.content.unit
    prompts = batch(_NO_PROMPT if asked.prompt is None else asked.prompt, "prompt", unit)
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or ()
    call.budget.part = "prompt"
    if len(prompts) * (asked.n or 1) > _CHOICES:
        raise call.budget.spent(f"{_CHOICES:,} choices")
    choices: list[_Choice] = []
    for prompt in prompts:
        text, reason = ended(said(call, prompt.text, prompt.text), stop, asked.max_tokens, unit)
        shown = _joined(pieces(prompt.text, unit), text) if asked.echo else text
        _pay(call.budget, asked, shown)
        choices += [_Choice(text, reason, shown)] * (asked.n or 1)
    prompt_tokens = sum(prompt.tokens for prompt in prompts)
    tokens = sum(len(choice.pieces) for choice in choices)
    used = usage(prompt_tokens, tokens, None)
    head = {
        "id": call.new_id("cmpl-"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": asked.model,
    }
    if asked.stream:
        with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        return _streamed(head, choices, asked.logprobs, prompt_tokens, used if with_usage else None)
    # The choices of a prompt are one object.
    likely = {id(each): _logprobs(each.shown, asked.logprobs) for each in choices[:: asked.n or 1]}
    body = orjson.dumps(
        {
            **head,
            "choices": [
                {
                    "text": "".join(choice.shown),
                    "index": index,
                    "logprobs": likely[id(choice)],
                    "finish_reason": choice.finish_reason,
                }
                for index, choice in enumerate(choices)
            ],
            "usage": used,
        }
    )
    return Whole(JSON, body, tokens, prompt_tokens)


def _joined(one: Sequence[str], other: Sequence[str]) -> Sequence[str]:
    if isinstance(one, str) and isinstance(other, str):
        return one + other
    return [*one, *other]


def _pay(budget: Budget, asked: CreateCompletionRequest, shown: Sequence[str]) -> None:
    """Pay for the continuations of one prompt. Raises ``BudgetSpent``."""
    times = asked.n or 1
    budget.part = "n" if times > 1 else "prompt"
    budget.step(times)
    budget.write(times * (_FRAME + sum(map(len, shown))))
    if asked.logprobs is not None:
        budget.part = "logprobs"
        pay(budget, shown, asked.logprobs, times)


def _logprobs(tokens: Sequence[str], top: int | None, offset: int = 0) -> dict[str, object] | None:
    if top is None:
        return None
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    likely = [logprob(token, top) for token in tokens]
    return {
        "text_offset": offsets,
        "token_logprobs": [each["logprob"] for each in likely],
        "tokens": list(tokens),
        "top_logprobs": [
            {other["token"]: other["logprob"] for other in each["top_logprobs"]} for each in likely
        ],
    }


def _streamed(
    head: Mapping[str, object],
    choices: Sequence[_Choice],
    logprobs: int | None,
    prompt_tokens: int,
    used: Mapping[str, object] | None,
) -> Streamed:
    no_usage = {} if used is None else {"usage": None}

    def one(index: int, text: str, reason: str | None = None, likely: object = None) -> bytes:
        choice = {"text": text, "index": index, "logprobs": likely, "finish_reason": reason}
        return event({**head, "choices": [choice], **no_usage})

    def framed(index: int) -> Callable[[str], bytes]:
        # The text's is the last empty string: only the model's name is free, which comes before.
        before, _, after = one(index, "").rpartition(b'""')
        return lambda text: before + json_string(text) + after

    def likely(index: int, choice: _Choice) -> Iterator[bytes]:
        offset = 0
        for text in choice.shown:
            yield one(index, text, likely=_logprobs([text], logprobs, offset))
            offset += len(text)

    streams = [
        rendered_once(framed(index), choice.shown) if logprobs is None else likely(index, choice)
        for index, choice in enumerate(choices)
    ]
    closing = [one(index, "", choice.finish_reason) for index, choice in enumerate(choices)]
    if used is not None:
        closing.append(event({**head, "choices": [], "usage": used}))
    return Streamed(
        EVENTS,
        opening=b"",
        tokens=map(b"".join, zip_longest(*streams, fillvalue=b"")),
        closing=b"".join([*closing, DONE]),
        count=max(len(choice.shown) for choice in choices),
        prompt_tokens=prompt_tokens,
    )
