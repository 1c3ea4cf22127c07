"""Strings that match a regular expression, drawn at random.

In here: the expressions that JSON Schema recommends, and other common ones: classes, groups,
alternatives, repetitions, anchors. Not in here: lookaround and back references, which are skipped,
since no match can be built from them; the caller checks the match (``strings``), as far as that is
cheap (``backtracking``).

Source: https://json-schema.org/understanding-json-schema/reference/regular_expressions
"""

import re
from random import Random

from replay_proxy.transports.dummy.work_budget import WorkBudget

_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VISIBLE = "".join(map(chr, range(0x20, 0x7F)))
_CLASSES = {
    "d": _DIGITS,
    "D": _LETTERS,
    "w": _LETTERS + _DIGITS + "_",
    "W": " -.,!?",
    "s": " ",
    "S": _LETTERS + _DIGITS,
}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
#: A number of repetitions.
COUNT = re.compile(r"\{([0-9]+)(,?)([0-9]*)\}")
#: Stands for every larger number of repetitions: it exceeds any budget.
_ENDLESS = 10**9
_GROUP = re.compile(r"\(\?(?:P?<\w+>|:|[a-z]*:)")
LOOKAROUND = re.compile(r"\(\?<?[=!]")


def random_match(pattern: str, chance: Random, more: int, budget: WorkBudget | None = None) -> str:
    """A string that matches, with at most ``more`` repetitions beyond the fewest possible.

    Each element of the pattern costs a step each time it is drawn. Raises ``BudgetSpent``.
    """
    return _PatternReader(pattern, chance, more, budget or WorkBudget()).alternatives()


def repetition_count(digits: str) -> int:
    """The number of repetitions that these digits stand for."""
    return int(digits) if len(digits) < 10 else _ENDLESS


class _PatternReader:
    """Reads a pattern from left to right, and draws a match of each part."""

    def __init__(self, pattern: str, chance: Random, more: int, budget: WorkBudget) -> None:
        self._pattern = pattern
        self._chance = chance
        self._more = more
        self._budget = budget
        self._at = 0
        self._depth = 0

    def alternatives(self) -> str:
        drawn = [self._sequence()]
        while self._next("|"):
            drawn.append(self._sequence())
        return self._chance.choice(drawn)

    def _sequence(self) -> str:
        drawn = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            start = self._at
            first = self._atom()
            after = self._at
            least, most = self._repetitions()
            end = self._at
            times = self._chance.randint(least, most)
            if times:
                drawn.append(first)
            for _ in range(times - 1):
                self._at = start  # Reading again draws another match.
                drawn.append(self._atom())
                assert self._at == after
            self._at = end
        match = "".join(drawn)
        # Each level of nesting joins the text again.
        self._budget.step(len(match) // 100)
        return match

    def _repetitions(self) -> tuple[int, int]:
        if self._next("*"):
            least, most = 0, self._more
        elif self._next("+"):
            least, most = 1, 1 + self._more
        elif self._next("?"):
            least, most = 0, 1
        elif count := COUNT.match(self._pattern, self._at):
            self._at = count.end()
            least = repetition_count(count[1])
            open_end = least + (self._more if count[2] else 0)
            most = repetition_count(count[3]) if count[3] else open_end
            most = max(least, min(most, least + self._more))
        else:
            return 1, 1
        self._next("?")  # Lazy and possessive repetitions have the same matches.
        self._next("+")
        return least, most

    def _atom(self) -> str:
        self._budget.step()
        if self._at < len(self._pattern) and self._pattern[self._at] == "(":
            return self._group()
        character = self._take()
        match character:
            case "[":
                return self._chance.choice(self._set())
            case ".":
                return self._chance.choice(_LETTERS + _DIGITS)
            case "^" | "$":
                return ""
            case "\\":
                escape = self._take()
                if escape in "bBAZzG":
                    return ""
                return self._chance.choice(self._escaped(escape))
            case _:
                return character

    def _group(self) -> str:
        looks = LOOKAROUND.match(self._pattern, self._at)
        start = looks or _GROUP.match(self._pattern, self._at)
        self._at = start.end() if start else self._at + 1
        self._depth += 1
        self._budget.nest(self._depth)
        drawn = self.alternatives()
        self._depth -= 1
        self._next(")")
        return "" if looks else drawn

    def _set(self) -> str:
        """The characters of ``[…]``."""
        negated = self._next("^")
        members: list[str] = []
        while self._at < len(self._pattern) and (self._pattern[self._at] != "]" or not members):
            self._budget.step()
            options = self._member()
            is_range = self._pattern[self._at : self._at + 1] == "-"
            if is_range and len(options) == 1 and self._pattern[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                last = self._member()[-1:] or options
                # The beginning of a wide range is enough.
                end = min(ord(last), ord(options) + 256)
                options = "".join(map(chr, range(ord(options), end + 1)))
                self._budget.step(len(options) // 10)
            members.append(options)
        self._next("]")
        options = "".join(members)
        if negated:
            excluded = set(options)
            options = "".join(one for one in _LETTERS + _VISIBLE if one not in excluded)
        return options or "a"

    def _member(self) -> str:
        character = self._take()
        return self._escaped(self._take()) if character == "\\" else character

    def _escaped(self, escape: str) -> str:
        """The characters that an escape stands for."""
        if escape in ("x", "u"):
            size = 2 if escape == "x" else 4
            digits = self._pattern[self._at : self._at + size]
            if re.fullmatch(rf"[0-9a-fA-F]{{{size}}}", digits):
                self._at += size
                return chr(int(digits, 16))
        if escape in ("p", "P") and self._next("{"):
            self._at = max(self._at, self._pattern.find("}", self._at) + 1)
            return _LETTERS
        return _CLASSES.get(escape) or _CONTROLS.get(escape) or escape or "\\"

    def _take(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1 : self._at]

    def _next(self, character: str) -> bool:
        """Whether this character is next; if so, it is consumed."""
        if self._pattern[self._at : self._at + 1] != character:
            return False
        self._at += 1
        return True
