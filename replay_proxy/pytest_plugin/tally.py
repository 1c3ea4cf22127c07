"""What a session's tests have asked, added up: over tests, runs of a test, and processes of xdist.

Pure: reports of the proxy in, sums and words out.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

#: What a proxy reports of one cassette.
Report = dict[str, Any]
#: The most different misses that are kept of a shared cassette; further ones are counted.
KEPT_MISSES = 1_000
#: So many misses, or recordings, are shown in one text.
SHOWN = 10


class UnusedRecordingWarning(pytest.PytestWarning):
    """A cassette holds recordings that nothing asked for."""


class Tally:
    """The sums of one process; the controller of xdist takes in those of the workers."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        #: By shared cassette: the tests that name it, and what was asked of it altogether.
        self.named: dict[str, list[str]] = {}
        self.shared: dict[str, Report] = {}
        #: Their names, by what they are where case does not matter.
        self.spelt: dict[str, str] = {}
        #: The tests that passed, of those that share a cassette.
        self.passed: list[str] = []
        #: What the session fails for beside its tests, and what is only worth saying.
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
        """Add what was asked of any cassette."""
        self.counts["hits"] += report["answers"].get("cassette", 0)
        self.counts["misses"] += sum(miss["times"] for miss in report["misses"])
        self.counts["misses"] += report.get("more_misses", 0)
        self.counts["recorded"] += report["answers"].get("upstream", 0)
        self.counts["dummy"] += report["answers"].get("dummy", 0)
        self.counts["tokens"] += report["saved"]["tokens"]

    def share(self, cassette: str, report: Report) -> None:
        """Add what was asked of a cassette that does not belong to one test."""
        self.shared[cassette] = report_sum(self.shared.get(cassette), report)

    def add_outside(self, cassette: str, report: Report) -> None:
        """Add what was asked while no test had the cassette: nobody else can fail for it."""
        if any(report["answers"].values()):
            self.count(report)
            self.share(cassette, report)
            for text in failures(report).values():
                self.failures.append(
                    f"Outside of the tests that use cassette '{cassette}':\n{text}"
                )

    def payload(self) -> dict[str, Any]:
        """What a worker sends, in plain types."""
        return {**vars(self), "counts": dict(self.counts)}

    def add_worker(self, sent: dict[str, Any]) -> None:
        """Add what a worker has sent."""
        self.counts.update(sent["counts"])
        self.named |= sent["named"]  # Each worker collects all tests.
        self.passed += sent["passed"]
        self.failures += [text for text in sent["failures"] if text not in self.failures]
        for cassette, report in sent["shared"].items():
            self.share(cassette, report)

    def unused(self, *, whole: bool, store: Path) -> Iterator[str]:
        """The unused recordings of each shared cassette, in words.

        Here a recording is unused when no test has asked its request, however often it was
        recorded. A cassette is judged when every test that names it has passed, in a session that
        was asked for ``whole`` directories: the others may have been the ones that use them.
        """
        for cassette, report in sorted(self.shared.items()):
            # Each test starts at the first answer: of equal requests it alone is for all of them.
            never = [each for each in report["unused"] if not each["asked"]]
            total = report["unused_total"] - len(report["unused"]) + len(never)
            if not total:
                continue
            if whole and set(self.named.get(cassette, ())) <= set(self.passed):
                yield unused_text(cassette, never, total, store)
            else:
                self.notes.append(
                    f"The unused recordings of the shared cassette '{cassette}' were not judged, "
                    "since not all tests ran that may use them, or not all of them passed."
                )

    def summary(self) -> str:
        """One line, or nothing when no test has used the proxy."""
        if not self.counts:
            return ""
        of = self.counts
        asked = f"{_count(of['hits'], 'hit')}, {_count(of['misses'], 'miss', 'misses')}"
        made = f"{of['recorded']} recorded, {of['dummy']} dummy"
        return f"replay-proxy: {asked}, {made}, {_count(of['tokens'], 'token')} saved"


def failures(report: Report) -> dict[str, str]:
    """What a test fails for, in words, each under a key that tells it from others."""
    misses = {miss["fingerprint"]: _miss_text(miss) for miss in report["misses"]}
    expired = {
        each["interaction"]: f"This recording was used and is too old: {_line(each)}"
        for each in report["expired"]
    }
    more = report.get("more_misses", 0)
    further = {"more_misses": f"There were {more:,} further misses, only counted."} if more else {}
    return misses | further | expired


def _miss_text(miss: dict[str, Any]) -> str:
    """The miss without the variables that would record it, which are options here."""
    part = "explanation" if "MODE=record" in miss.get("remedy", "") else "message"
    return str(miss[part])


def unused_text(cassette: str, unused: Sequence[dict[str, Any]], total: int, store: Path) -> str:
    """The recordings of a cassette that nothing asked for, and how to be rid of them."""
    lines = first([f"  {_line(each)}" for each in unused], total)
    return "\n".join(
        [
            f"Nothing asked for {_count(total, 'recording')} of cassette '{cassette}':",
            *lines,
            "If these requests are gone for good, delete the cassette and record it again: "
            f"{store / cassette}.sqlite",
        ]
    )


def fails(unused: str, wish: str) -> bool:
    """Whether unused recordings fail who left them; a warning that a filter raises does too."""
    try:
        if wish == "warn":
            warnings.warn(UnusedRecordingWarning(unused), stacklevel=3)
    except UnusedRecordingWarning:
        return True
    return wish == "fail"


def first(texts: Sequence[str], total: int | None = None) -> list[str]:
    """The texts that are shown, and how many are not."""
    more = (total or len(texts)) - SHOWN
    return [*texts[:SHOWN], *([f"  … and {more} more"] if more > 0 else [])]


def _line(recording: dict[str, Any]) -> str:
    from replay_proxy.redaction.display import printable  # Most sessions have nothing to say.

    said = recording["last_message"] and f'"{recording["last_message"]}"'
    what = filter(None, (recording["method"], recording["path"], recording["model"], said))
    asked = printable(" ".join(what))
    return f"{asked}, recorded {recording['recorded_at']} ({recording['interaction']})"


def report_sum(first: Report | None, then: Report) -> Report:
    """Two reports of one cassette as one: unused is what neither used."""
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
        "used": list(dict.fromkeys(first["used"] + then["used"])),
        "unused": unused,
        "unused_total": len(unused),
        "expired": list(expired.values()),
        "saved": _sums(first["saved"], then["saved"]),
    }


def _sums(first: dict[str, int], then: dict[str, int]) -> dict[str, int]:
    return {name: first.get(name, 0) + then.get(name, 0) for name in first | then}


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
