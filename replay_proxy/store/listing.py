"""What the tools list of a cassette, as its rows have it: takes, stamps, answers. Pure.

Each of them raises ``ValueError`` for what no cassette has; whole interactions are of ``rows``.
"""

from typing import Any

from replay_proxy.cassette import Take
from replay_proxy.store.sqlite.rows import Row
from replay_proxy.store.sqlite.soundness import check_fingerprint, check_id, check_us


def to_take(row: Row) -> Take:
    """The take of a row of ``take``."""
    if (type(row["id"]), type(row["run"]), type(row["started_us"])) != (int, str, int):
        raise ValueError("it has a take of other types than a take's")
    check_id(row["id"], "the id of a take")
    check_us(row["started_us"], f"the beginning of take {row['id']}")
    return Take(**row)


def to_stamp(row: tuple[Any, ...]) -> tuple[int, int, str, int]:
    """An id, take, fingerprint and checksum."""
    number, take_id, fingerprint, checksum = row
    if tuple(map(type, row)) != (int, int, str, int):
        raise ValueError(f"interaction {number} has a stamp of other types than a stamp's")
    check_id(number)
    check_id(take_id, "its take's id")
    check_fingerprint(fingerprint)
    return number, take_id, fingerprint, checksum


def to_answers(rows: list[tuple[Any, ...]]) -> dict[str, dict[int, list[int]]]:
    """The ids of each fingerprint, by take, of rows of the three."""
    found: dict[str, dict[int, list[int]]] = {}
    for fingerprint, take_id, number in rows:
        takes = found.get(fingerprint)
        if takes is None:
            found[fingerprint] = {take_id: [number]}
        else:
            takes.setdefault(take_id, []).append(number)
    if {tuple(map(type, row)) for row in rows} - {(str, int, int)}:
        raise ValueError("its index has values of other types than an index's")
    for fingerprint, takes in found.items():
        check_fingerprint(fingerprint)
        for take_id, numbers in takes.items():
            check_id(take_id, "the id of a take")
            check_id(min(numbers), "an id")
    return found
