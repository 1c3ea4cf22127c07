"""The proxy's report on one cassette: the sum of two, and the texts made from one. Pure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: The proxy's report on one cassette.
Report = dict[str, Any]
#: Maximum number of different misses per shared cassette; further ones are only counted.
KEPT_MISSES = 1_000
#: Maximum number of misses, or of recordings, that one text shows.
SHOWN = 10


def failures(report: Report, *, losses: bool) -> dict[str, str]:
    """Why a test fails: texts, each under its own key. ``losses`` is whether a loss fails it."""
    misses = {miss["fingerprint"]: _miss_text(miss) for miss in report["misses"]}
    expired = {
        entry["interaction"]: f"This recording was used and is too old: {_recording_line(entry)}"
        for entry in report["expired"]
    }
    more = report.get("more_misses", 0)
    further = {"more_misses": f"There were {more:,} further misses, only counted."} if more else {}
    return misses | further | (loss_texts(report) if losses else {}) | expired


def loss_texts(report: Report) -> dict[str, str]:
    """The losses as texts, each under its own key."""
    texts = {f"loss {loss['fingerprint']}": str(loss["message"]) for loss in report["losses"]}
    if (more := report["lost"] - len(report["losses"])) > 0:
        texts["more_losses"] = f"There were {more:,} further losses, only counted."
    return texts


def _miss_text(miss: dict[str, Any]) -> str:
    """The miss without the variables that would record it: under pytest they are options."""
    part = "explanation" if "MODE=record" in miss.get("remedy", "") else "message"
    return str(miss[part])


def unused_text(cassette: str, unused: Sequence[dict[str, Any]], total: int, store: Path) -> str:
    """The unused recordings of a cassette, and how to remove them."""
    from replay_proxy.answers.plural import many

    lines = first([f"  {_recording_line(entry)}" for entry in unused], total)
    return "\n".join(
        [
            f"Nothing asked for {many(total, 'recording')} of cassette '{cassette}':",
            *lines,
            "If these requests are gone for good, delete the cassette and record it again: "
            f"{store / cassette}.sqlite",
        ]
    )


def first(texts: Sequence[str], total: int | None = None) -> list[str]:
    """The first texts, and a line with the number of the others."""
    more = (total or len(texts)) - SHOWN
    return [*texts[:SHOWN], *([f"  … and {more} more"] if more > 0 else [])]


def _recording_line(recording: dict[str, Any]) -> str:
    from replay_proxy.cli.wording import request_line
    from replay_proxy.redaction.display import printable  # Most sessions have nothing to say.

    request = printable(request_line(recording))
    return f"{request}, recorded {recording['recorded_at']} ({recording['interaction']})"


def report_sum(first: Report | None, then: Report) -> Report:
    """The sum of two reports on one cassette. A recording is unused if neither used it."""
    if first is None:
        return then
    misses = {miss["fingerprint"]: miss for miss in first["misses"]}
    more_misses = first.get("more_misses", 0) + then.get("more_misses", 0)
    for miss in then["misses"]:
        known = misses.get(miss["fingerprint"])
        if known is None and len(misses) >= KEPT_MISSES:
            more_misses += miss["times"]
        else:
            before = known["times"] if known else 0
            misses[miss["fingerprint"]] = miss | {"times": before + miss["times"]}
    losses = {loss["fingerprint"]: loss for loss in first["losses"]}
    for loss in then["losses"]:
        before = losses.get(loss["fingerprint"], {"times": 0})["times"]
        losses[loss["fingerprint"]] = loss | {"times": before + loss["times"]}
    more_losses = sum(each["lost"] - len(each["losses"]) for each in (first, then))
    left = {each["interaction"]: each["requested"] for each in then["unused"]}
    unused = [
        each | {"requested": each["requested"] or left[each["interaction"]]}
        for each in first["unused"]
        if each["interaction"] in left
    ]
    expired = {each["interaction"]: each for each in first["expired"] + then["expired"]}
    return {
        "answers": _sums(first["answers"], then["answers"]),
        "misses": list(misses.values()),
        "more_misses": more_misses,
        "losses": list(losses.values()),
        "lost": len(losses) + more_losses,
        "recorded": list(dict.fromkeys(first["recorded"] + then["recorded"])),
        "recorded_total": first["recorded_total"] + then["recorded_total"],
        "repeated_total": first["repeated_total"] + then["repeated_total"],
        "used": list(dict.fromkeys(first["used"] + then["used"])),
        "unused": unused,
        "unused_total": len(unused),
        "expired": list(expired.values()),
        "saved": _sums(first["saved"], then["saved"]),
    }


def _sums(first: dict[str, int], then: dict[str, int]) -> dict[str, int]:
    return {name: first.get(name, 0) + then.get(name, 0) for name in first | then}
