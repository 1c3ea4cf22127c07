"""A script of faults at work: its rules, and how often each has counted, in order of arrival."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from replay_proxy.bounds.lru import LRU
from replay_proxy.errors import ConfigurationError
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.transports.faults.call import FaultCall
from replay_proxy.transports.faults.rule import FaultRule, read_rules
from replay_proxy.wire import Request

#: Rules with a ``share`` remember of this many different requests how often each came, over all
#: cassettes. One that has not come for longer counts from 1 again.
REPEAT_COUNTS = 100_000


@dataclass(eq=False)
class _CountedRule:
    rule: FaultRule
    #: How often each request came, by the rule and the request's fingerprint.
    repeats: "LRU[tuple[_CountedRule, str], int]"
    number: int = 0

    def hits(self, request: Request, seed: int) -> bool:
        """Count the request, and say whether the rule is for it."""
        if not self.rule.counts(request):
            return False
        self.number += 1
        if self.rule.share is None:
            return self.rule.hits(self.number)
        key = fingerprint(request)
        repeat = (self.repeats.get((self, key)) or 0) + 1
        self.repeats.put((self, key), repeat)
        return self.rule.hits(self.number) and self.rule.drawn(seed, key, repeat)


class Script:
    """Rules with counts of their own. The first rule that is for a request decides its fault.

    Each rule counts every request that it is about, whichever rule decides. A share is drawn from
    the seed, the request and how often that one came: other requests do not matter to it.
    """

    def __init__(
        self,
        rules: Sequence[FaultRule],
        *,
        seed: int = 0,
        repeats: LRU[tuple[_CountedRule, str], int] | None = None,
    ) -> None:
        self._rules = rules
        self._seed = seed
        self._repeats = LRU(REPEAT_COUNTS) if repeats is None else repeats
        self.rewind()

    @classmethod
    def of_setting(cls, text: str, *, name: str, seed: int) -> Self:
        """Read what a setting or a file says. Raises ``ConfigurationError`` that names it."""
        try:
            return cls(read_rules(text), seed=seed)
        except ValueError as error:
            raise ConfigurationError(
                f"{name} is no script of faults: {error}. docs/faults.md has the grammar."
            ) from None

    def __bool__(self) -> bool:
        return bool(self._rules)

    def with_own_counts(self) -> "Script":
        """The same rules with counts of their own."""
        return Script(self._rules, seed=self._seed, repeats=self._repeats)

    def rewind(self) -> None:
        """Count from the beginning."""
        self._counted_rules = [_CountedRule(rule, self._repeats) for rule in self._rules]

    def fault_for(self, request: Request) -> FaultCall | None:
        """Count the request; what it meets, or None."""
        hit = [each for each in self._counted_rules if each.hits(request, self._seed)]
        return hit[0].rule.call if hit else None
