"""What the settings say about the dummy's answers.

In here: settings, typed. Not in here: what follows from them for an answer (``text``).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Content:
    """The content of answers. ``seed`` is None where nobody asked for equal ids."""

    seed: int | None = None
