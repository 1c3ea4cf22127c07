"""The effort of a search for a regular expression: whether a match may be checked at all.

In here: patterns in, a bound out. Not in here: matching. Python's ``re`` tries every way of
dividing a text among the repetitions of a pattern, and cannot be interrupted: ``^(a+)+$`` takes
2**n steps for n characters. The bound is coarse, and higher than the real effort.
"""

from replay_proxy.transports.dummy.json_schema.patterns import COUNT, LOOKAROUND, repetition_count

#: The largest bound. A search that reaches it is never tried.
HOPELESS = 10**12
#: Maximum number of repetitions of an element with several ways to match; more are exponential.
_FEW = 10
#: Length of the longest pattern; a longer one takes too long to compile.
_LONGEST = 1000


def effort(pattern: str, length: int) -> int:
    """An upper bound for the steps of ``re.search`` over a text of ``length`` characters."""
    if len(pattern) > _LONGEST:
        return HOPELESS
    open_groups = [_Group()]  # The outermost one is the pattern itself.
    ways, simple, at = 1, True, 0
    while at < len(pattern):
        character = pattern[at]
        if character == "(":
            open_groups.append(_Group(looks=bool(LOOKAROUND.match(pattern, at))))
            at += 1
            continue
        if character == "|":
            open_groups[-1].alternatives += 1
        if character == ")" and len(open_groups) > 1:
            group = open_groups.pop()
            ways, simple = group.total * group.alternatives, group.simple
            if group.looks:  # A lookaround is searched once at each place, and not again.
                open_groups[-1].aside += ways
                ways, simple = 1, True
        else:
            ways, simple = 1, True
        at = _after(pattern, at)
        choices, most, at = _repetitions(pattern, at, length)
        if most != 1 or ways != 1:
            open_groups[-1].repeat(ways, simple, choices, most)
    # A pattern with a group that is never closed is invalid, and takes no time.
    return min(HOPELESS, (length + 1) * open_groups[0].total * open_groups[0].alternatives)


class _Group:
    """The ways to match the part of a group read so far; ``aside`` are those of its lookarounds.

    It is ``simple`` if a text can match it in one way only.
    """

    def __init__(self, *, looks: bool = False) -> None:
        self.looks = looks
        self.alternatives = 1
        self.aside = 0
        self.simple = True
        self._ways = 1

    @property
    def total(self) -> int:
        return min(HOPELESS, self._ways + self.aside)

    def repeat(self, ways: int, simple: bool, choices: int, most: int) -> None:
        """Add an element with ``ways``, repeated ``most`` times or one of ``choices`` counts."""
        self.simple = False
        if ways == 1 and simple:
            self._ways *= choices
        elif most <= _FEW:
            self._ways *= choices * min(HOPELESS, ways) ** most
        else:  # Repetitions within repetitions divide a text in exponentially many ways.
            self._ways = HOPELESS
        self._ways = min(self._ways, HOPELESS)


def _after(pattern: str, at: int) -> int:
    """The place after an element that is not a group."""
    if pattern[at] == "\\":
        return at + 2
    if pattern[at] != "[":
        return at + 1
    end = at + 2 if pattern[at + 1 : at + 2] != "^" else at + 3
    while end < len(pattern) and pattern[end] != "]":
        end += 2 if pattern[end] == "\\" else 1
    return end + 1


def _repetitions(pattern: str, at: int, length: int) -> tuple[int, int, int]:
    """The number of possible repetition counts, the largest, and the place after the quantifier."""
    character = pattern[at : at + 1]
    if character in ("*", "+"):
        least, most, at = 0, length, at + 1
    elif character == "?":
        least, most, at = 0, 1, at + 1
    elif count := COUNT.match(pattern, at):
        at = count.end()
        least = repetition_count(count[1])
        most = repetition_count(count[3]) if count[3] else (length if count[2] else least)
    else:
        return 1, 1, at
    if pattern[at : at + 1] in ("?", "+"):
        at += 1
    choices = max(1, min(most, length) - least + 1)
    return choices, max(most, 2) if choices > 1 else most, at
