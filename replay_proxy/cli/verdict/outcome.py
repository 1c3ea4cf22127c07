"""A finished run, and the phrases that each form of its verdict uses. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from replay_proxy.answers.conduct import Conduct
from replay_proxy.answers.plural import many

_SOURCES = {
    "from_cassette": "from the cassette",
    "from_upstream": "from the API",
    "from_dummy": "by the dummy",
    "refused": "refused",
    "from_fault": "by faults",
}


class ReportedInteraction(TypedDict):
    """An interaction, as the proxy reports it.

    An unused interaction was ``requested`` if its request was sent, but less often than it was
    recorded. ``times`` is how often a repeated one was given past its recorded end.
    """

    interaction: str
    method: str
    path: str
    model: str | None
    last_message: str | None
    recorded_at: str
    requested: NotRequired[bool]
    times: NotRequired[int]


class Saved(TypedDict):
    """Requests and tokens that the API did not have to answer."""

    requests: int
    tokens: int


class CassetteReport(TypedDict):
    """What happened on one cassette.

    A miss is its error object, with ``times``. ``faults`` are the faults that clients met, and what
    they did. ``used`` are the interactions that were replayed or recorded, ``recorded`` those that
    came from the API and are in the cassette, ``recorded_total`` their number. ``lost`` is the
    number of requests whose last answer is not, of which ``losses`` describes at most a thousand;
    ``missing`` counts those that were stored and are not there after the proxy has ended, and
    ``in_progress`` those that had not ended then. ``unused`` and ``expired`` may hold only the
    first of ``unused_total`` and ``expired_total``. ``more_misses`` and ``more_used`` are misses
    and answers that the proxy only counted.
    """

    answers: dict[str, int]
    misses: list[dict[str, Any]]
    faults: list[Conduct]
    used: list[str]
    recorded: NotRequired[list[str]]
    recorded_total: NotRequired[int]
    losses: NotRequired[list[dict[str, Any]]]
    lost: NotRequired[int]
    missing: NotRequired[int]
    in_progress: NotRequired[int]
    unused: list[ReportedInteraction]
    unused_total: int
    expired: list[ReportedInteraction]
    saved: Saved
    more_misses: NotRequired[int]
    more_used: NotRequired[int]
    expired_total: NotRequired[int]
    fewer: NotRequired[list[dict[str, Any]]]
    repeated: NotRequired[list[ReportedInteraction]]
    repeated_total: NotRequired[int]


Cassettes = dict[str, CassetteReport]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run. ``exit_code`` is the command's own, negative if a signal ended it.

    ``log`` is that of the proxy. ``requests_of_pytest`` reached proxies of the pytest plugin.
    """

    command: Sequence[str]
    exit_code: int
    cassettes: Cassettes
    fail_unused: bool = False
    log: str = ""
    fail_idle: bool = False
    allow_losses: bool = False
    requests_of_pytest: int = 0

    @property
    def idle(self) -> bool:
        """Whether no request reached the proxy."""
        cassettes = self.cassettes.values()
        return not self.requests_of_pytest and not any(
            any(each["answers"].values()) or each["misses"] or each.get("lost", 0)
            for each in cassettes
        )


def sources_text(answers: dict[str, int], recorded: int = 0) -> str:
    """The number of answers, of those from each source, and of those that were recorded."""
    by_source = [
        f"{answers[source]} {phrase}" for source, phrase in _SOURCES.items() if answers.get(source)
    ]
    if recorded or answers.get("from_upstream"):
        by_source.append(f"{recorded:,} recorded")
    total = many(sum(answers.values()), "answer")
    return f"{total}: {', '.join(by_source)}" if by_source else total


def uncounted_losses(cassette: CassetteReport) -> list[str]:
    """The losses of which only the number is known, each kind as a sentence with its remedy."""
    missing, in_progress = cassette.get("missing", 0), cassette.get("in_progress", 0)
    more = cassette.get("lost", 0) - missing - in_progress - len(cassette.get("losses", ()))
    kinds = (
        (more, "were not recorded either, and were only counted. Record again."),
        (
            missing,
            "were recorded and are not in the cassette at the end: its file was deleted or "
            "replaced. Leave it alone while recording, and record again.",
        ),
        (
            in_progress,
            "had not reached their end when the proxy stopped. Let clients read to the end, or "
            "give answers more time (REPLAY_PROXY_DRAIN_S), and record again.",
        ),
    )
    return [f"Not recorded: {many(number, 'answer')} {what}" for number, what in kinds if number]
