"""The explanation of a miss: the reason, the request, the nearest recordings, the remedy. Pure.

One object has all of it: its ``details`` are the JSON of the 404 and of the report, its message is
for a person. It stays small for a prompt of any size, and shows no credentials.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from replay_proxy.cassette import Counts, RecordedRequest
from replay_proxy.errors import CassetteMiss
from replay_proxy.matching.advice import MOST_DIFFERENCES, advice, span
from replay_proxy.matching.comparison import ABSENT, Comparison, Difference
from replay_proxy.matching.content_coding import content
from replay_proxy.matching.leaves import has_many_values
from replay_proxy.matching.request_json import model_of, request_json
from replay_proxy.matching.rules import Rule
from replay_proxy.matching.texts import around_difference, common_ends, elements, ends
from replay_proxy.redaction.credentials import is_secret, without_credentials
from replay_proxy.redaction.display import (
    REDACTED,
    is_secret_path,
    printable,
    printable_in,
    redacted,
    without_secrets,
)
from replay_proxy.wire import Request

#: Maximum number of recordings that a miss shows, and of differences of each.
SHOWN, DIFFERENCES = 3, MOST_DIFFERENCES
#: Minimum similarity of a recording that is shown.
SIMILAR = 0.4
#: Characters of a value that are shown, and characters around a difference in a long text.
_VALUE_CHARS, _CONTEXT_CHARS = 120, 24
#: Characters on either side of a difference that are searched for credentials: none is longer, and
#: searching a long prompt takes milliseconds.
_READ_CHARS = 10_000

_EXACT = Rule()

_WHY = {
    "no_cassette": "there is no cassette '{cassette}'",
    "empty_cassette": "cassette '{cassette}' is empty",
    "used_up": "cassette '{cassette}' has given all its recorded answers ({answers})",
    "no_match": "{none} in cassette '{cassette}' is the same",
    "nothing_similar": "{none} in cassette '{cassette}' is like it",
}
#: The remedies of ``used_up``, without repeats and after them.
_USED_UP = (
    "Ask less often, record again with as many calls, or set REPLAY_PROXY_REPEATS=last or cycle.",
    "If the client waits for an end that was not recorded, record again up to that end; "
    "REPLAY_PROXY_REPEATS=cycle repeats without a limit.",
)
_RECORD = (
    "Record it with MODE=record and your key, or set ON_MISS=record to keep what is missing; "
    "ON_MISS=dummy answers without a recording."
)


def explain(
    request: Request,
    *,
    fingerprint: str,
    cassette: str,
    counts: Counts | None,
    answers: int,
    candidates: Sequence[RecordedRequest],
    rule: Rule = _EXACT,
    repeated: int | None = None,
) -> CassetteMiss:
    """The miss of a request.

    ``counts`` is None for a cassette that does not exist, ``answers`` how many answers the
    cassette has for this request, ``candidates`` recordings that may be near. What the ``rule``
    leaves out does not count as a difference. ``repeated`` bounds the repeats of the last answer.
    """
    memo = request.memo
    request = replace(request, query=without_credentials(request.query))
    request.memo.update(memo)  # Still valid: no fingerprint depends on credentials.
    comparison = Comparison(request, rule.headers, rule.without)
    ranked = sorted(
        ((comparison.similarity(recorded.request), recorded) for recorded in candidates),
        key=lambda pair: (-pair[0], pair[1].id),
    )
    near = [
        (recorded, similarity, comparison.differences(recorded.request))
        for similarity, recorded in ranked[:SHOWN]
        if similarity >= SIMILAR
    ]
    reason = _reason(counts, answers, near)
    numbers = {
        "interactions_total": counts.interactions if counts else 0,
        "fingerprints_total": counts.fingerprints if counts else 0,
        "answers_total": answers,
    }
    nearest = [_near(*recording, request, rule) for recording in near] if not answers else []
    asked = summary(request)
    remedy = _USED_UP[bool(repeated)] if reason == "used_up" else _RECORD
    recordings = numbers["interactions_total"]
    none = f"none of the {recordings} recordings" if recordings != 1 else "not even the only one"
    why = _WHY[reason].format(cassette=cassette, answers=answers, none=none)
    why += f", the last one {repeated} times more" if reason == "used_up" and repeated else ""
    details: dict[str, Any] = {"fingerprint": fingerprint, "cassette": cassette, "request": asked}
    details |= {"counts": numbers, "nearest": nearest, "remedy": remedy}
    cause = printable(_cause(asked, reason, why, nearest))
    return CassetteMiss(cause, remedy=remedy, reason=reason, details=printable_in(details))


def summary(request: Request) -> dict[str, str | None]:
    """A request for a person: method, path, model and last message, shortened."""
    body = None if has_many_values(content(request)) else request_json(request)
    body = body if isinstance(body, dict) else {}
    model = model_of(request) if body else None
    asked = body.get("messages", body.get("input", body.get("prompt")))
    return {
        "method": request.method,
        "path": redacted(request.path),
        "model": _shortened(model) if model is not None else None,
        "last_message": _shortened(_last_text(asked)) if asked else None,
    }


def request_text(asked: dict[str, str | None]) -> str:
    """A summary as one phrase: method, path and, in parentheses, model and last message."""
    message = asked["last_message"]
    content = ", ".join(filter(None, (asked["model"], message and f'"{message}"')))
    return f"{asked['method']} {asked['path']}" + (f" ({content})" if content else "")


def described(difference: Difference) -> dict[str, str]:
    """A difference for JSON; a side that does not have the leaf is left out."""
    path = difference.path
    before, now = _excerpts(
        _allowed(difference, difference.recorded), _allowed(difference, difference.asked)
    )
    entry = {"place": redacted(path)}
    entry |= {} if difference.recorded is ABSENT else {"recorded_value": before}
    entry |= {} if difference.asked is ABSENT else {"sent_value": now}
    if not any(REDACTED in side for side in (before, now)) and (spot := span(difference)):
        entry["span"] = spot
    return entry


def _allowed(difference: Difference, value: Any) -> Any:
    """The part of a side that may be shown; old recordings hold queries with credentials."""
    if difference.path == "query" and isinstance(value, str):
        return without_credentials(value)
    secret = is_secret(difference.label) or is_secret_path(difference.path, value)
    return REDACTED if secret else value


def _reason(counts: Counts | None, answers: int, near: Sequence[Any]) -> str:
    if counts is None:
        return "no_cassette"
    if counts.interactions == 0:
        return "empty_cassette"
    if answers:
        return "used_up"
    return "no_match" if near else "nothing_similar"


def _near(
    recorded: RecordedRequest, score: float, leaves: list[Difference], asked: Request, rule: Rule
) -> dict[str, Any]:
    """One near recording for JSON, and the settings that would make it a hit."""
    proposed = advice(recorded, leaves, asked, rule)
    return {
        "interaction": str(recorded.id),
        "similarity": round(score, 4),
        "differences": [described(leaf) for leaf in leaves[:DIFFERENCES]],
        "more_differences": max(0, len(leaves) - DIFFERENCES),
        "match_ignore": proposed.ignore,
        "match_replace": proposed.replace,
    }


def _cause(
    asked: dict[str, str | None], reason: str, why: str, nearest: Sequence[dict[str, Any]]
) -> str:
    lines = [f"No recording answers {request_text(asked)}: {why} [{reason}]."]
    for near in nearest:
        lines.append(f"  {near['similarity']:.1%} the same: interaction {near['interaction']}")
        for difference in near["differences"]:
            lines.append(f"    {difference['place']}")
            lines.append(f"      recorded: {difference.get('recorded_value', '(absent)')}")
            lines.append(f"      asked:    {difference.get('sent_value', '(absent)')}")
            if "span" in difference:
                lines.append(f"      {difference['span']}")
        if near["more_differences"]:
            lines.append(f"    and {near['more_differences']} more differences")
        if near["match_replace"]:
            lines.append(f"    to match it: REPLAY_PROXY_MATCH_REPLACE='{near['match_replace']}'")
        if near["match_ignore"]:
            lines.append(f"    to ignore this: REPLAY_PROXY_MATCH_IGNORE={near['match_ignore']}")
    return "\n".join(lines)


def _excerpts(recorded: Any, asked: Any) -> tuple[str, str]:
    """Two values for a person; of long texts only the part that differs."""
    if isinstance(recorded, str) and isinstance(asked, str):
        recorded, asked = around_difference(recorded, asked, _READ_CHARS)
        recorded, asked = ends(recorded, _READ_CHARS), ends(asked, _READ_CHARS)
        # Before the text is cut: half a key is not recognised as one.
        recorded, asked = redacted(recorded), redacted(asked)
        recorded, asked = around_difference(recorded, asked, _CONTEXT_CHARS)
    if isinstance(recorded, list) and isinstance(asked, list):
        at = common_ends(recorded, asked)[0]
        return elements(recorded, at, _excerpt), elements(asked, at, _excerpt)
    return _excerpt(recorded), _excerpt(asked)


def _excerpt(value: Any) -> str:
    """A value as JSON, without credentials, shortened in the middle; for an object its size."""
    if isinstance(value, str):
        return json.dumps(_shortened(value), ensure_ascii=False)
    if isinstance(value, dict) and value:
        return f"{{…}} ({len(value):,} members)"
    if isinstance(value, list) and value:
        return elements(value, 0, _excerpt)
    return _shortened(value)


def _shortened(value: Any) -> str:
    try:
        if not isinstance(value, str):
            value = json.dumps(without_secrets(value), default=str, ensure_ascii=False)
    except RecursionError:
        value = "(nested too deep)"
    text = redacted(value[:4000]) + ("…" if len(value) > 4000 else "")
    if len(text) > _VALUE_CHARS:
        half = _VALUE_CHARS // 2
        text = f"{text[:half]} … {text[-half:]}"
    return text


def _last_text(asked: Any) -> Any:
    """The text of the last message, of the last input item, or of a plain prompt."""
    while isinstance(asked, list) and asked:
        asked = asked[-1]
        if isinstance(asked, dict):
            asked = asked.get("content", asked.get("text", asked.get("output", "")))
    return asked
