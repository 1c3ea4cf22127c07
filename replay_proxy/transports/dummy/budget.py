"""What one answer may cost: a number of steps, and of characters. Counted, not timed.

In here: the counters, their limits and the refusal. Not in here: what costs how much (wherever the
work is done). A request of a few bytes can ask for a value, a match or a list of any size; without
a limit one of them would keep every other request waiting.

A step is about a microsecond of Python. The same request always costs the same.
"""

from replay_proxy.errors import InvalidRequest

#: All that an answer may cost. What OpenAI documents stays below: texts of 10 MB, 5,000 properties
#: and 1,000 enum values of a schema, 128 tools, 2,048 inputs of 3,072 dimensions.
STEPS, CHARACTERS = 1_000_000, 32 * 2**20
#: All that may happen without a turn for other requests; what costs more is done in a thread.
QUICK_STEPS, QUICK_CHARACTERS = 5_000, 2**20
#: So deep are groups of a pattern, and references of a schema, nested; Python's stack holds more.
DEPTH = 60


class BudgetSpent(InvalidRequest):
    """An answer would cost more than its budget has left."""


class Budget:
    """What is left for one answer. ``part`` of a request is what a refusal names."""

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
            raise self.spent(f"{self._steps:,} steps of work")

    def write(self, count: int) -> None:
        """Pay for what becomes part of the answer. Raises ``BudgetSpent``."""
        self.characters_left -= count
        if self.characters_left < 0:
            raise self.spent(f"{self._characters:,} characters")

    def nest(self, depth: int, limit: int = DEPTH) -> None:
        """Check how deep something is nested. Raises ``BudgetSpent``."""
        if depth > limit:
            raise self.spent(f"{limit} levels of nesting")

    def spent(self, limit: str) -> BudgetSpent:
        """The refusal of what exceeds a limit."""
        return BudgetSpent(
            f"Invalid '{self.part}': the dummy's answer to it would take more than {limit}. "
            "Ask for less: fewer choices, items or repetitions, a shorter text, a flatter schema. "
            "Or record this request and replay it: a recording has no such limit.",
            param=self.part,
            code="dummy_limit_exceeded",
        )


def quick() -> Budget:
    """The budget of what can be answered at once."""
    return Budget(QUICK_STEPS, QUICK_CHARACTERS)
