"""Where the chance in the dummy's time comes from.

In here: one source of chance for each request. Not in here: what is drawn; what a request's answer
says is drawn from a source of its own (``Call.random``), so that equal requests get equal texts.
"""

from random import Random

# How many fingerprints are counted: the memory of a long load test stays flat.
_COUNTED = 10_000


class Chances:
    """Draws anew for every request or, with a seed, the same in every run.

    With a seed the N-th request of a fingerprint draws the same whenever the N-th such request of
    this process arrives: a test that asks the same thousandfold still sees the distribution. Of
    more than 10,000 fingerprints the oldest are forgotten, and count from 1 again.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed
        self._shared = Random()  # noqa: S311
        self._counts: dict[str, int] = {}

    def of(self, fingerprint: str) -> Random:
        """The source for this request."""
        if self._seed is None:
            return self._shared
        count = self._counts.pop(fingerprint, 0) + 1
        if len(self._counts) >= _COUNTED:
            del self._counts[next(iter(self._counts))]
        self._counts[fingerprint] = count
        return Random(f"time {self._seed} {fingerprint} {count}")  # noqa: S311
