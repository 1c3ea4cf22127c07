"""Strings that fit a JSON Schema, drawn at random.

In here: ``format``, ``minLength``, ``maxLength``, and ``pattern`` by means of ``patterns``. Not in
here: any other type.

Formats: https://json-schema.org/draft/2020-12/json-schema-validation#section-7.3
"""

import re
from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

from replay_proxy.transports.dummy.json_schema.backtracking import effort
from replay_proxy.transports.dummy.json_schema.patterns import random_match
from replay_proxy.transports.dummy.sayings.lorem import WORDS, phrase, sentences
from replay_proxy.transports.dummy.work_budget import BudgetSpent, WorkBudget

#: Maximum number of matches of a pattern that are drawn to find one of the right length.
_TRIES = 100
#: Steps after which no further match is tried.
_TRY_STEPS = 20_000
#: Maximum effort to check a match; a match that takes more is not checked.
_CHECK_EFFORT = 200_000
#: Effort that costs one step.
_PER_STEP = 20
#: The longest string.
_MOST = 100_000
#: Characters of the shortest word of the filler text, with its space.
_SHORTEST_WORD = 3


def random_string(schema: dict[str, Any], chance: Random, budget: WorkBudget) -> str:
    """A string that fits. Raises ``BudgetSpent``."""
    least, most = _length(schema, "minLength") or 0, _length(schema, "maxLength")
    if "pattern" in schema:
        return _string_like(schema["pattern"], least, most, chance, budget)
    if (form := _FORMATS.get(schema.get("format", ""))) is not None:
        return form(chance)
    text = phrase(chance)
    if len(text) < least:
        budget.step(least // 4)
        text += " " + sentences(chance, least // _SHORTEST_WORD + 1)
        text = text[: max(least, 40)]
    return text[:most]


def _string_like(
    pattern: str, least: int, most: int | None, chance: Random, budget: WorkBudget
) -> str:
    """A match of the pattern; of the right length, if one is found in time."""
    drawn: str | None = None
    stop = budget.steps_left - _TRY_STEPS
    for attempt in range(_TRIES):
        # From short to long: this is the bound of repetitions that have none of their own.
        more = 3 if least == 0 and most is None else min(attempt + 1, max(least, 3))
        drawn = _random_match(pattern, chance, more, budget)
        fits = len(drawn) >= least and (most is None or len(drawn) <= most)
        if fits and _is_match(pattern, drawn, budget):
            return drawn
        if budget.steps_left < stop:
            break
    assert drawn is not None
    return drawn


def _random_match(pattern: str, chance: Random, more: int, budget: WorkBudget) -> str:
    """A match, or the shortest one if nested repetitions make it too large."""
    limit = min(_TRY_STEPS, budget.steps_left)
    trial = WorkBudget(limit)
    try:
        drawn = random_match(pattern, chance, more, trial)
    except BudgetSpent:
        budget.step(limit)
        drawn = random_match(pattern, chance, 0, budget)
    else:
        budget.step(limit - trial.steps_left)
    # JavaScript's patterns write a character beyond the first plane as two surrogates.
    return drawn.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_match(pattern: str, text: str, budget: WorkBudget) -> bool:
    """Whether the text has a match of the pattern; True if that takes too long to find out."""
    budget.step(len(pattern))  # To read it, here and to compile it.
    steps = effort(pattern, len(text))
    if steps > _CHECK_EFFORT:
        return True
    budget.step(steps // _PER_STEP)
    try:
        return re.search(pattern, text) is not None
    except (re.error, OverflowError, RecursionError):
        return True  # JavaScript's syntax, or too large for Python.


def _length(schema: dict[str, Any], keyword: str) -> int | None:
    length = schema.get(keyword)
    return None if length is None else int(max(0, min(length, _MOST)))


def _date(chance: Random) -> str:
    year, month, day = chance.randint(2020, 2030), chance.randint(1, 12), chance.randint(1, 28)
    return f"{year}-{month:02}-{day:02}"


def _time(chance: Random) -> str:
    return f"{chance.randint(0, 23):02}:{chance.randint(0, 59):02}:{chance.randint(0, 59):02}Z"


def _ipv6(chance: Random) -> str:
    return ":".join(["2001", "db8", *(f"{chance.getrandbits(16):x}" for _ in range(6))])


def _word(chance: Random) -> str:
    return chance.choice(WORDS)


_FORMATS: dict[str, Callable[[Random], str]] = {
    "date-time": lambda chance: f"{_date(chance)}T{_time(chance)}",
    "date": _date,
    "time": _time,
    "duration": lambda chance: f"P{chance.randint(1, 30)}DT{chance.randint(0, 23)}H",
    "email": lambda chance: f"{_word(chance)}@example.com",
    "idn-email": lambda chance: f"{_word(chance)}@example.com",
    "hostname": lambda chance: f"{_word(chance)}.example.com",
    "idn-hostname": lambda chance: f"{_word(chance)}.example.com",
    # Addresses reserved for documentation: RFC 5737, RFC 3849.
    "ipv4": lambda chance: f"192.0.2.{chance.randint(1, 254)}",
    "ipv6": _ipv6,
    "uuid": lambda chance: str(UUID(int=chance.getrandbits(128), version=4)),
    "uri": lambda chance: f"https://example.com/{_word(chance)}",
    "iri": lambda chance: f"https://example.com/{_word(chance)}",
    "uri-reference": lambda chance: f"/{_word(chance)}",
    "iri-reference": lambda chance: f"/{_word(chance)}",
    "json-pointer": lambda chance: f"/{_word(chance)}",
    "regex": lambda chance: f"{_word(chance)}+",
}
