"""What has changed between a recorded answer and a new one to the same request. Pure.

There are two kinds of findings: of shape, which may break a program, and of wording, which a model
changes at every call. ``shape`` defines shape, and ``passages`` the shape of a stream. Nothing here
raises, for any bytes.

Not in here: sending the request again (``cli.refresh``).
"""

from collections.abc import Iterator

from replay_proxy.answers.drift.differences import (
    Change,
    Finding,
    differences,
    differences_of_events,
)
from replay_proxy.answers.drift.passages import passages
from replay_proxy.answers.drift.shape import Reading, shape, shape_of_events
from replay_proxy.answers.parsed import Answer, parsed
from replay_proxy.answers.transcript import Transcript, transcript
from replay_proxy.matching.texts import around_difference
from replay_proxy.redaction.display import redacted
from replay_proxy.wire import Request

__all__ = ["Change", "Finding", "drift"]

#: Characters of an excerpt, and of the context around a difference.
_EXCERPT_CHARS, _CONTEXT_CHARS = 120, 24


def drift(request: Request, recorded: Answer, now: Answer) -> tuple[Finding, ...]:
    """Every difference of shape, each place once, and then those of wording.

    A new optional field is ``ADDED``. What breaks programs is ``REMOVED`` and ``CHANGED``.
    """
    before, after = transcript(recorded), transcript(now)
    findings = list(_outside(recorded, now))
    if not findings:
        findings += _ends(recorded, before, now, after)
        findings += _shapes(recorded, now, Reading(json_texts=_asks_json(request)))
    unique: dict[str, Finding] = {}
    for finding in findings:
        unique.setdefault(finding.path, finding)
    return (*unique.values(), *_wording(before, after))


def _outside(recorded: Answer, now: Answer) -> Iterator[Finding]:
    """Differences so large that the bodies need no comparison."""
    if recorded.status != now.status:
        yield Finding(Change.CHANGED, "status", str(recorded.status), str(now.status))
    old, new = recorded.steps is not None, now.steps is not None
    if old != new:
        forms = ("no stream", "a stream")
        yield Finding(Change.CHANGED, "streaming", forms[old], forms[new])
    if recorded.media_type != now.media_type:
        types = recorded.media_type or "none", now.media_type or "none"
        yield Finding(Change.CHANGED, "media type", *types)


def _ends(
    recorded: Answer, before: Transcript, now: Answer, after: Transcript
) -> Iterator[Finding]:
    if recorded.ended and not now.ended:
        yield Finding(Change.CHANGED, "end", "whole", "cut off")
    if (before.error is None) != (after.error is None):
        errors = (_excerpt(side.error or "none") for side in (before, after))
        yield Finding(Change.CHANGED, "$.error", *errors)


def _shapes(recorded: Answer, now: Answer, reading: Reading) -> Iterator[Finding]:
    if recorded.value is None or now.value is None:
        return
    old, new = recorded.steps, now.steps
    # The last event of a typed stream holds the whole answer, and is compared with the others.
    if old is None or new is None or _comes_in_chunks(recorded) or _comes_in_chunks(now):
        yield from differences(shape(recorded.value, reading), shape(now.value, reading))
    if old is not None and new is not None:
        yield from differences_of_events(
            shape_of_events(passages(old, reading)), shape_of_events(passages(new, reading))
        )


def _comes_in_chunks(answer: Answer) -> bool:
    return isinstance(answer.value, dict) and "choices" in answer.value


def _wording(before: Transcript, after: Transcript) -> Iterator[Finding]:
    for name, one, other in (
        ("text", before.text, after.text),
        ("reasoning", before.reasoning, after.reasoning),
        ("tool calls", _calls(before), _calls(after)),
    ):
        if one != other:
            excerpts = around_difference(one, other, _CONTEXT_CHARS)
            yield Finding(Change.WORDING, name, *map(_excerpt, excerpts))


def _calls(said: Transcript) -> str:
    return "\n".join(f"{call.name}({call.arguments})" for call in said.tool_calls)


def _excerpt(text: str) -> str:
    text = redacted(text)
    return text if len(text) <= _EXCERPT_CHARS else f"{text[: _EXCERPT_CHARS - 1]}…"


def _asks_json(request: Request) -> bool:
    """Whether the request asks for JSON as the text of its answer."""
    body = parsed(request.body)
    if not isinstance(body, dict):
        return False
    text = body.get("text")
    formats = [body.get("response_format"), text.get("format") if isinstance(text, dict) else None]
    types = [form.get("type") for form in formats if isinstance(form, dict)]
    return "json_object" in types or "json_schema" in types
