"""The explanation of a miss: the reason, the request, the nearest recordings, the remedy. Pure.

One object has everything: its ``details`` are the JSON of the 404 and of the report, its message is
for a person. It stays small for a prompt of any size, and shows no secrets.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from replay_proxy.cassette import Counts, RecordedRequest
from replay_proxy.errors import CassetteMiss, ConfigurationError
from replay_proxy.matching.comparison import ABSENT, Comparison, Difference
from replay_proxy.matching.content import content
from replay_proxy.matching.leaves import has_many_values
from replay_proxy.matching.request_json import model_of, request_json
from replay_proxy.matching.rules import Rule
from replay_proxy.matching.texts import around_difference, common_ends, elements, ends
from replay_proxy.redaction.credentials import is_secret, without_credentials
from replay_proxy.redaction.display import (
    REDACTED,
    is_secret_path,
    json_printable,
    printable,
    printable_in,
    redacted,
    without_secrets,
)
from replay_proxy.wire import Request

#: Recordings that a miss shows, and differences of each.
SHOWN, DIFFERENCES = 3, 10
#: Least similarity of a recording that is shown.
SIMILAR = 0.4
#: Characters of a value that are shown, and characters around a difference in a long text.
_VALUE_CHARS, _CONTEXT_CHARS = 120, 24
#: Characters on either side of a difference that are searched for secrets: none is longer, and
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
    "Ask less often, record again with as many calls, or set REPEATS=last or cycle.",
    "If the client waits for an end that was not recorded, record again up to that end; "
    "REPEATS=cycle repeats without a limit.",
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
    request.memo.update(memo)  # Credentials are in no fingerprint.
    asked_for = Comparison(request, rule.headers, rule.without)
    ranked = sorted(
        ((asked_for.similarity(each.request), each) for each in candidates),
        key=lambda pair: (-pair[0], pair[1].id),
    )
    near = [
        (each, similarity, asked_for.differences(each.request))
        for similarity, each in ranked[:SHOWN]
        if similarity >= SIMILAR
    ]
    reason = _reason(counts, answers, near)
    numbers = {
        "interactions": counts.interactions if counts else 0,
        "fingerprints": counts.fingerprints if counts else 0,
        "answers": answers,
    }
    nearest = [_near(*each, request, rule) for each in near] if not answers else []
    asked = summary(request)
    remedy = _USED_UP[bool(repeated)] if reason == "used_up" else _RECORD
    many = numbers["interactions"] != 1
    none = f"none of the {numbers['interactions']} recordings" if many else "not even the only one"
    why = _WHY[reason].format(cassette=cassette, answers=answers, none=none)
    why += f", the last one {repeated} times more" if reason == "used_up" and repeated else ""
    details: dict[str, Any] = {"fingerprint": fingerprint, "cassette": cassette, "asked": asked}
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
    said = asked["last_message"]
    what = ", ".join(filter(None, (asked["model"], said and f'"{said}"')))
    return f"{asked['method']} {asked['path']}" + (f" ({what})" if what else "")


def described(difference: Difference) -> dict[str, str]:
    """A difference for JSON; a side that does not have the leaf is left out."""
    path = difference.path
    before, now = _both_shown(
        _allowed(difference, difference.recorded), _allowed(difference, difference.asked)
    )
    shown = {"path": redacted(path)}
    shown |= {} if difference.recorded is ABSENT else {"recorded": before}
    shown |= {} if difference.asked is ABSENT else {"asked": now}
    return shown


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
    recorded: RecordedRequest, score: float, found: list[Difference], asked: Request, rule: Rule
) -> dict[str, Any]:
    """One near recording for JSON; ``match_ignore`` is the setting that would make it a hit."""
    paths = [each.path for each in found]
    ignorable = 0 < len(paths) <= DIFFERENCES and all(
        path.startswith("$") and redacted(path) == path for path in paths
    )
    if ignorable:
        try:
            wider = rule.and_ignoring(paths)
        except ConfigurationError:  # A name of control characters, which the paths cannot have.
            ignorable = False
        else:
            # An element that only one of them has is not made equal by leaving it out.
            ignorable = wider.key(recorded.request) == wider.key(asked)
    return {
        "interaction": str(recorded.id),
        "similarity": round(score, 4),
        "differences": [described(each) for each in found[:DIFFERENCES]],
        "more_differences": max(0, len(paths) - DIFFERENCES),
        # To be pasted: JSONPath knows the escapes of JSON.
        "match_ignore": json_printable(",".join((*rule.ignored, *paths))) if ignorable else None,
    }


def _cause(
    asked: dict[str, str | None], reason: str, why: str, nearest: Sequence[dict[str, Any]]
) -> str:
    lines = [f"No recording answers {request_text(asked)}: {why} [{reason}]."]
    for each in nearest:
        lines.append(f"  {each['similarity']:.1%} the same: interaction {each['interaction']}")
        for difference in each["differences"]:
            lines.append(f"    {difference['path']}")
            lines.append(f"      recorded: {difference.get('recorded', '(absent)')}")
            lines.append(f"      asked:    {difference.get('asked', '(absent)')}")
        if each["more_differences"]:
            lines.append(f"    and {each['more_differences']} more differences")
        if each["match_ignore"]:
            lines.append(f"    to ignore this: MATCH_IGNORE={each['match_ignore']}")
    return "\n".join(lines)


def _both_shown(recorded: Any, asked: Any) -> tuple[str, str]:
    """Two values for a person; of long texts only the part that differs."""
    if isinstance(recorded, str) and isinstance(asked, str):
        recorded, asked = around_difference(recorded, asked, _READ_CHARS)
        recorded, asked = ends(recorded, _READ_CHARS), ends(asked, _READ_CHARS)
        # Before the text is cut: half a key is not recognised as one.
        recorded, asked = redacted(recorded), redacted(asked)
        recorded, asked = around_difference(recorded, asked, _CONTEXT_CHARS)
    if isinstance(recorded, list) and isinstance(asked, list):
        at = common_ends(recorded, asked)[0]
        return elements(recorded, at, _shown), elements(asked, at, _shown)
    return _shown(recorded), _shown(asked)


def _shown(value: Any) -> str:
    """A value as JSON, without secrets, shortened in the middle; for an object only its size."""
    if isinstance(value, str):
        return json.dumps(_shortened(value), ensure_ascii=False)
    if isinstance(value, dict) and value:
        return f"{{…}} ({len(value):,} members)"
    if isinstance(value, list) and value:
        return elements(value, 0, _shown)
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
