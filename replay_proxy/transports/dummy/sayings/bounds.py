"""How many tokens a text may have, by the bounds in a request.

Load generators need exact lengths: with ``ignore_eos`` a text goes on to its limit, and it has at
least ``min_tokens``. Both are parameters of vLLM that other servers have adopted.
"""

from typing import NamedTuple

from replay_proxy.errors import InvalidRequest


class Bounds(NamedTuple):
    """At most ``limit`` tokens, at least ``least``; an ``endless`` text ends only at its limit."""

    limit: int | None = None
    least: int = 0
    endless: bool = False

    @property
    def needed(self) -> int:
        """The number of tokens that the text has to have at least."""
        return self.limit if self.endless and self.limit is not None else self.least


def bounds_of(limit: int | None, least: int | None, *, endless: bool | None) -> Bounds:
    """The bounds in a request. Raises ``InvalidRequest`` if they contradict each other."""
    if least is not None and limit is not None and least > limit:
        raise InvalidRequest(
            f"Invalid 'min_tokens': integer above maximum value. Expected a value <= {limit}, "
            f"the limit of this request, but got {least} instead.",
            param="min_tokens",
            code="integer_above_max_value",
        )
    return Bounds(limit, least or 0, bool(endless))
