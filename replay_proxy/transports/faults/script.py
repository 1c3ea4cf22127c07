"""A script of faults in use: its rules, and the number of requests that each has counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from replay_proxy.bounds.lru import LRU
from replay_proxy.errors import ConfigurationError
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.transports.faults.call import FaultCall
from replay_proxy.transports.faults.rule import FaultRule, read_rules
from replay_proxy.wire import Request

#: Maximum number of requests whose repeats the rules with a ``share`` count, over all cassettes.
#: The least recent one is dropped, and counts from 1 again.
REPEAT_COUNTS = 100_000


@dataclass(eq=False)
class _CountedRule:
    rule: FaultRule
    #: The number of times that each request came, by the rule and the request's fingerprint.
    repeats: "LRU[tuple[_CountedRule, str], int]"
    number: int = 0

    def hits(self, request: Request, seed: int) -> bool:
        """Count the request. Returns whether the rule hits it."""
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
    """Rules with counts of their own. The first rule that hits a request decides its fault.

    Each rule counts every request that it selects, whichever rule decides. A share is drawn from
    the seed, the request and the number of times that it came: other requests do not affect it.
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
        """Read a script. Raises ``ConfigurationError`` that names its setting or file."""
        try:
            return cls(read_rules(text), seed=seed)
        except ValueError as error:
            raise ConfigurationError(
                f"{name} is not a script of faults: {error}. docs/faults.md has the grammar."
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
        """Count the request. Returns its fault, or None."""
        hits = [counted for counted in self._counted_rules if counted.hits(request, self._seed)]
        return hits[0].rule.call if hits else None
