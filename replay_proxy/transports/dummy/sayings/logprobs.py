"""Log probabilities, made up: how sure a model could have been of each token.

In here: the numbers and the objects around them. Not in here: which endpoint shows them where.
"""

from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Any

from replay_proxy.transports.dummy.budget import Budget

#: What could have stood there instead.
_OTHERS = [*" ,.-:;()!?/'0123456789abcdefghij"]


#: The characters of an entry, and the steps that it takes to draw those of one token.
_ENTRY, _DRAWN = 80, 100
#: So many tokens are kept with their entries, if they are short.
_KEPT, _SHORT = 1024, 32


def pay(budget: Budget, tokens: Sequence[str], top: int, times: int) -> None:
    """Pay for the log probabilities of an answer's tokens. Raises ``BudgetSpent``."""
    budget.write(len(tokens) * times * _ENTRY * (1 + top))
    budget.step(len(tokens) * (1 + times // 10) + _DRAWN * len(set(tokens)))


def logprob(token: str, top: int) -> dict[str, Any]:
    """One token with its log probability, and the ``top`` most likely ones, itself the first.

    The same token has the same numbers everywhere. Not to be changed: it is kept.
    """
    return _kept(token, top) if len(token) <= _SHORT else _logprob(token, top)


def _logprob(token: str, top: int) -> dict[str, Any]:
    chance = Random(token)  # noqa: S311
    value = -round(chance.random() / 2, 6)
    found = _entry(token, value)
    others = [other for other in _OTHERS if other != token]
    chance.shuffle(others)
    less = [round(value - rank - chance.random() / 2, 6) for rank in range(1, top)]
    likely = [dict(found), *map(_entry, others, less)][:top]
    return {**found, "top_logprobs": likely}


_kept = lru_cache(_KEPT)(_logprob)


def _entry(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(token.encode())}
