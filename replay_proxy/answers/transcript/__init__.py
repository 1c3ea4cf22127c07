"""An answer as a person reads it: its text, tool calls, finish reasons and usage. Pure.

For one answer of any endpoint, streamed or not. It never raises, for any bytes.

Not in here: comparing answers (``drift``), and reading their bytes (``parsed``).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from replay_proxy.answers.parsed import Answer
from replay_proxy.answers.transcript.description import description
from replay_proxy.answers.transcript.utterance import (
    ToolCall,
    dicts,
    objects,
    tool_calls,
    utterances,
)

__all__ = ["ToolCall", "Transcript", "Usage", "transcript"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the answer counts them; None if it does not."""

    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None


@dataclass(frozen=True, slots=True)
class Transcript:
    """What an answer says.

    ``text`` is without tool calls and reasoning. If there is none, it is the message of the
    ``error``, or describes the content (``3 vectors of 1,536``, ``12,345 bytes of audio/mpeg``).
    Several choices stand below each other, each after its index. ``finish_reasons`` are one per
    choice, or the status of a response or a run. ``ended`` is that of ``Answer``. All text can be
    encoded in UTF-8.
    """

    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish_reasons: tuple[str, ...]
    usage: Usage | None
    error: str | None
    streams: bool
    ended: bool


def transcript(answer: Answer) -> Transcript:
    """What this answer says."""
    value = answer.value if isinstance(answer.value, dict) else {}
    said = list(utterances(value))
    several = sum(one.index is not None for one in said) > 1
    text = "\n\n".join(
        f"[{one.index}] {one.text}" if several else one.text for one in said if one.text
    )
    calls = tuple(
        ToolCall(_encodable(call.name), _encodable(call.arguments)) for call in tool_calls(value)
    )
    error = _error(answer, value)
    if not text:
        text = error or ("" if said or calls else description(answer))
    return Transcript(
        text=_encodable(text),
        reasoning=_encodable("\n\n".join(one.reasoning for one in said if one.reasoning)),
        tool_calls=calls,
        finish_reasons=tuple(map(_encodable, _finish_reasons(value))),
        usage=_usage(value),
        error=None if error is None else _encodable(error),
        streams=answer.steps is not None,
        ended=answer.ended,
    )


def _finish_reasons(value: dict[str, Any]) -> Iterator[str]:
    for choice in dicts(value.get("choices")):
        if isinstance(choice.get("finish_reason"), str):
            yield choice["finish_reason"]
    for run in objects(value):
        if run.get("object") in ("response", "thread.run") and isinstance(run.get("status"), str):
            details = run.get("incomplete_details")
            reason = details.get("reason") if isinstance(details, dict) else None
            yield run["status"] + (f" ({reason})" if reason else "")


def _usage(value: dict[str, Any]) -> Usage | None:
    for holder in (value, *reversed(objects(value))):
        usage = holder.get("usage")
        if isinstance(usage, dict):
            return Usage(
                _tokens(usage, "input_tokens", "prompt_tokens"),
                _tokens(usage, "output_tokens", "completion_tokens"),
                _tokens(usage, "total_tokens"),
            )
    return None


def _tokens(usage: dict[str, Any], *names: str) -> int | None:
    return next((usage[name] for name in names if isinstance(usage.get(name), int)), None)


def _error(answer: Answer, value: dict[str, Any]) -> str | None:
    """The message of an error status, an error in a stream, or a failed response or run."""
    error = value.get("error") or value.get("last_error")
    if answer.status >= 400 and not error:
        error = value.get("message") or value.get("detail") or description(answer)
        error = error or f"status {answer.status}"
    if isinstance(error, dict):
        error = error.get("message") or error
    if not error:
        return None
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)


def _encodable(text: str) -> str:
    """The text in which halves of characters from two deltas are joined, and lone ones replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
