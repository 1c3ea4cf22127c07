"""A chat completion as one object, or as a stream.

In here: the JSON and the events. Not in here: what the answer says (``model_output``), what a
request contains (``chat_completions``).

A streamed token needs no serialisation of a whole event: its event is a constant head, the token
as JSON, and a constant tail.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import orjson

from replay_proxy.transports.dummy.endpoints.usage import usage
from replay_proxy.transports.dummy.rendering import DONE, event, frames, renderings
from replay_proxy.transports.dummy.replies import EVENTS, JSON, StreamReply, WholeReply
from replay_proxy.transports.dummy.sayings.logprobs import logprob
from replay_proxy.transports.dummy.sayings.model_output import ModelOutput, PlannedCall


class ChatAnswer(NamedTuple):
    """The model's output, as each of ``n`` choices.

    ``created`` is in seconds since 1970. ``top_logprobs`` is None if the answer has no log
    probabilities. ``legacy`` writes a call as ``function_call``. ``call_id`` returns the id of a
    call by its choice and index.
    """

    id: str
    created: int
    model: str
    output: ModelOutput
    prompt_tokens: int
    call_id: Callable[[int, int], str]
    n: int = 1
    top_logprobs: int | None = None
    legacy: bool = False
    tier: str | None = None

    @property
    def finish_reason(self) -> str:
        """Why the answer ends, in this endpoint's terms."""
        reason = self.output.reason
        return "function_call" if self.legacy and reason == "tool_calls" else reason

    @property
    def usage(self) -> dict[str, Any]:
        """The tokens of the prompt and of all choices."""
        reasoning_tokens = self.output.reasoning_tokens
        return usage(
            self.prompt_tokens,
            self.n * self.output.tokens,
            None if reasoning_tokens is None else self.n * reasoning_tokens,
        )

    def head(self, kind: str) -> dict[str, object]:
        """The first fields of every object."""
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return head | ({"service_tier": self.tier} if self.tier else {})


def whole_reply(answer: ChatAnswer) -> WholeReply:
    """The answer as one object."""
    logprobs = _logprobs(answer, answer.output.pieces)
    body = orjson.dumps(
        {
            **answer.head("chat.completion"),
            "choices": [
                {
                    "index": index,
                    "message": _message(answer, index),
                    "logprobs": logprobs,
                    "finish_reason": answer.finish_reason,
                }
                for index in range(answer.n)
            ],
            "usage": answer.usage,
        }
    )
    return WholeReply(JSON, body, answer.n * answer.output.tokens, answer.prompt_tokens)


def _message(answer: ChatAnswer, index: int) -> dict[str, object]:
    calls = answer.output.calls
    message: dict[str, object] = {
        "role": "assistant",
        "content": None if calls else answer.output.text,
        "refusal": None,
    }
    if calls and answer.legacy:
        message["function_call"] = _inner(calls[0], "".join(calls[0].pieces))
    elif calls:
        message["tool_calls"] = [
            {"id": answer.call_id(index, at), **_call(call, "".join(call.pieces))}
            for at, call in enumerate(calls)
        ]
    return message


def _inner(call: PlannedCall, text: str) -> dict[str, str]:
    return {"name": call.tool.name, "input" if call.tool.takes_text else "arguments": text}


def _call(call: PlannedCall, text: str) -> dict[str, object]:
    kind = "custom" if call.tool.takes_text else "function"
    return {"type": kind, kind: _inner(call, text)}


def _logprobs(answer: ChatAnswer, tokens: Iterable[str]) -> dict[str, object] | None:
    if answer.top_logprobs is None or answer.output.calls:
        return None
    return {"content": [logprob(token, answer.top_logprobs) for token in tokens], "refusal": None}


def stream_reply(answer: ChatAnswer, *, with_usage: bool) -> StreamReply:
    """The answer as a stream. ``with_usage`` appends an event with nothing but the usage."""
    output = answer.output
    write = _ChatEvents(answer, with_usage=with_usage)
    tokens: Iterator[bytes]
    if output.calls:
        tokens = chain.from_iterable(write.call(at, call) for at, call in enumerate(output.calls))
    elif answer.top_logprobs is None:
        tokens = write.tokens({"content": ""}, output.pieces)
    else:
        tokens = renderings(write.likely_token, output.pieces)
    opening: dict[str, object] = {"role": "assistant", "content": None if output.calls else ""}
    closing = write.events(lambda _: {}, finish_reason=answer.finish_reason)
    if with_usage:
        closing.append(event({**write.head, "choices": [], "usage": answer.usage}))
    return StreamReply(
        EVENTS,
        opening=b"".join(write.events(lambda _: opening)),
        tokens=tokens,
        closing=b"".join([*closing, DONE]),
        count=output.visible_tokens,
        prompt_tokens=answer.prompt_tokens,
    )


class _ChatEvents:
    """Writes the events of one stream. Every event has one of the ``n`` choices."""

    def __init__(self, answer: ChatAnswer, *, with_usage: bool) -> None:
        self._answer = answer
        self._no_usage = {"usage": None} if with_usage else {}
        self.head = answer.head("chat.completion.chunk")

    def events(
        self, delta: Callable[[int], object], *, finish_reason: str | None = None, token: str = ""
    ) -> list[bytes]:
        """One event per choice, with the log probabilities of ``token``, if they are shown."""
        logprobs = _logprobs(self._answer, [token]) if token else None
        return [
            event(
                {
                    **self.head,
                    "choices": [
                        {
                            "index": index,
                            "delta": delta(index),
                            "logprobs": logprobs,
                            "finish_reason": finish_reason,
                        }
                    ],
                    **self._no_usage,
                }
            )
            for index in range(self._answer.n)
        ]

    def likely_token(self, text: str) -> bytes:
        """A token of the text with its log probabilities."""
        return b"".join(self.events(lambda _: {"content": text}, token=text))

    def tokens(self, delta: object, pieces: Sequence[str]) -> Iterator[bytes]:
        """The pieces as tokens: each stands in the place of the delta's empty text."""
        # That is the last empty string of its event: only the model's name is free text, and it
        # comes before.
        ends = [event.rpartition(b'""')[::2] for event in self.events(lambda _: delta)]
        choices = [frames(before, after, pieces) for before, after in ends]
        return choices[0] if len(choices) == 1 else map(b"".join, zip(*choices, strict=True))

    def call(self, at: int, call: PlannedCall) -> Iterator[bytes]:
        """One call. Its first event, which names the tool, comes with the first token."""
        if self._answer.legacy:
            first = self.events(lambda _: {"function_call": _inner(call, "")})
            tokens = self.tokens({"function_call": {"arguments": ""}}, call.pieces)
        else:
            start = _call(call, "")
            first = self.events(
                lambda index: {
                    "tool_calls": [{"index": at, "id": self._answer.call_id(index, at), **start}]
                }
            )
            kind = str(start["type"])
            text = {"input" if call.tool.takes_text else "arguments": ""}
            tokens = self.tokens({"tool_calls": [{"index": at, kind: text}]}, call.pieces)
        return chain([b"".join([*first, next(tokens, b"")])], tokens)
