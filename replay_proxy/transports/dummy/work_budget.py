"""The limits on the cost of one answer, in steps and in characters. Counted, not timed.

In here: the counters, their limits and the refusal. Not in here: the cost of each kind of work,
which is known where the work is done. A request of a few bytes can ask for a value, a match or a
list of any size; without a limit, one such request would block every other.

A step is about a microsecond of Python. The same request always costs the same.
"""

from replay_proxy.errors import InvalidRequest

#: Limits for one answer. They allow all that OpenAI documents: texts of 10 MB, 5,000 properties
#: and 1,000 enum values of a schema, 128 tools, 2,048 inputs of 3,072 dimensions.
STEPS, CHARACTERS = 1_000_000, 32 * 2**20
#: Limits for work on the event loop. An answer that costs more is made in a thread.
QUICK_STEPS, QUICK_CHARACTERS = 5_000, 2**20
#: Deepest nesting of a pattern's groups, and of a schema's references. Python's stack holds more.
DEPTH = 60


class BudgetSpent(InvalidRequest):
    """An answer would cost more than its budget has left."""


class WorkBudget:
    """What is left for one answer. A refusal names ``part``, a part of the request."""

    def __init__(self, steps: int = STEPS, characters: int = CHARACTERS) -> None:
        self._steps = steps
        self._characters = characters
        self.steps_left = steps
        self.characters_left = characters
        self.part = "body"

    def step(self, count: int = 1) -> None:
        """Pay for work. Raises ``BudgetSpent``."""
        self.steps_left -= count
        if self.steps_left < 0:
            raise self.refusal(f"{self._steps:,} steps of work")

    def write(self, count: int) -> None:
        """Pay for characters of the answer. Raises ``BudgetSpent``."""
        self.characters_left -= count
        if self.characters_left < 0:
            raise self.refusal(f"{self._characters:,} characters")

    def nest(self, depth: int, limit: int = DEPTH) -> None:
        """Check a depth of nesting. Raises ``BudgetSpent``."""
        if depth > limit:
            raise self.refusal(f"{limit} levels of nesting")

    def refusal(self, limit: str) -> BudgetSpent:
        """The error for a request that exceeds a limit."""
        return BudgetSpent(
            f"Invalid '{self.part}': the dummy's answer to it would take more than {limit}. "
            "Ask for less: fewer choices, items or repetitions, a shorter text, a flatter schema. "
            "Or record this request and replay it: a recording has no such limit.",
            param=self.part,
            code="dummy_limit_exceeded",
        )


def quick_budget() -> WorkBudget:
    """The budget for an answer made on the event loop."""
    return WorkBudget(QUICK_STEPS, QUICK_CHARACTERS)
