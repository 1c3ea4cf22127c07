"""Log probabilities, made up: how sure a model could have been of each token.

In here: the numbers and the objects around them. Not in here: which endpoint shows them where.
"""

from random import Random
from typing import Any

#: What could have stood there instead.
_OTHERS = [*" ,.-:;()!?/'0123456789abcdefghij"]


def logprob(token: str, top: int) -> dict[str, Any]:
    """One token with its log probability, and the ``top`` most likely ones, itself the first.

    The same token has the same numbers everywhere.
    """
    chance = Random(token)  # noqa: S311
    value = -round(chance.random() / 2, 6)
    found = _entry(token, value)
    others = [other for other in _OTHERS if other != token]
    chance.shuffle(others)
    less = [round(value - rank - chance.random() / 2, 6) for rank in range(1, top)]
    likely = [dict(found), *map(_entry, others, less)][:top]
    return {**found, "top_logprobs": likely}


def _entry(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(token.encode())}
