"""The narrowest rule that would make a near recording answer a missed request. Pure.

A date, an id or a path inside a text is replaced (``MATCH_REPLACE``); a field that is not a prompt
is left out (``MATCH_IGNORE``). No proposed rule leaves a prompt out: another prompt would get the
old answer. For another wording, no rule is proposed: only recording again helps.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from replay_proxy.cassette import RecordedRequest
from replay_proxy.errors import ConfigurationError
from replay_proxy.matching.comparison import Difference
from replay_proxy.matching.replacements import NAMED, in_text, named_parts
from replay_proxy.matching.rules import Rule
from replay_proxy.matching.texts import common_ends
from replay_proxy.redaction.display import json_printable, redacted
from replay_proxy.wire import Request

#: Maximum number of differences that a proposed rule makes equal.
MOST_DIFFERENCES = 10
#: Maximum characters of the differing parts of two texts, and characters around them.
_MOST_CHARS, _CONTEXT_CHARS = 100_000, 200
#: Characters around a part that are searched for a credential, and maximum characters shown of it.
_SECRET_CHARS, _SHOWN_CHARS = 10_000, 60
#: Any number may be what a question is about, so ``number`` is not proposed.
_PROPOSED = tuple(name for name in NAMED if name != "number")
#: Members that hold a prompt, at any depth, or the name of a model: with another one, the answer is
#: another. Ids in them do not belong to it.
_PROMPT = re.compile(
    r"(?i)[.'_](?:messages?|inputs?|instructions?|prompts?|suffix|system|contents?|tools?|functions?"
    r"|documents?|quer(?:y|ies)|texts?|questions?|items|outputs?|arguments|description|model)(?![a-z_])"
)
_ID = re.compile(r"[._](?:id|ID|Id)$|Id$")
#: Ids that stand for content: with another one, the question is another.
_REFERENCE = re.compile(
    r"(?i)(?:file|assistant|prompt|response|conversation|vector_?store|batch)(?:[._]?ids?)?(?:\[\d+\])?$"
)
_NUMBERS = re.compile(r"\d+")
#: Before a number that counts something, and is not part of the question: the word for it. A verb
#: or a thing with a number may be the question ("run 5 km", "step 3") unless a sign is between.
_COUNTED = re.compile(
    r"(?i)\b(?:(?:attempt|retry|iteration|pid|seq|counter|nonce|\w{0,20}(?:_id|\bid))[ :=#-]{0,3}"
    r"|(?:try|run|step|turn|round|session|request|call|build|job|process|sequence|trace"
    r"|\w{1,20}id) ?[:=#]{1,2} ?)$"
)
_MOST_COUNTERS = 3


class Advice(NamedTuple):
    """Values of ``MATCH_IGNORE`` and ``MATCH_REPLACE`` that together make two requests equal.

    Each contains what the rule in use has already, and is None if it need not change. Both are None
    if no rule is proposed.
    """

    ignore: str | None = None
    replace: str | None = None


def advice(
    recorded: RecordedRequest, differences: Sequence[Difference], asked: Request, rule: Rule
) -> Advice:
    """The narrowest change to the rule that would make a recording answer a request."""
    if not 0 < len(differences) <= MOST_DIFFERENCES:
        return Advice()
    ignored: list[str] = []
    replaced: dict[str, None] = {}
    for difference in differences:
        if _may_be_ignored(difference):
            ignored.append(difference.path)
        elif names := _replacements(difference.recorded, difference.asked):
            replaced |= dict.fromkeys(names)
        else:
            return Advice()
    try:
        wider = rule.and_replacing(list(replaced)).and_ignoring(ignored)
    except ConfigurationError:  # A name has a control character, which no path can have.
        return Advice()
    # Leaving out an element that only one array has does not make them equal.
    if wider.key(recorded.request) != wider.key(asked):
        return Advice()
    return Advice(
        # Can be pasted: JSONPath has the escapes of JSON.
        json_printable(",".join(wider.ignored)) if ignored else None,
        wider.replaced if replaced else None,
    )


def span(difference: Difference) -> str | None:
    """How much of two texts differs, and the first parts that do; None if advice has no rule."""
    old, new = difference.recorded, difference.asked
    if not isinstance(old, str) or not isinstance(new, str):
        return None
    names = _replacements(old, new)
    if not names:
        return None
    before, after = common_ends(old, new)
    count = max(len(old), len(new)) - before - after
    parts = [_parts(names[0], text) for text in _window(old, new)]
    unlike = [pair for pair in zip(*parts, strict=False) if pair[0] != pair[1]]
    shown = ""
    if unlike and all(map(_may_be_shown, unlike[0], _window(old, new, _SECRET_CHARS))):
        shown = f": {unlike[0][0][:_SHOWN_CHARS]}, {unlike[0][1][:_SHOWN_CHARS]}"
    return f"{count:,} of {max(len(old), len(new)):,} characters differ{shown}"


def _may_be_shown(part: str, text: str) -> bool:
    """Whether a part of a text is not in a credential."""
    return part in redacted(text)


def _parts(name: str, text: str) -> list[str]:
    """The parts of a text that a replacement replaces."""
    return named_parts(name, text) if name in NAMED else _NUMBERS.findall(text)


def _may_be_ignored(difference: Difference) -> bool:
    path = difference.path
    if not path.startswith("$") or redacted(path) != path:
        return False
    if _REFERENCE.search(path) or (_PROMPT.search(path) and not _ID.search(path)):
        return False
    sides = (difference.recorded, difference.asked)
    return not any(isinstance(side, str) and re.search(r"\s", side) for side in sides)


def _replacements(old: Any, new: Any) -> list[str]:
    """The narrowest replacements that make two texts equal; empty if there are none."""
    if not isinstance(old, str) or not isinstance(new, str):
        return []
    old, new = _window(old, new)
    if max(len(old), len(new)) > _MOST_CHARS:
        return []
    names = list(_PROPOSED)
    if not _are_equal(old, new, names):
        return _counters(old, new)
    for name in reversed(_PROPOSED):
        fewer = [other for other in names if other != name]
        if _are_equal(old, new, fewer):
            names = fewer
    return names


def _window(old: str, new: str, context: int = _CONTEXT_CHARS) -> tuple[str, str]:
    """The parts of two texts that differ, with some characters around them."""
    before, after = common_ends(old, new)
    start, end = max(0, before - context), max(0, after - context)
    return old[start : len(old) - end], new[start : len(new) - end]


def _are_equal(old: str, new: str, names: Sequence[str]) -> bool:
    for name in names:
        replaced = in_text(name)
        old, new = replaced(old), replaced(new)
    return old == new


def _counters(old: str, new: str) -> list[str]:
    """Patterns for texts that differ only in counters, such as ``attempt 3``; otherwise none."""
    if _NUMBERS.sub("0", old) != _NUMBERS.sub("0", new):
        return []
    patterns: dict[str, None] = {}
    for one, other in zip(_NUMBERS.finditer(old), _NUMBERS.finditer(new), strict=True):
        if one[0] == other[0]:
            continue
        word = _COUNTED.search(old[max(0, one.start() - 40) : one.start()])
        if word is None:
            return []
        name = re.sub(r"\W", "", word[0]).upper()
        patterns[rf"/{re.escape(word[0]).replace('/', chr(92) + '/')}\d+/{name}/"] = None
    return list(patterns) if len(patterns) <= _MOST_COUNTERS else []
