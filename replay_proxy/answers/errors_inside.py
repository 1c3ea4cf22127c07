"""An error inside an answer with status 200. Pure.

An API or gateway that has sent its head reports a later failure in an event, and some report it as
the whole JSON: OpenAI's ``error`` and ``response.failed``, Anthropic's ``error``, the
``{"error": …}`` of vLLM, LiteLLM, OpenRouter and Gemini. Like a status, such an error is stable
(the request is at fault), depends on the credential, or is transient.

A recorder calls this once per answer: bytes are searched, and only what looks like an error is
parsed.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import orjson

from replay_proxy.answers.losses import CREDENTIAL, TRANSIENT, Loss, loss_of_kind, loss_of_status
from replay_proxy.matching.content_coding import decoded
from replay_proxy.sse.events import events
from replay_proxy.sse.terminal import event_ends
from replay_proxy.wire import Response, header, is_event_stream

#: Maximum size of JSON or of an event that is looked at: an error object is small.
_MOST_BYTES = 1 << 22
#: What follows ``"error"`` if that is a member that is not empty, or the value of another member.
_NOT_EMPTY = re.compile(rb'\s*(?::\s*(?!null|false|""|\{\s*\}|\s)|[,}\r\n])')
#: The names of events that are errors, as they are written in a stream.
_NAMES = (b"event: error", b"event:error", b"thread.run.failed")
#: Objects of the API whose member ``error`` is the failure of a job, and which are whole answers.
_ANSWER_OBJECTS = (None, "error", "chat.completion", "chat.completion.chunk", "text_completion")

_STATUS = re.compile(r"[45][0-9][0-9]", re.ASCII)
_CREDENTIAL_WORDS = re.compile(r"auth|permission|api_?key|forbidden|billing", re.IGNORECASE)
_TRANSIENT_WORDS = re.compile(
    r"server_?error|internal|rate_?limit|too_?many|overload|unavailable|time_?d?_?out|deadline"
    r"|exhausted|quota|capacity|slow_?down|busy|aborted|api_error",
    re.IGNORECASE,
)
_STABLE_WORDS = re.compile(
    r"invalid|unsupported|not_?found|too_?(?:large|long)|content_?(?:filter|policy)|context_?length"
    r"|max_?length|bad_?request|unprocessable|missing|exceed",
    re.IGNORECASE,
)


def loss_inside(method: str, answer: Response, body: bytes) -> Loss | None:
    """The loss of a whole answer by an error in it; None if it has none, or only stable ones.

    ``method`` is the request's.
    """
    if answer.status >= 300:
        return None
    if (coding := header(answer.headers, b"content-encoding")) is not None:
        try:
            body = decoded(body, coding)
        except ValueError:
            return None
    if b"error" not in body:  # As in most answers.
        return None
    errors = _in_stream(body) if is_event_stream(answer.headers) else _in_json(method, body)
    for error, is_failure in errors:
        if (code := _kind(error, is_failure=is_failure)) is not None:
            depends = "depends on who asks" if code == CREDENTIAL else "lasts only for a moment"
            cause = f'its {answer.status} holds the error "{_text(error)}", which {depends}'
            return loss_of_kind(code, cause)
    return None


def _hints(body: bytes) -> Iterator[int]:
    """The positions at which an error may be."""
    for at in _places(body, b'"error"'):
        if _NOT_EMPTY.match(body, at + len(b'"error"')):
            yield at
    for name in _NAMES:
        yield from _places(body, name)


def _places(body: bytes, part: bytes) -> Iterator[int]:
    at = body.find(part)
    while at >= 0:
        yield at
        at = body.find(part, at + len(part))


def _in_stream(body: bytes) -> Iterator[tuple[Any, bool]]:
    """The errors of a stream, each with whether it is the failure of a response or a run."""
    ends: list[int] = []
    seen = set[int]()
    for at in _hints(body):
        ends = ends or event_ends(body)
        number = bisect_right(ends, at)
        begin = ends[number - 1] if number else 0
        if number in seen or ends[number] - begin > _MOST_BYTES:
            continue
        seen.add(number)
        for event in events(body[begin : ends[number]].rstrip() + b"\n\n"):
            yield from _in_event(event.name, _parsed(event.data))


def _in_event(name: str, value: Any) -> Iterator[tuple[Any, bool]]:
    if not isinstance(value, dict):
        if name == "error":
            yield value, False
        return
    kind = value.get("type")
    if kind == "response.failed":
        response = value.get("response")
        yield response.get("error") if isinstance(response, dict) else None, True
    elif name == "thread.run.failed":
        yield value.get("last_error"), True
    elif error := value.get("error") or _in_choices(value):
        yield error, False
    elif "error" in (name, kind, value.get("object")):
        yield value, False


def _in_json(method: str, body: bytes) -> Iterator[tuple[Any, bool]]:
    """The error that is a whole JSON answer or its last element, or is in it."""
    if len(body) > _MOST_BYTES or next(_hints(body), None) is None:
        return
    value = _parsed(body)
    if isinstance(value, list) and value:
        value = value[-1]
    if not isinstance(value, dict):
        return
    kind = value.get("object")
    if kind == "response" and method == "POST":
        yield value.get("error"), True
    elif kind in _ANSWER_OBJECTS and (error := value.get("error") or _in_choices(value)):
        yield error, False
    elif "error" in (kind, value.get("type")):
        yield value, False


def _in_choices(value: dict[str, Any]) -> Any:
    """The error of a choice, as OpenRouter has it."""
    choices = value.get("choices")
    if not isinstance(choices, list):
        return None
    errors = (choice.get("error") for choice in choices if isinstance(choice, dict))
    return next(filter(None, errors), None)


def _kind(error: Any, *, is_failure: bool) -> str | None:
    """The code of the loss; None for a stable error.

    A failure is stable unless its words say otherwise; any other error is transient unless its
    words say that it is stable.
    """
    values: list[Any] = [error]
    if isinstance(error, dict):
        values = [error.get(name) for name in ("code", "status", "type")]
    for value in values:
        if _STATUS.fullmatch(str(value)):
            loss = loss_of_status(int(value), keep_errors=False)
            return loss.code if loss is not None else None
    words = " ".join(value for value in values if isinstance(value, str))
    if _CREDENTIAL_WORDS.search(words):
        return CREDENTIAL
    if _TRANSIENT_WORDS.search(words):
        return TRANSIENT
    return None if is_failure or _STABLE_WORDS.search(words) else TRANSIENT


def _text(error: Any) -> str:
    """The message of the error, shortened."""
    text = error.get("message") or error.get("code") if isinstance(error, dict) else error
    return " ".join(str(text or "an error").split())[:200]


def _parsed(data: str | bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return data
