"""The verdict on a run: from the proxy's report to words, an exit code, JSON and JUnit XML.

Pure: nothing here asks, prints or writes. A miss or an expired recording fails a run; an unused
recording only where that was asked for.
"""

import re
import signal
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from replay_proxy.redaction import printable

#: The version of the JSON document; it changes when a field changes its meaning or goes away.
VERSION = 1

_AGE = re.compile(r"([0-9]{1,9})([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: So many of a kind are shown to a person, and of what does not fail the run; the JSON has more.
SHOWN, SHOWN_IF_ALLOWED = 20, 5
_SOURCES = {
    "cassette": "from the cassette",
    "upstream": "from the API",
    "dummy": "by the dummy",
    "refused": "refused",
}


class Recording(TypedDict):
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

    A miss is its error object, with ``times``; ``used`` are all that were replayed or recorded.
    """

    answers: dict[str, int]
    misses: list[dict[str, Any]]
    used: list[str]
    unused: list[Recording]
    unused_total: int
    expired: list[Recording]
    saved: Saved


Cassettes = dict[str, CassetteReport]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that is over. ``exit_code`` is the command's own, negative if a signal ended it."""

    command: Sequence[str]
    exit_code: int
    cassettes: Cassettes
    fail_unused: bool = False


def seconds(age: str) -> int:
    """``30d`` in seconds; ``s``, ``m``, ``h``, ``d`` and ``w`` are known. Raises ``ValueError``."""
    if not (found := _AGE.fullmatch(age)):
        raise ValueError(
            f"{age!r} is not an age: write a whole number and a unit, s, m, h, d or w, as in 30d"
        )
    return int(found[1]) * _UNIT_S[found[2]]


def faults(outcome: Outcome) -> list[str]:
    """Why the recordings fail the run, in words; empty when they do not."""
    cassettes = outcome.cassettes.values()
    misses = sum(len(each["misses"]) for each in cassettes)
    expired = sum(len(each["expired"]) for each in cassettes)
    unused = sum(each["unused_total"] for each in cassettes) if outcome.fail_unused else 0
    kinds = (
        (misses, "miss", "misses"),
        (expired, "expired recording", "expired recordings"),
        (unused, "unused recording", "unused recordings"),
    )
    return [_count(number, one, many) for number, one, many in kinds if number]


def exit_code(outcome: Outcome) -> int:
    """The command's own exit code if it failed, as a shell gives it; otherwise 1 on any fault."""
    if outcome.exit_code < 0:
        return 128 - outcome.exit_code
    return outcome.exit_code or (1 if faults(outcome) else 0)


def text(outcome: Outcome) -> str:
    """The verdict for a person: what was answered, each miss in its own words, and the end."""
    blocks = [f"replay-proxy: {_summary(outcome)}"]
    for name, cassette in outcome.cassettes.items():
        for miss in cassette["misses"][:SHOWN]:
            times = f" ({miss['times']} times)" if miss["times"] > 1 else ""
            blocks.append(f"Miss on cassette '{name}'{times}:\n{miss['message'].rstrip()}")
        if more := cassette["misses"][SHOWN:]:
            blocks.append(f"… and {_count(len(more), 'more miss', 'more misses')} on '{name}'.")
        expired, unused = cassette["expired"], cassette["unused"]
        blocks += _listed(f"Expired on cassette '{name}'", expired, len(expired), shown=SHOWN)
        shown = SHOWN if outcome.fail_unused else SHOWN_IF_ALLOWED
        total = cassette["unused_total"]
        blocks += _listed(f"Unused on cassette '{name}'", unused, total, shown=shown)
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
        "faults": faults(outcome),
        "cassettes": outcome.cassettes,
    }


