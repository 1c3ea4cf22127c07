"""``MATCH_REPLACE``: parts of texts, such as dates, that count as equal in two requests. Pure.

A replacement puts a placeholder in their place, in the texts of both sides when they are compared;
what is sent and stored stays as it is. Named replacements have patterns of ours, which take linear
time; any other pattern is stopped after ``PATTERN_S`` (docs/decisions/0018).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from replay_proxy.errors import ConfigurationError, RequestError
from replay_proxy.matching.json_paths import Change, changer

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?,? )?"
_DAY = r"[0-3]?\d(?:st|nd|rd|th)?"
_DATE = (
    r"(?:[12]\d{3}(?:-[01]?\d-|/[01]?\d/|\.[01]?\d\.)[0-3]?\d"
    r"|[0-3]?\d/[0-3]?\d/[12]\d{3}|[0-3]?\d\.[01]?\d\.[12]\d{3}"
    rf"|{_WEEKDAY}{_MONTH} {_DAY},? [12]\d{{3}}|{_WEEKDAY}{_DAY} {_MONTH},? [12]\d{{3}}"
    r"|[12]\d{3}년 ?[01]?\d월 ?[0-3]?\d일(?: ?\(?[월화수목금토일](?:요일)?\)?)?"
    r"|[12]\d{3}年[01]?\d月[0-3]?\d日(?:\([月火水木金土日]\))?)"
)
_ZONE = r"(?: ?(?:Z|UTC|GMT|[A-Z]{2,4}T)\b| ?[+-][01]\d:?[0-5]\d\b)?"
_TIME = (
    r"(?:[0-2]?\d:[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?(?: ?[AaPp]\.?[Mm]\b\.?)?"
    rf"{_ZONE}|(?:오전 ?|오후 ?)?[0-2]?\d시(?: ?[0-5]?\d분(?: ?[0-5]?\d초)?)?)"
)
#: The named replacements in the order in which they are applied and proposed, the narrowest first.
#: The first and the last group are context that stays.
NAMED = {
    "uuid": r"(\b)([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(\b)",
    "datetime": rf"(\b)({_DATE}(?:T|,? (?:at )?){_TIME})()",
    "date": rf"(\b)({_DATE})(T|_|\b|[^0-9]|$)",
    "time": rf"(^|T|\b|[^0-9A-Za-z_])({_TIME})()",
    # At least two segments of Unix, or a drive of Windows; not the path of a URL.
    "path": r"(^|[^\w/:.~-])(~?(?:/[\w.@+~%=-]+){2,}/?|[A-Za-z]:\\[\w.@+~%=\\ -]*[\w\\])()",
    "port": r"(localhost:|\d\.\d{1,3}:|\]:|\b[Pp]ort |//[\w.-]{1,37}:)(\d{4,5})(\b)",
    # From 2014 on.
    "epoch": r"(\b)(1[4-9]\d{8}(?:\d{3}|\d{6}|\d{9})?(?:\.\d{1,9})?)(\b)",
    # With a digit and a letter: words have no digits, numbers no letters.
    "hex": r"(\b)((?:0x)?[0-9A-Fa-f]{8,})(\b)",
    "number": r"(^|[^\w.])([-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?)(\b)",
}
_PATTERNS = {name: re.compile(pattern, re.ASCII) for name, pattern in NAMED.items()}
#: Maximum characters before the first digit of a match; only ``path`` needs no digit.
_NEAR_CHARS = 40
_DIGIT = re.compile(r"[0-9]")
_NEAR_DIGITS = re.compile(r"[0-9][^0-9]{0,80}(?:[0-9]+[^0-9]{0,80})*")
_NEAR_SLASHES = re.compile(r"[/\\][^/\\]{0,300}(?:[/\\]+[^/\\]{0,300})*")
#: Nested objects and arrays in which texts are replaced: one that is deeper is not canonical JSON.
_LEVELS = 250
#: Seconds of processor time that a pattern may take on one text.
PATTERN_S = 0.5
#: A member with a model's name, which stays as it is unless a path leads to it.
_MODEL = "model"
#: ``/pattern/NAME/``: a slash in the pattern is written ``\/``.
_OWN = re.compile(r"/((?:[^/\\]|\\.)+)/([^/\\]*)/")
_WORD = re.compile(r"[A-Za-z_]+")
#: Paths end at a semicolon; a comma before a ``$`` separates them.
_PATHS = re.compile(r"@\s*(\$[^;]*?)(?=\s*(?:;|,\s*[a-z/]|$))")
_NEXT_PATH = re.compile(r"\s*,\s*(?=\$)")
_SEPARATOR = re.compile(r"\s*(?:[;,]\s*|$)")


class PatternTooSlow(RequestError):
    """A pattern takes too long on a text of a request, or of a recorded one."""

    code = "pattern_too_slow"


@dataclass(frozen=True, slots=True)
class Replacement:
    """A replacement, and the texts in which it applies: all except names of models, or ``paths``.

    ``name`` is its name in a header, ``replaced`` puts the placeholder into a text.
    """

    name: str
    replaced: Callable[[str], str]
    changers: tuple[Callable[[Change, Any], Any], ...]

    def in_body(self, body: Any) -> Any:
        """A JSON body with placeholders. The body itself stays as it is."""
        for change in self.changers:
            body = change(self._in_texts, body)
        return body if self.changers else self._in_texts(body)

    def _in_texts(self, value: Any, level: int = 0) -> Any:
        """A value with placeholders in all its texts; the same object if it has none."""
        if level > _LEVELS:
            return value
        if type(value) is str:
            return self.replaced(value)
        if type(value) is dict:
            members = [
                (key, member, member if key == _MODEL else self._in_texts(member, level + 1))
                for key, member in value.items()
            ]
            if any(before is not after for _, before, after in members):
                return {key: after for key, _, after in members}
        elif type(value) is list:
            elements = [self._in_texts(element, level + 1) for element in value]
            if any(map(_is_not, value, elements)):
                return elements
        return value


def _is_not(one: Any, other: Any) -> bool:
    return one is not other


def parse_replacements(text: str) -> list[Replacement]:
    """The replacements of ``MATCH_REPLACE``, in the order in which they are applied.

    Patterns come first, in the given order, then the names, the narrowest first. Raises
    ``ConfigurationError``.
    """
    patterns: list[Replacement] = []
    named: dict[str, list[str] | None] = {}
    at = 0
    while at < len(text):
        own, word = _OWN.match(text, at), _WORD.match(text, at)
        match = own or word
        if match is None:
            raise _unreadable(text[at:])
        end = match.end()
        paths: list[str] | None = None
        if bound := _PATHS.match(text, end):
            paths, end = _NEXT_PATH.split(bound[1]), bound.end()
        separator = _SEPARATOR.match(text, end)
        if separator is None:
            raise _unreadable(text[at:])
        if own is not None:
            patterns.append(_own(own[1], own[2], paths))
        elif match[0] not in NAMED:
            raise _unreadable(text[at:])
        else:
            earlier = named.get(match[0], [])
            named[match[0]] = None if paths is None or earlier is None else [*earlier, *paths]
        at = separator.end()
    return patterns + [
        Replacement(name, in_text(name), _changers(named[name])) for name in NAMED if name in named
    ]


def in_text(name: str) -> Callable[[str], str]:
    """The function that puts the placeholder of a named replacement into a text."""
    return partial(_replaced, name, _placeholder(name))


def _replaced(name: str, placeholder: str, text: str) -> str:
    """A text with the placeholder for each match; the same object if there is none."""
    pieces, at = [], 0
    for match in _matches(name, text):
        pieces += [text[at : match.start(2)], placeholder]
        at = match.end(2)
    return "".join(pieces) + text[at:] if pieces else text


def _matches(name: str, text: str) -> Iterator[re.Match[str]]:
    """The matches of a named replacement, of which it replaces group 2."""
    pattern, last = _PATTERNS[name], 0
    # Searching a long prompt for a character is fifty times as fast as searching for the patterns.
    for window in (_NEAR_SLASHES if name == "path" else _NEAR_DIGITS).finditer(text):
        start = max(last, window.start() - _NEAR_CHARS)
        for match in pattern.finditer(text, start, window.end()):
            last = match.end(2)
            if name != "hex" or (_DIGIT.search(match[2]) and not match[2].isdecimal()):
                yield match


def named_parts(name: str, text: str) -> list[str]:
    """The parts of a text that a named replacement replaces."""
    return [match[2] for match in _matches(name, text)]


def _own(pattern: str, name: str, paths: Sequence[str] | None) -> Replacement:
    import regex  # type: ignore[import-untyped]  # Only needed for patterns.

    try:
        compiled = regex.compile(pattern)
        matches_nothing = compiled.search("", timeout=PATTERN_S) is not None
    # Besides its own errors: flags that exclude each other, deep nesting, no end.
    except (regex.error, ValueError, RecursionError, TimeoutError) as error:
        raise ConfigurationError(
            f"MATCH_REPLACE has the pattern /{pattern}/, which cannot be used: {error}. Write it "
            "as for Python's re."
        ) from None
    if matches_nothing:
        raise ConfigurationError(
            f"MATCH_REPLACE has the pattern /{pattern}/, which matches an empty text. Let it match "
            "at least one character."
        )
    placeholder = _placeholder(name)

    def replaced(text: str) -> str:
        try:
            changed, count = compiled.subn(lambda _: placeholder, text, timeout=PATTERN_S)
        except TimeoutError:
            raise PatternTooSlow(
                f"The pattern /{pattern}/ of MATCH_REPLACE takes more than {PATTERN_S:g} s on a "
                f"text of {len(text):,} characters. Write it without nested repeats."
            ) from None
        return changed if count else text

    return Replacement(f"/{pattern}/{name}/", replaced, _changers(paths))


def _placeholder(name: str) -> str:
    """The placeholder of a name, which no text of a client has."""
    return f"\0{name}\0"


def _changers(paths: Sequence[str] | None) -> tuple[Callable[[Change, Any], Any], ...]:
    return tuple(changer(path, "MATCH_REPLACE") for path in paths or ())


def _unreadable(rest: str) -> ConfigurationError:
    return ConfigurationError(
        f"MATCH_REPLACE cannot be read from {rest[:60]!r} on. Write names or /pattern/NAME/, "
        "separated by ';', each with paths after '@' if it is for some texts only, such as "
        r"date; uuid@$.messages[*].content; /run \d+/RUN/. Names are "
        f"{', '.join(NAMED)}."
    )
