"""What the tools list of a cassette, read from its rows: takes, stamps, answers. Pure.

Each function raises ``ValueError`` for values that no sound cassette has. Not in here: whole
interactions (``rows``).
"""

import math
from dataclasses import dataclass
from typing import Any

from replay_proxy.cassette import Take
from replay_proxy.store.sqlite.rows import Row
from replay_proxy.store.sqlite.soundness import check_fingerprint, check_id, check_us


@dataclass(frozen=True, slots=True)
class RecordedAnswers:
    """The ids of all interactions, in order of arrival, by fingerprint and take, oldest first.

    Replay uses, for each fingerprint, the newest take that has it; the rest is superseded.
    """

    by_take: dict[str, dict[int, list[int]]]

    def current(self, last_take: float = math.inf) -> dict[str, list[int]]:
        """What replay uses for each fingerprint, or used when ``last_take`` was the newest."""
        return {
            fingerprint: takes[max(recorded)]
            for fingerprint, takes in self.by_take.items()
            if (recorded := [take for take in takes if take <= last_take])
        }

    def superseded(self) -> list[int]:
        """The ids of the interactions that replay no longer uses."""
        return [
            number
            for takes in self.by_take.values()
            for take, numbers in takes.items()
            if take != max(takes)
            for number in numbers
        ]

    def superseding(self) -> list[int]:
        """What replay uses of requests that have superseded answers."""
        current = self.current()
        return [
            number
            for fingerprint, takes in self.by_take.items()
            if len(takes) > 1
            for number in current[fingerprint]
        ]

    def ids(self) -> list[int]:
        """Every interaction, by fingerprint and take."""
        return [
            number
            for takes in self.by_take.values()
            for numbers in takes.values()
            for number in numbers
        ]

    def count_in(self, take_id: int) -> int:
        """The number of interactions in a take."""
        return sum(len(takes.get(take_id, ())) for takes in self.by_take.values())


def to_take(row: Row) -> Take:
    """The take that a row of the table ``take`` stores."""
    if (type(row["id"]), type(row["run"]), type(row["started_us"])) != (int, str, int):
        raise ValueError("a take has a value of the wrong type")
    check_id(row["id"], "the id of a take")
    check_us(row["started_us"], f"the beginning of take {row['id']}")
    return Take(**row)


def to_stamp(row: tuple[Any, ...]) -> tuple[int, int, str, int]:
    """The id, take, fingerprint and checksum of a row, checked."""
    number, take_id, fingerprint, checksum = row
    if tuple(map(type, row)) != (int, int, str, int):
        raise ValueError(f"interaction {number} has a value of the wrong type")
    check_id(number)
    check_id(take_id, "its take's id")
    check_fingerprint(fingerprint)
    return number, take_id, fingerprint, checksum


def to_answers(rows: list[tuple[Any, ...]]) -> RecordedAnswers:
    """The answers of rows of fingerprint, take and id, in that order."""
    by_take: dict[str, dict[int, list[int]]] = {}
    for fingerprint, take_id, number in rows:
        takes = by_take.get(fingerprint)
        if takes is None:
            by_take[fingerprint] = {take_id: [number]}
        else:
            takes.setdefault(take_id, []).append(number)
    if {tuple(map(type, row)) for row in rows} - {(str, int, int)}:
        raise ValueError("its index has a value of the wrong type")
    for fingerprint, takes in by_take.items():
        check_fingerprint(fingerprint)
        for take_id, numbers in takes.items():
            check_id(take_id, "the id of a take")
            check_id(min(numbers), "an id")
    return RecordedAnswers(by_take)