def junit(outcome: Outcome) -> bytes:
    """The verdict as JUnit XML: a test case for each miss, unused and expired recording.

    The hits of a cassette are one passed test case, so that a run without a fault has one too.
    """
    suite = ET.Element("testsuite", name="replay-proxy")
    for name, cassette in outcome.cassettes.items():
        for case in _cases(cassette, fail_unused=outcome.fail_unused):
            case.set("classname", f"replay-proxy.{name}")
            case.set("time", "0")
            suite.append(case)
    suite.attrib |= {
        "tests": str(len(suite)),
        "failures": str(len(suite.findall("testcase/failure"))),
        "errors": "0",
        "skipped": str(len(suite.findall("testcase/skipped"))),
        "time": "0",
    }
    suites = ET.Element("testsuites", suite.attrib)
    suites.append(suite)
    for element in suites.iter():
        element.attrib = {key: printable(value) for key, value in element.attrib.items()}
        element.text = printable(element.text) if element.text else None
    ET.indent(suites)
    return bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def _cases(cassette: CassetteReport, *, fail_unused: bool) -> Iterator[ET.Element]:
    hits = ET.Element("testcase", name="answers from the cassette")
    ET.SubElement(hits, "system-out").text = _answers(cassette["answers"])
    yield hits
    for miss in cassette["misses"]:
        asked = {**miss["asked"], "interaction": miss["fingerprint"][:15]}
        message = f"{miss['message'].rstrip()}\n\nAsked {_count(miss['times'], 'time')}."
        yield _case("miss", asked, "failure", miss["code"], message)
    for old in cassette["expired"]:
        yield _case("expired", old, "failure", "expired", f"Recorded at {old['recorded_at']}.")
    for unused in cassette["unused"]:
        message = f"Nothing asked for the interaction {unused['interaction']}."
        kind = "failure" if fail_unused else "skipped"
        yield _case("unused", unused, kind, "unused", message)


def _case(what: str, of: Any, kind: str, code: str, message: str) -> ET.Element:
    case = ET.Element("testcase", name=f"{what}: {_line(of)} [{of['interaction']}]")
    end = ET.SubElement(case, kind, message=message.partition("\n")[0], type=code)
    end.text = message
    return case


def _line(of: Any) -> str:
    """A request in one line: method, path, model and the last message, as far as there is one."""
    said = of["last_message"]
    quoted = f'"{" ".join(said.split())}"' if said else ""
    return " ".join(filter(None, [of["method"], of["path"], of["model"], quoted]))


def _listed(
    title: str, recordings: Sequence[Recording], total: int, *, shown: int
) -> Iterator[str]:
    if not total:
        return
    lines = [f"{title}, {_count(total, 'recording')}:"]
    lines += [
        f"  {_line(one)}, recorded {one['recorded_at']} as {one['interaction']}"
        for one in recordings[:shown]
    ]
    if (more := total - len(lines) + 1) > 0:
        lines.append(f"  … and {more:,} more")
    yield "\n".join(lines)


def _summary(outcome: Outcome) -> str:
    answers: dict[str, int] = {}
    for cassette in outcome.cassettes.values():
        for source, count in cassette["answers"].items():
            answers[source] = answers.get(source, 0) + count
    saved = [cassette["saved"] for cassette in outcome.cassettes.values()]
    requests = _count(sum(one["requests"] for one in saved), "request")
    tokens = _count(sum(one["tokens"] for one in saved), "token")
    return f"{_answers(answers)}; {requests} and {tokens} saved"


def _answers(answers: dict[str, int]) -> str:
    by_source = [
        f"{answers[source]} {words}" for source, words in _SOURCES.items() if answers.get(source)
    ]
    total = _count(sum(answers.values()), "answer")
    return f"{total}: {', '.join(by_source)}" if by_source else total


def _conclusion(outcome: Outcome) -> str:
    reasons = faults(outcome)
    if outcome.exit_code < 0:
        names = {number.value: number.name for number in signal.Signals}
        ended_by = names.get(-outcome.exit_code, f"signal {-outcome.exit_code}")
        reasons.insert(0, f"the command was ended by {ended_by}")
    elif outcome.exit_code:
        reasons.insert(0, f"the command exited with {outcome.exit_code}")
    elif reasons:
        reasons.append("although the command passed")
    return f"failed: {', '.join(reasons)}" if reasons else "passed"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
