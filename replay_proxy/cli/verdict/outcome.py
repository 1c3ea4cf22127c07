"""A run that is over, and the words that each form of its verdict uses. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from replay_proxy.answers.conduct import Conduct

_SOURCES = {
    "cassette": "from the cassette",
    "upstream": "from the API",
    "dummy": "by the dummy",
    "refused": "refused",
    "fault": "by faults",
}


class ReportedInteraction(TypedDict):
    """An interaction; an unused one was ``asked`` if its request was, less often than recorded."""

    interaction: str
    method: str
    path: str
    model: str | None
    last_message: str | None
    recorded_at: str
    asked: NotRequired[bool]


class Saved(TypedDict):
    """What was not asked of the API."""

    requests: int
    tokens: int


class CassetteReport(TypedDict):
    """What happened on one cassette; ``unused`` may be the first of ``unused_total`` only.

    ``more_misses`` and ``more_used`` are misses, and answers, that the proxy only counted.
    A miss is its error object, with ``times``; ``used`` are all that were replayed or recorded,
    ``recorded`` those that came from the API, and ``lost`` how many of its answers are not stored.
    """

    answers: dict[str, int]
    misses: list[dict[str, Any]]
    faults: list[Conduct]
    used: list[str]
    recorded: NotRequired[list[str]]
    lost: NotRequired[int]
    unused: list[ReportedInteraction]
    unused_total: int
    expired: list[ReportedInteraction]
    saved: Saved
    more_misses: NotRequired[int]
    more_used: NotRequired[int]
    expired_total: NotRequired[int]


Cassettes = dict[str, CassetteReport]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that is over. ``exit_code`` is the command's own, negative if a signal ended it.

    ``log`` is what the proxy wrote.
    """

    command: Sequence[str]
    exit_code: int
    cassettes: Cassettes
    fail_unused: bool = False
    log: str = ""


def line(of: Any) -> str:
    """A request in one line: method, path, model and the last message, as far as there is one."""
    said = of["last_message"]
    quoted = f'"{" ".join(said.split())}"' if said else ""
    return " ".join(filter(None, [of["method"], of["path"], of["model"], quoted]))


def answered(answers: dict[str, int]) -> str:
    """How many answers there were, and where they came from."""
    by_source = [
        f"{answers[source]} {words}" for source, words in _SOURCES.items() if answers.get(source)
    ]
    total = counted(sum(answers.values()), "answer")
    return f"{total}: {', '.join(by_source)}" if by_source else total


def not_stored(lost: int) -> str:
    """Why so many answers of the API are not in the cassette, and what to do."""
    return (
        f"{counted(lost, 'answer')} of the API. The answer was cut or too large, its client left "
        "before its end, or the file was lost; replay will miss it. Let clients read to the end, "
        "give answers more time (DRAIN_S), and record again."
    )


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number and what it counts."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
