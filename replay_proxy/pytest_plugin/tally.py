"""The sums of a session: over its tests, the runs of each test, and the processes of xdist.

Pure: reports of the proxy in, sums and texts out.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replay_proxy.pytest_plugin.reports import Report, failures, first, report_sum, unused_text

#: The cassette of requests that name none.
_DEFAULT = "default"


class UnusedRecordingWarning(pytest.PytestWarning):
    """A cassette holds recordings that no test used."""


class NoRequestWarning(pytest.PytestWarning):
    """A test has a cassette, but none of its requests reached the proxy."""


class LossWarning(pytest.PytestWarning):
    """An answer of the API was not recorded, and replay will miss it."""


class Tally:
    """The sums of one process. The controller of xdist adds those of its workers.

    ``losses`` is whether a loss fails its test, or the session.
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
        #: The recorded interactions of each cassette.
        self.recorded: dict[str, list[str]] = {}
        #: Why the session fails apart from its tests, and notes that fail nothing.
        self.failures: list[str] = []
        #: Requests by the address of a test that had ended, by that test's cassette.
        self.late: Counter[str] = Counter()
        #: The tests that left threads running, with the names of these.
        self.left: list[str] = []
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

    def count(self, cassette: str, report: Report) -> None:
        """Add the report on any cassette to the counts."""
        if report["recorded"]:
            self.recorded.setdefault(cassette, []).extend(report["recorded"])
        self.counts["hits"] += report["answers"].get("from_cassette", 0)
        self.counts["misses"] += sum(miss["times"] for miss in report["misses"])
        self.counts["misses"] += report.get("more_misses", 0)
        self.counts["recorded"] += report["recorded_total"]
        self.counts["lost"] += report["lost"]
        self.counts["repeated"] += report["repeated_total"]
        self.counts["dummy"] += report["answers"].get("from_dummy", 0)
        self.counts["tokens"] += report["saved"]["tokens"]

    def share(self, cassette: str, report: Report) -> None:
        """Add the report on a cassette that several tests share."""
        self.shared[cassette] = report_sum(self.shared.get(cassette), report)

    def add_outside(self, cassette: str, report: Report) -> None:
        """Add requests sent while no test had the cassette: only the session can fail for them."""
        if any(report["answers"].values()) or report["lost"]:
            self.count(cassette, report)
            self.share(cassette, report)
            where = f"Outside of the tests that use cassette '{cassette}'"
            if cassette == _DEFAULT and cassette not in self.named:
                where = "Outside of the tests that have a cassette"
            for text in failures(report, losses=self.losses).values():
                self.failures.append(f"{where}:\n{text}")

    def payload(self) -> dict[str, Any]:
        """The sums in plain types, as a worker sends them."""
        return {**vars(self), "counts": dict(self.counts), "late": dict(self.late)}

    def add_worker(self, payload: dict[str, Any]) -> None:
        """Add the payload of a worker."""
        self.counts.update(payload["counts"])
        self.late.update(payload["late"])
        self.left += payload["left"]
        self.named |= payload["named"]  # Each worker collects all tests.
        self.passed += payload["passed"]
        self.failures += [text for text in payload["failures"] if text not in self.failures]
        self.notes += [text for text in payload["notes"] if text not in self.notes]
        for cassette, report in payload["shared"].items():
            self.share(cassette, report)
        for cassette, recorded in payload["recorded"].items():
            self.recorded.setdefault(cassette, []).extend(recorded)

    def unused(self, *, whole: bool, store: Path) -> Iterator[str]:
        """A text per shared cassette with unused recordings.

        Such a recording is unused if no test sent its request, however often it was recorded. A
        cassette is judged only if every test that names it passed, in a session that runs
        ``whole`` directories: a test that did not run may be the one that uses the recording.
        """
        for cassette, report in sorted(self.shared.items()):
            # Each test starts at the first answer, so later answers to a request may go unused.
            never = [entry for entry in report["unused"] if not entry["requested"]]
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

    def requests(self) -> int:
        """The number of requests that reached a proxy."""
        return sum(self.counts[key] for key in ("hits", "misses", "recorded", "lost", "dummy"))

    def late_texts(self) -> list[str]:
        """A line per test that sent requests after its end, or may have."""
        from replay_proxy.answers.plural import many

        left = [
            f"A thread was still running when its test had ended: {test}. What it asks for by a "
            "client that was made before the test counts for the test that runs then."
            for test in self.left
        ]
        return first(left) + first(
            [
                f"{many(number, 'request')} came by the address of cassette '{cassette}' when its "
                "test had ended, and count for the test that ran then, if any: by a client that "
                "the test had made and that was kept, or by something that it left running."
                for cassette, number in sorted(self.late.items())
                if number
            ]
        )

    def fewer_texts(self, store: Path) -> list[str]:
        """A text per cassette whose new take has fewer answers to a request than the one before."""
        if not self.recorded:
            return []
        from replay_proxy.answers.losses import fewer_text
        from replay_proxy.store.stored import fewer_answers

        found = [
            (cassette, fewer_answers(store / f"{cassette}.sqlite", map(int, recorded)))
            for cassette, recorded in sorted(self.recorded.items())
        ]
        return [fewer_text(cassette, fewer) for cassette, fewer in found if fewer]

    def summary(self) -> str:
        """One line; empty if no test has used the proxy."""
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


def fails(warning: pytest.PytestWarning, reaction: str) -> bool:
    """Whether a warning fails the test or the session: by ``reaction``, or since it is an error."""
    try:
        if reaction == "warn":
            warnings.warn(warning, stacklevel=3)
    except type(warning):
        return True
    return reaction == "fail"
