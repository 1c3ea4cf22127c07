"""Why a run fails, apart from its command's exit code: a table, which docs/verdict.md follows.

Not in here: the exit code, and how a reason is worded beyond its name.
"""

from collections.abc import Callable
from typing import NamedTuple

from replay_proxy.answers.plural import many
from replay_proxy.cli.verdict.outcome import CassetteReport, Outcome

#: The reason of a run in which no request reached the proxy.
NO_REQUEST = "no request"


class Reason(NamedTuple):
    """A kind of failure: its name, its plural, its number on a cassette, and when it counts."""

    name: str
    plural: str
    number: Callable[[CassetteReport], int]
    counts: Callable[[Outcome], bool] = lambda _: True


REASONS = (
    Reason("miss", "misses", lambda each: len(each["misses"]) + each.get("more_misses", 0)),
    Reason(
        "loss", "losses", lambda each: each.get("lost", 0), lambda outcome: not outcome.allow_losses
    ),
    Reason(
        "expired recording",
        "expired recordings",
        lambda each: each.get("expired_total", len(each["expired"])),
    ),
    Reason(
        "unused recording",
        "unused recordings",
        lambda each: each["unused_total"],
        lambda outcome: outcome.fail_unused,
    ),
    Reason(
        "answer too many to tell which recordings are unused",
        "answers too many to tell which recordings are unused",
        lambda each: each.get("more_used", 0),
        lambda outcome: outcome.fail_unused,
    ),
)


def failure_reasons(outcome: Outcome) -> list[str]:
    """Why the run fails, apart from the command's exit code; empty if it does not."""
    numbers = [
        (sum(map(reason.number, outcome.cassettes.values())), reason)
        for reason in REASONS
        if reason.counts(outcome)
    ]
    reasons = [many(number, reason.name, reason.plural) for number, reason in numbers if number]
    return [*reasons, NO_REQUEST] if outcome.fail_idle and outcome.idle else reasons
