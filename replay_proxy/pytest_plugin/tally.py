"""The sums of a session: over its tests, the runs of each test, and the processes of xdist.

Pure: reports of the proxy in, sums and texts out.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

#: The proxy's report on one cassette.
Report = dict[str, Any]
#: Different misses that are kept per shared cassette; further ones are counted.
KEPT_MISSES = 1_000
#: Misses, or recordings, that one text shows.
SHOWN = 10


class UnusedRecordingWarning(pytest.PytestWarning):
    """A cassette holds recordings that no test used."""


class NoRequestWarning(pytest.PytestWarning):
    """No request of a test that has a cassette reached the proxy."""


class LossWarning(pytest.PytestWarning):
    """An answer of the API was not recorded, and replay will miss it."""


class Tally:
    """The sums of one process. The controller of xdist adds those of its workers.

    ``losses`` is whether a loss fails what it belongs to.
    """

    def __init__(self, *, losses: bool) -> None:
        self.losses = losses
        self.counts: Counter[str] = Counter()
        #: Per shared cassette: the tests that name it, and the sum of its reports.
        self.named: dict[str, list[str]] = {}
        self.shared: dict[str, Report] = {}
        #: The names of shared cassettes by their case-folded form.
        self.spelt: dict[str, str] = {}
        #: The tests with a shared cassette that passed.
        self.passed: list[str] = []
        #: Why the session fails apart from its tests, and notes that fail nothing.
        self.failures: list[str] = []
        self.notes: list[str] = []

    def name(self, cassette: str, nodeid: str) -> None:
        """Note that a test names a cassette. Raises ``pytest.UsageError``."""
        spelt = self.spelt.setdefault(cassette.casefold(), cassette)
        if spelt != cassette:
            raise pytest.UsageError(
                f"{nodeid}: the cassettes '{cassette}' and '{spelt}' are the same file where case "
                "does not matter. Spell them alike, or rename one of them."
            )
        self.named.setdefault(cassette, []).append(nodeid)

    def count(self, report: Report) -> None:
        """Add the report on any cassette to the counts."""
        self.counts["hits"] += report["answers"].get("cassette", 0)
        self.counts["misses"] += sum(miss["times"] for miss in report["misses"])
        self.counts["misses"] += report.get("more_misses", 0)
        self.counts["recorded"] += report["recorded_total"]
        self.counts["lost"] += report["lost"]
        self.counts["repeated"] += report["repeated_total"]
        self.counts["dummy"] += report["answers"].get("dummy", 0)
        self.counts["tokens"] += report["saved"]["tokens"]

    def share(self, cassette: str, report: Report) -> None:
        """Add the report on a cassette that several tests share."""
        self.shared[cassette] = report_sum(self.shared.get(cassette), report)

    def add_outside(self, cassette: str, report: Report) -> None:
        """Add requests sent while no test had the cassette: only the session can fail for them."""
        if any(report["answers"].values()) or report["lost"]:
            self.count(report)
            self.share(cassette, report)
            for text in failures(report, losses=self.losses).values():
                self.failures.append(
                    f"Outside of the tests that use cassette '{cassette}':\n{text}"
                )

    def payload(self) -> dict[str, Any]:
        """The sums in plain types, as a worker sends them."""
        return {**vars(self), "counts": dict(self.counts)}

    def add_worker(self, payload: dict[str, Any]) -> None:
        """Add the payload of a worker."""
        self.counts.update(payload["counts"])
        self.named |= payload["named"]  # Each worker collects all tests.
        self.passed += payload["passed"]
        self.failures += [text for text in payload["failures"] if text not in self.failures]
        self.notes += [text for text in payload["notes"] if text not in self.notes]
        for cassette, report in payload["shared"].items():
            self.share(cassette, report)

    def unused(self, *, whole: bool, store: Path) -> Iterator[str]:
        """A text per shared cassette with unused recordings.

        Such a recording is unused if no test sent its request, however often it was recorded. A
        cassette is judged only if every test that names it passed, in a session that runs
        ``whole`` directories: a test that did not run may be the one that uses the recording.
        """
        for cassette, report in sorted(self.shared.items()):
            # Each test starts at the first answer, so later answers to a request may go unused.
            never = [entry for entry in report["unused"] if not entry["asked"]]
            total = report["unused_total"] - len(report["unused"]) + len(never)
            if not total:
                continue
            if whole and set(self.named.get(cassette, ())) <= set(self.passed):
                yield unused_text(cassette, never, total, store)
            else:
                self.notes.append(
                    f"The unused recordings of the shared cassette '{cassette}' were not judged: "
                    "not all tests that may use them ran and passed."
                )

    def summary(self) -> str:
        """One line, or nothing when no test has used the proxy."""
        if not self.counts:
            return ""
        from replay_proxy.answers.plural import many  # Most sessions do not use the proxy.

        counts = self.counts
        again = f" ({counts['repeated']:,} repeated)" if counts["repeated"] else ""
        replayed = (
            f"{many(counts['hits'], 'hit')}{again}, {many(counts['misses'], 'miss', 'misses')}"
        )
        lost = f"{counts['lost']:,} lost, " if counts["lost"] else ""
        others = f"{counts['recorded']:,} recorded, {lost}{counts['dummy']:,} dummy"
        saved = f"{many(counts['tokens'], 'token')} saved"
        idle = f", no request in {many(counts['idle'], 'test')}" if counts["idle"] else ""
        return f"replay-proxy: {replayed}, {others}, {saved}{idle}"


def failures(report: Report, *, losses: bool) -> dict[str, str]:
    """Why a test fails: texts, each under a key of its own. ``losses`` is whether a loss does."""
    misses = {miss["fingerprint"]: _miss_text(miss) for miss in report["misses"]}
    expired = {
        entry["interaction"]: f"This recording was used and is too old: {_recording_line(entry)}"
        for entry in report["expired"]
    }
    more = report.get("more_misses", 0)
    further = {"more_misses": f"There were {more:,} further misses, only counted."} if more else {}
    return misses | further | (loss_texts(report) if losses else {}) | expired


def loss_texts(report: Report) -> dict[str, str]:
    """The losses as texts, each under a key of its own."""
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


def fails(warning: pytest.PytestWarning, reaction: str) -> bool:
    """Whether a fault fails the test or session; so does a warning that is an error."""
    try:
        if reaction == "warn":
            warnings.warn(warning, stacklevel=3)
    except type(warning):
        return True
    return reaction == "fail"


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
    """Two reports on one cassette as one. Unused is what neither used."""
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
    left = {each["interaction"]: each["asked"] for each in then["unused"]}
    unused = [
        each | {"asked": each["asked"] or left[each["interaction"]]}
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
