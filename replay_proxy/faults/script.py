"""A script of faults at work: its rules, and how often each has counted, in order of arrival."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from replay_proxy.errors import ConfigurationError
from replay_proxy.faults.call import Call
from replay_proxy.faults.rule import Rule, rules
from replay_proxy.fingerprint import fingerprint
from replay_proxy.wire import Request

#: Of so many different requests a rule with a ``share`` remembers how often each came: a bound
#: for its memory. One that has not come for longer counts from 1 again.
REMEMBERED = 100_000


@dataclass
class _Counted:
    rule: Rule
    number: int = 0
    #: How often each request came, by its fingerprint; the latest stands last.
    repeats: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def hits(self, request: Request, seed: int) -> bool:
        """Count the request, and say whether the rule is for it."""
        if not self.rule.counts(request):
            return False
        self.number += 1
        if self.rule.share is None:
            return self.rule.hits(self.number)
        key = fingerprint(request)
        self.repeats[key] = repeat = self.repeats.pop(key, 0) + 1
        if len(self.repeats) > REMEMBERED:
            self.repeats.popitem(last=False)
        return self.rule.hits(self.number) and self.rule.drawn(seed, key, repeat)


class Script:
    """Rules with counts of their own. The first rule that is for a request decides its fault.

    Each rule counts every request that it is about, whichever rule decides. A share is drawn from
    the seed, the request and how often that one came: other requests do not matter to it.
    """

    def __init__(self, rules: Sequence[Rule], *, seed: int = 0) -> None:
        self._rules = rules
        self._seed = seed
        self.rewind()

    @classmethod
    def of_setting(cls, text: str, *, name: str, seed: int) -> Self:
        """Read what a setting or a file says. Raises ``ConfigurationError`` that names it."""
        try:
            return cls(rules(text), seed=seed)
        except ValueError as error:
            raise ConfigurationError(
                f"{name} is no script of faults: {error}. docs/faults.md has the grammar."
            ) from None

    def __bool__(self) -> bool:
        return bool(self._rules)

    def afresh(self) -> "Script":
        """The same rules with counts of their own."""
        return Script(self._rules, seed=self._seed)

    def rewind(self) -> None:
        """Count from the beginning."""
        self._counted = [_Counted(rule) for rule in self._rules]

    def fault_for(self, request: Request) -> Call | None:
        """Count the request; what it meets, or None."""
        hit = [each for each in self._counted if each.hits(request, self._seed)]
        return hit[0].rule.call if hit else None
