"""The verdict on a run: text, an exit code, JSON and JUnit XML, all made from the proxy's report.

A miss, a loss and an expired recording fail a run, a loss not with ``--allow-losses``; an unused
recording fails it only with ``--fail-unused``, and a run without a request only with
``--fail-idle``.

Not in here: I/O.
"""

import re
import signal
from collections.abc import Iterator, Sequence
from typing import Any

from replay_proxy.answers.conduct import words
from replay_proxy.answers.losses import fewer_text
from replay_proxy.answers.plural import many
from replay_proxy.cli.verdict.junit import junit
from replay_proxy.cli.verdict.outcome import (
    CassetteReport,
    Outcome,
    ReportedInteraction,
    sources_text,
    uncounted_losses,
)
from replay_proxy.cli.verdict.reasons import failure_reasons
from replay_proxy.cli.wording import VERSION, request_line
from replay_proxy.redaction.display import printable

__all__ = [
    "SHOWN",
    "SHOWN_IF_ALLOWED",
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

_IDLE = (
    "No request: no request reached the proxy. Is the client built before OPENAI_BASE_URL is set, "
    "with a base URL of its own, or in an environment that was cleared? If the command needs no "
    "API, this is right; --fail-idle makes it a failure."
)
_AGE = re.compile(r"([0-9]{1,9})([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: Items per list in the text, and per list that does not fail the run. The JSON has more.
SHOWN, SHOWN_IF_ALLOWED = 20, 5


def age_s(age: str) -> int:
    """``30d`` in seconds. The units are s, m, h, d and w. Raises ``ValueError``."""
    if not (match := _AGE.fullmatch(age)):
        raise ValueError(
            f"{age!r} is not an age: write a whole number and a unit, s, m, h, d or w, as in 30d"
        )
    return int(match[1]) * _UNIT_S[match[2]]


def exit_code(outcome: Outcome) -> int:
    """The command's exit code if it failed, as a shell gives it; otherwise 1 for any reason."""
    if outcome.exit_code < 0:
        return 128 - outcome.exit_code
    return outcome.exit_code or (1 if failure_reasons(outcome) else 0)


def text(outcome: Outcome) -> str:
    """The verdict for a person: the answers, each miss with its message, and the conclusion."""
    blocks = [f"replay-proxy: {_summary(outcome)}"]
    if outcome.idle:
        blocks.append(_IDLE)
    if outcome.requests_of_pytest:
        asked = many(outcome.requests_of_pytest, "request")
        blocks.append(f"The pytest plugin counts {asked} of its tests, which pytest judges.")
    for name, cassette in outcome.cassettes.items():
        for miss in cassette["misses"][:SHOWN]:
            times = f" ({miss['times']} times)" if miss["times"] > 1 else ""
            blocks.append(f"Miss on cassette '{name}'{times}:\n{miss['message'].rstrip()}")
        more = len(cassette["misses"][SHOWN:]) + cassette.get("more_misses", 0)
        if more:
            blocks.append(f"… and {many(more, 'more miss', 'more misses')} on '{name}'.")
        if more_used := cassette.get("more_used", 0):
            answers = many(more_used, "answer")
            blocks.append(
                f"It is unknown which recordings of cassette '{name}' are unused: {answers} came "
                "from more recordings than the proxy remembers."
            )
        blocks += _losses(name, cassette)
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
        if fewer := cassette.get("fewer"):
            blocks.append(fewer_text(name, fewer))
        blocks += _repeated(name, cassette)
        if met := cassette["faults"]:
            lines = [f"Faults on cassette '{name}':", *(f"  {words(conduct)}" for conduct in met)]
            blocks.append("\n".join(lines))
    if any(cassette.get("lost", 0) for cassette in outcome.cassettes.values()):
        blocks += _logged(outcome.log)
    blocks.append(f"replay-proxy: {_conclusion(outcome)}")
    return printable("\n\n".join(blocks) + "\n")


def document(outcome: Outcome) -> dict[str, Any]:
    """The verdict for a program: the proxy's report, the command, and what follows from both.

    ``reasons`` is why the run fails, apart from the command's exit code.
    """
    code = exit_code(outcome)
    return {
        "version": VERSION,
        "command": list(outcome.command),
        "command_exit_code": exit_code(Outcome(outcome.command, outcome.exit_code, {})),
        "verdict": "failed" if code else "passed",
        "exit_code": code,
        "reasons": failure_reasons(outcome),
        "cassettes": outcome.cassettes,
    }


def _listed(
    title: str, recordings: Sequence[ReportedInteraction], total: int, *, shown: int
) -> Iterator[str]:
    if not total:
        return
    lines = [f"{title}, {many(total, 'recording')}:"]
    lines += [
        f"  {request_line(one)}, recorded {one['recorded_at']} as {one['interaction']}"
        for one in recordings[:shown]
    ]
    if (more := total - len(lines) + 1) > 0:
        lines.append(f"  … and {more:,} more")
    yield "\n".join(lines)


def _losses(name: str, cassette: CassetteReport) -> Iterator[str]:
    losses = cassette.get("losses", [])
    for loss in losses[:SHOWN]:
        times = f" ({loss['times']} times)" if loss["times"] > 1 else ""
        yield f"Loss on cassette '{name}'{times}:\n{loss['message']}"
    if more := len(losses[SHOWN:]):
        yield f"… and {many(more, 'more loss', 'more losses')} on '{name}'."
    for sentence in uncounted_losses(cassette):
        yield f"Loss on cassette '{name}':\n{sentence}"


def _repeated(name: str, cassette: CassetteReport) -> Iterator[str]:
    """The requests that were asked more often than they were recorded."""
    if total := cassette.get("repeated_total", 0):
        lines = [f"Repeated on cassette '{name}', {many(total, 'answer')} past the recorded end:"]
        lines += [
            f"  {request_line(one)}, {many(one['times'], 'time')} as {one['interaction']}"
            for one in cassette.get("repeated", [])[:SHOWN_IF_ALLOWED]
        ]
        yield "\n".join(lines)


def _logged(log: str) -> Iterator[str]:
    """The lines that the proxy wrote besides the losses."""
    lines = [line for line in log.splitlines() if line.strip()]
    if others := [line for line in lines if not line.startswith(("INFO:", "Not recorded: "))]:
        yield "\n".join(["The proxy wrote:", *(f"  {line}" for line in others[-SHOWN:])])


def _summary(outcome: Outcome) -> str:
    answers: dict[str, int] = {}
    for cassette in outcome.cassettes.values():
        for source, count in cassette["answers"].items():
            answers[source] = answers.get(source, 0) + count
    recorded = sum(each.get("recorded_total", 0) for each in outcome.cassettes.values())
    saved = [cassette["saved"] for cassette in outcome.cassettes.values()]
    requests = many(sum(one["requests"] for one in saved), "request")
    tokens = many(sum(one["tokens"] for one in saved), "token")
    return f"{sources_text(answers, recorded)}; {requests} and {tokens} saved"


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
