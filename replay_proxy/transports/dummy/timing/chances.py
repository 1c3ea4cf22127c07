"""The random generators for the dummy's times.

In here: one generator per request. Not in here: the draws. The content of an answer has generators
of its own (``Question.random``), so that equal requests get equal texts.
"""

from random import Random

#: Maximum number of fingerprints that are counted, so that the memory of a load test stays flat.
_COUNTED = 10_000


class Chances:
    """New draws for every request or, with a seed, the same draws in every run.

    With a seed, the N-th request with a fingerprint in a process always draws the same: a test
    that sends one request a thousand times still sees the distribution. Beyond 10,000 fingerprints
    the oldest are forgotten, and count from 1 again.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed
        self._shared = Random()  # noqa: S311
        self._counts: dict[str, int] = {}

    def of(self, fingerprint: str) -> Random:
        """The generator for this request."""
        if self._seed is None:
            return self._shared
        count = self._counts.pop(fingerprint, 0) + 1
        if len(self._counts) >= _COUNTED:
            del self._counts[next(iter(self._counts))]
        self._counts[fingerprint] = count
        return Random(f"time {self._seed} {fingerprint} {count}")  # noqa: S311
