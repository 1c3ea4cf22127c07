"""Random log probabilities for the tokens of an answer.

In here: the numbers and the objects around them. Not in here: where an endpoint has them.
"""

from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Any

from replay_proxy.transports.dummy.work_budget import WorkBudget

#: The tokens that are given as alternatives.
_OTHERS = [*" ,.-:;()!?/'0123456789abcdefghij"]

#: Characters of an entry's JSON.
_ENTRY = 80
#: Steps that it takes to draw the entries of one token.
_DRAW = 100
#: Maximum number of tokens whose entries are cached, and of their characters.
_CACHED, _SHORT = 1024, 32


def pay(budget: WorkBudget, tokens: Sequence[str], top: int, times: int) -> None:
    """Pay for the log probabilities of an answer's tokens. Raises ``BudgetSpent``."""
    budget.write(len(tokens) * times * _ENTRY * (1 + top))
    budget.step(len(tokens) * (1 + times // 10) + _DRAW * len(set(tokens)))


def logprob(token: str, top: int) -> dict[str, Any]:
    """A token with its log probability, and the ``top`` most likely tokens, itself the first.

    The same token has the same numbers everywhere. The result is cached: do not change it.
    """
    return _cached_logprob(token, top) if len(token) <= _SHORT else _logprob(token, top)


def _logprob(token: str, top: int) -> dict[str, Any]:
    chance = Random(token)  # noqa: S311
    value = -round(chance.random() / 2, 6)
    entry = _entry(token, value)
    others = [other for other in _OTHERS if other != token]
    chance.shuffle(others)
    lower = [round(value - rank - chance.random() / 2, 6) for rank in range(1, top)]
    likely = [dict(entry), *map(_entry, others, lower)][:top]
    return {**entry, "top_logprobs": likely}


_cached_logprob = lru_cache(_CACHED)(_logprob)


def _entry(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(token.encode())}
