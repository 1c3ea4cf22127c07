"""Strings that fit a JSON Schema, drawn at random.

In here: ``format``, ``pattern`` by way of ``regular``, ``minLength`` and ``maxLength``. Not in
here: any other type.

Formats: https://json-schema.org/draft/2020-12/json-schema-validation#section-7.3
"""

import re
from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

from replay_proxy.dummy.lorem import WORDS, phrase, sentences
from replay_proxy.dummy.regular import matching

#: How often a pattern is drawn for a length, or another bound, that it does not know of.
_TRIES = 100
#: No string is made longer.
_MOST = 100_000


def string(schema: dict[str, Any], chance: Random) -> str:
    """A string that fits."""
    least, most = _length(schema, "minLength") or 0, _length(schema, "maxLength")
    if "pattern" in schema:
        return _matching(schema["pattern"], least, most, chance)
    if (form := _FORMATS.get(schema.get("format", ""))) is not None:
        return form(chance)
    text = phrase(chance)
    if len(text) < least:
        text += " " + sentences(chance, least)
        text = text[: max(least, 40)]
    return text[:most]


def _matching(pattern: str, least: int, most: int | None, chance: Random) -> str:
    """A match of the pattern, of the length if one is found in time."""
    drawn = ""
    for attempt in range(_TRIES):
        # From short to long: the repetitions that have no bound of their own get one.
        more = 3 if least == 0 and most is None else min(attempt + 1, max(least, 3))
        drawn = matching(pattern, chance, more)
        fits = len(drawn) >= least and (most is None or len(drawn) <= most)
        if fits and _found(pattern, drawn):
            return drawn
    return drawn


def _found(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True  # JavaScript's: it cannot be checked here.


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
    # Addresses that are reserved for documentation: RFC 5737, RFC 3849.
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
