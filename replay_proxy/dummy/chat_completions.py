"""``POST /v1/chat/completions``: the answer as one object, or streamed character by character.

In here: the JSON and the events of this endpoint. Not in here: what the text says (``text``),
what a request may contain (``schemas``, ``validation``).

A streamed character costs no serialisation of its own: its event is a constant head, the
character as JSON, and a constant tail.
"""

import time
from dataclasses import dataclass

import orjson

from replay_proxy.dummy.call import Call
from replay_proxy.dummy.events import DONE, event, json_string, rendered_once
from replay_proxy.dummy.replies import EVENTS, JSON, Reply, Streamed, Whole
from replay_proxy.dummy.schemas import CreateChatCompletionRequest
from replay_proxy.dummy.text import answer_to, ended, text_of
from replay_proxy.dummy.validation import checked, json_object


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer, ``n`` times over. ``created`` is in seconds since 1970."""

    id: str
    created: int
    model: str
    text: str
    finish_reason: str
    n: int
    prompt_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        completion = self.n * len(self.text)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        }


def create_chat_completion(call: Call) -> Reply:
    """Answer a conversation. Raises ``InvalidRequest``."""
    body = json_object(call.request.body)
    call.name_model(body)
    asked = checked(CreateChatCompletionRequest, body)
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or ()
    text, finish_reason = ended(
        answer_to(asked.messages), stop, asked.max_completion_tokens or asked.max_tokens
    )
    answer = _Answer(
        id=call.new_id("chatcmpl-"),
        created=int(time.time()),
        model=asked.model,
        text=text,
        finish_reason=finish_reason,
        n=asked.n or 1,
        prompt_tokens=sum(len(text_of(message)) for message in asked.messages),
    )
    if asked.stream:
        return _streamed(answer, bool(asked.stream_options and asked.stream_options.include_usage))
    return Whole(
        JSON, _completion(answer), tokens=len(text) * answer.n, prompt_tokens=answer.prompt_tokens
    )


def _completion(answer: _Answer) -> bytes:
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    return orjson.dumps(
        {
            "id": answer.id,
            "object": "chat.completion",
            "created": answer.created,
            "model": answer.model,
            "choices": [
                {
                    "index": index,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": answer.finish_reason,
                }
                for index in range(answer.n)
            ],
            "usage": answer.usage,
        }
    )


def _streamed(answer: _Answer, with_usage: bool) -> Streamed:
    common = {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
    }
    no_usage = {"usage": None} if with_usage else {}

    def events(delta: dict[str, str], finish_reason: str | None = None) -> list[bytes]:
        return [
            event(
                {
                    **common,
                    "choices": [
                        {
                            "index": index,
                            "delta": delta,
                            "logprobs": None,
                            "finish_reason": finish_reason,
                        }
                    ],
                    **no_usage,
                }
            )
            for index in range(answer.n)
        ]

    # The delta's is the last empty string of its event: only the name of the model is free text,
    # and that comes before.
    frames = [each.rpartition(b'""')[::2] for each in events({"content": ""})]

    def token(text: str) -> bytes:
        escaped = json_string(text)
        return b"".join([head + escaped + tail for head, tail in frames])

    closing = events({}, answer.finish_reason)
    if with_usage:
        closing.append(event({**common, "choices": [], "usage": answer.usage}))
    return Streamed(
        EVENTS,
        opening=b"".join(events({"role": "assistant", "content": ""})),
        tokens=rendered_once(token, answer.text),
        closing=b"".join([*closing, DONE]),
        count=len(answer.text),
        prompt_tokens=answer.prompt_tokens,
    )
