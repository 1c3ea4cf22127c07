"""The verdict on a run: from the proxy's report to words, an exit code, JSON and JUnit XML.

A miss, an answer that was not stored or an expired
recording fails a run; an unused recording only where that was asked for.

Not in here: I/O.
"""

import re
import signal
from collections.abc import Iterator, Sequence
from typing import Any

from replay_proxy.answers.conduct import words
from replay_proxy.cli.verdict.junit import junit
from replay_proxy.cli.verdict.outcome import (
    CassetteReport,
    Outcome,
    ReportedInteraction,
    answered,
    counted,
    line,
    not_stored,
)
from replay_proxy.redaction.display import printable

__all__ = [
    "SHOWN",
    "SHOWN_IF_ALLOWED",
    "VERSION",
    "CassetteReport",
    "Outcome",
    "ReportedInteraction",
    "age_s",
    "document",
    "exit_code",
    "failure_reasons",
    "junit",
    "text",
]

#: The version of the JSON document; it changes when a field changes its meaning or goes away.
VERSION = 1

_AGE = re.compile(r"([0-9]{1,9})([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: So many of a kind are shown to a person, and of what does not fail the run; the JSON has more.
SHOWN, SHOWN_IF_ALLOWED = 20, 5


def age_s(age: str) -> int:
    """``30d`` in age_s; ``s``, ``m``, ``h``, ``d`` and ``w`` are known. Raises ``ValueError``."""
    if not (found := _AGE.fullmatch(age)):
        raise ValueError(
            f"{age!r} is not an age: write a whole number and a unit, s, m, h, d or w, as in 30d"
        )
    return int(found[1]) * _UNIT_S[found[2]]


def failure_reasons(outcome: Outcome) -> list[str]:
    """Why the recordings fail the run, in words; empty when they do not."""
    cassettes = outcome.cassettes.values()
    misses = sum(len(each["misses"]) + each.get("more_misses", 0) for each in cassettes)
    expired = sum(each.get("expired_total", len(each["expired"])) for each in cassettes)
    lost = sum(each.get("lost", 0) for each in cassettes)
    unused = sum(each["unused_total"] for each in cassettes) if outcome.fail_unused else 0
    more_used = sum(each.get("more_used", 0) for each in cassettes) if outcome.fail_unused else 0
    kinds = (
        (misses, "miss", "misses"),
        (lost, "answer that was not stored", "answers that were not stored"),
        (expired, "expired recording", "expired recordings"),
        (unused, "unused recording", "unused recordings"),
        (more_used, "answer too many to tell what is unused", "answers too many to tell it"),
    )
    return [counted(number, one, many) for number, one, many in kinds if number]


def exit_code(outcome: Outcome) -> int:
    """The command's own exit code if it failed, as a shell gives it; otherwise 1 on any fault."""
    if outcome.exit_code < 0:
        return 128 - outcome.exit_code
    return outcome.exit_code or (1 if failure_reasons(outcome) else 0)


def text(outcome: Outcome) -> str:
    """The verdict for a person: what was answered, each miss in its own words, and the end."""
    blocks = [f"replay-proxy: {_summary(outcome)}"]
    for name, cassette in outcome.cassettes.items():
        for miss in cassette["misses"][:SHOWN]:
            times = f" ({miss['times']} times)" if miss["times"] > 1 else ""
            blocks.append(f"Miss on cassette '{name}'{times}:\n{miss['message'].rstrip()}")
        more = len(cassette["misses"][SHOWN:]) + cassette.get("more_misses", 0)
        if more:
            blocks.append(f"… and {counted(more, 'more miss', 'more misses')} on '{name}'.")
        if more_used := cassette.get("more_used", 0):
            answers = counted(more_used, "answer")
            blocks.append(
                f"What is unused on cassette '{name}' cannot be told: {answers} came from "
                "recordings beyond those that the proxy remembers."
            )
        if lost := cassette.get("lost", 0):
            blocks.append(_not_stored(name, lost, outcome.log))
        expired, unused = cassette["expired"], cassette["unused"]
        blocks += _listed(
            f"Expired on cassette '{name}'",
            expired,
            cassette.get("expired_total", len(expired)),
            shown=SHOWN,
        )
        shown = SHOWN if outcome.fail_unused else SHOWN_IF_ALLOWED
        total = cassette["unused_total"]
        blocks += _listed(f"Unused on cassette '{name}'", unused, total, shown=shown)
        if met := cassette["faults"]:
            lines = [f"Faults on cassette '{name}':", *(f"  {words(told)}" for told in met)]
            blocks.append("\n".join(lines))
    blocks.append(f"replay-proxy: {_conclusion(outcome)}")
    return printable("\n\n".join(blocks) + "\n")


def document(outcome: Outcome) -> dict[str, Any]:
    """The verdict for a program: the proxy's report, the command, and what follows from both."""
    code = exit_code(outcome)
    return {
        "version": VERSION,
        "command": list(outcome.command),
        "command_exit_code": exit_code(Outcome(outcome.command, outcome.exit_code, {})),
        "verdict": "failed" if code else "passed",
        "exit_code": code,
        "faults": failure_reasons(outcome),
        "cassettes": outcome.cassettes,
    }


def _listed(
    title: str, recordings: Sequence[ReportedInteraction], total: int, *, shown: int
) -> Iterator[str]:
    if not total:
        return
    lines = [f"{title}, {counted(total, 'recording')}:"]
    lines += [
        f"  {line(one)}, recorded {one['recorded_at']} as {one['interaction']}"
        for one in recordings[:shown]
    ]
    if (more := total - len(lines) + 1) > 0:
        lines.append(f"  … and {more:,} more")
    yield "\n".join(lines)


def _not_stored(name: str, lost: int, log: str) -> str:
    lines = [f"Not stored on cassette '{name}': {not_stored(lost)}"]
    said = [line for line in log.splitlines() if line.strip() and not line.startswith("INFO:")]
    if said:
        lines += ["The proxy wrote:", *(f"  {line}" for line in said[-SHOWN:])]
    return "\n".join(lines)


def _summary(outcome: Outcome) -> str:
    answers: dict[str, int] = {}
    for cassette in outcome.cassettes.values():
        for source, count in cassette["answers"].items():
            answers[source] = answers.get(source, 0) + count
    saved = [cassette["saved"] for cassette in outcome.cassettes.values()]
    requests = counted(sum(one["requests"] for one in saved), "request")
    tokens = counted(sum(one["tokens"] for one in saved), "token")
    return f"{answered(answers)}; {requests} and {tokens} saved"


def _conclusion(outcome: Outcome) -> str:
    reasons = failure_reasons(outcome)
    if outcome.exit_code < 0:
        names = {number.value: number.name for number in signal.Signals}
        ended_by = names.get(-outcome.exit_code, f"signal {-outcome.exit_code}")
        reasons.insert(0, f"the command was ended by {ended_by}")
    elif outcome.exit_code:
        reasons.insert(0, f"the command exited with {outcome.exit_code}")
    elif reasons:
        reasons.append("although the command passed")
    return f"failed: {', '.join(reasons)}" if reasons else "passed"
