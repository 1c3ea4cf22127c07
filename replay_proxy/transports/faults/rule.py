"""One rule of a script, ``first=2 path=/v1/chat/* rate_limit``: which requests, which fault. Pure.

A rule consists of words: selectors and, as the last one, a fault. ``path``, ``model`` and
``header`` select the requests that it counts; ``nth``, ``every``, ``first`` and ``share`` those
among them that it hits.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

from replay_proxy.transports.faults.call import FaultCall, read_call, unquoted
from replay_proxy.transports.faults.wording import model_name
from replay_proxy.wire import Request, header

_WORD = r'(?:[^\s;"()]|"(?:[^"\\\n]|\\.)*"|\((?:[^()"]|"(?:[^"\\]|\\.)*")*\))+'  # with its brackets
_TOKEN = re.compile(rf"(?P<skip>[^\S\n]+|#[^\n]*)|(?P<end>[;\n])|(?P<word>{_WORD})")
_SELECTOR = re.compile(r"(\w+)=(.*)", re.DOTALL)


@dataclass(slots=True)
class FaultRule:
    """A rule: its text, and its parts.

    It hits the counted requests whose number satisfies each of ``nth``, ``every``, ``first`` and
    ``share`` that is given; without any of these, all counted requests.
    """

    text: str
    call: FaultCall
    nth: frozenset[int] = frozenset()
    every: int = 0
    first: int = 0
    share: float | None = None
    path: str = ""
    model: str = ""
    headers: list[tuple[bytes, str]] = field(default_factory=list)

    def counts(self, request: Request) -> bool:
        """Whether the rule counts a request."""
        return (
            (not self.path or fnmatchcase(request.path, self.path))
            and all(
                (value := header(request.headers, name)) is not None
                and fnmatchcase(value.decode("utf-8", "replace"), pattern)
                for name, pattern in self.headers
            )
            and (not self.model or fnmatchcase(model_name(request), self.model))
        )

    def hits(self, number: int) -> bool:
        """Whether the request of this number (from 1) is hit, apart from ``share``."""
        return (
            (not self.nth or number in self.nth)
            and (not self.every or number % self.every == 0)
            and (not self.first or number <= self.first)
        )

    def drawn(self, seed: int, key: str, repeat: int) -> bool:
        """Whether a request is in the ``share``: decided by these three and the rule's text."""
        if self.share is None:
            return True
        digest = sha256(f"{seed}\0{self.text}\0{key}\0{repeat}".encode()).digest()
        return int.from_bytes(digest[:8]) / 2**64 < self.share


def read_rules(script: str) -> list[FaultRule]:
    """The rules of a script, one per line or separated by ``;``, with ``#`` comments.

    Raises ``ValueError`` that names the line and the rule.
    """
    rules = []
    for line, words in _split(script):
        try:
            rules.append(_rule(words))
        except ValueError as error:
            where = f"line {line}, " if "\n" in script.strip() else ""
            raise ValueError(f"{where}'{' '.join(words)}': {error}") from None
    return rules


def _split(script: str) -> Iterator[tuple[int, list[str]]]:
    """The words of each rule, and its line number."""
    words: list[str] = []
    at, line = 0, 1
    while at < len(script):
        token = _TOKEN.match(script, at)
        if not token:
            rest = script[at:].partition("\n")[0]
            raise ValueError(f"line {line} cannot be read at {rest!r}: is a quote or bracket open?")
        if token["word"]:
            words.append(token["word"])
        elif token["end"] and words:
            yield line, words
            words = []
        at = token.end()
        line += token[0].count("\n")
    if words:
        yield line, words


def _rule(words: list[str]) -> FaultRule:
    *selectors, last = words
    if (selector := _SELECTOR.fullmatch(last)) and selector[1] in SELECTORS:
        raise ValueError("a rule ends with a fault, such as rate_limit")
    rule = FaultRule(" ".join(words), read_call(last))
    for word in selectors:
        selector = _SELECTOR.fullmatch(word)
        if not selector or selector[1] not in SELECTORS:
            raise ValueError(
                f"{word!r} is not a selector: there are {', '.join(SELECTORS)}, and a fault is last"
            )
        name, value = selector[1], unquoted(selector[2])
        try:
            SELECTORS[name](rule, value)
        except ValueError as error:
            raise ValueError(f"{word} is not valid: {error}") from None
    return rule


def _positive(value: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
        raise ValueError("it has to be a whole number from 1 on")
    return int(value)


def _set(name: str, read: Callable[[str], Any]) -> Callable[[FaultRule, str], None]:
    def select(rule: FaultRule, value: str) -> None:
        setattr(rule, name, read(value))

    return select


def _numbers(value: str) -> frozenset[int]:
    return frozenset(_positive(number) for number in value.split(","))


def _portion(value: str) -> float:
    if not re.fullmatch(r"0?\.[0-9]+|[01](?:\.0*)?", value):
        raise ValueError("it has to be a number from 0 to 1")
    return float(value)


def _pattern(value: str) -> str:
    if not value:
        raise ValueError("it is empty")
    return value


def _header(rule: FaultRule, value: str) -> None:
    name, colon, pattern = value.partition(":")
    if not colon or not name or not pattern:
        raise ValueError("it has to be name:value, where * stands for any value")
    rule.headers.append((name.strip().lower().encode(), pattern.strip()))


#: Each selector, by its name, and the function that reads it into a rule.
SELECTORS: dict[str, Callable[[FaultRule, str], None]] = {
    "nth": _set("nth", _numbers),
    "every": _set("every", _positive),
    "first": _set("first", _positive),
    "share": _set("share", _portion),
    "path": _set("path", _pattern),
    "model": _set("model", _pattern),
    "header": _header,
}
