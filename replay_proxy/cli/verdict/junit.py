"""The verdict as JUnit XML, which every CI system can show."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

from replay_proxy.answers.conduct import words
from replay_proxy.answers.plural import many
from replay_proxy.cli.verdict.outcome import (
    CassetteReport,
    Outcome,
    sources_text,
    uncounted_losses,
)
from replay_proxy.cli.wording import request_line
from replay_proxy.redaction.display import printable


def junit(outcome: Outcome) -> bytes:
    """A test case for each miss, each loss, each unused or expired recording, and each fault.

    A fault fails nothing: its test case says what the client did. The hits of a cassette are one
    passed test case, so that every run has a test case.
    """
    suite = ET.Element("testsuite", name="replay-proxy")
    for name, cassette in outcome.cassettes.items():
        for case in _cases(cassette, outcome):
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


def _cases(cassette: CassetteReport, outcome: Outcome) -> Iterator[ET.Element]:
    hits = ET.Element("testcase", name="answers from the cassette")
    ET.SubElement(hits, "system-out").text = sources_text(
        cassette["answers"], cassette.get("recorded_total", 0)
    )
    yield hits
    for miss in cassette["misses"]:
        request = {**miss["request"], "interaction": miss["fingerprint"][:15]}
        message = f"{miss['message'].rstrip()}\n\nAsked {many(miss['times'], 'time')}."
        yield _case("miss", request, "failure", miss["code"], message)
    if more := cassette.get("more_misses", 0):
        case = ET.Element("testcase", name="further misses")
        message = f"{many(more, 'more miss', 'more misses')}, which the proxy only counted."
        ET.SubElement(case, "failure", message=message, type="more_misses")
        yield case
    allowed = "skipped" if outcome.allow_losses else "failure"
    for loss in cassette.get("losses", ()):
        request = {**loss["request"], "interaction": loss["fingerprint"][:15]}
        message = f"{loss['message']}\n\nNot recorded {many(loss['times'], 'time')}."
        yield _case("loss", request, allowed, loss["code"], message)
    if sentences := uncounted_losses(cassette):
        case = ET.Element("testcase", name="answers of the API are recorded")
        message = "\n".join(sentences)
        ET.SubElement(case, allowed, message=sentences[0], type="loss").text = message
        yield case
    for old in cassette["expired"]:
        yield _case("expired", old, "failure", "expired", f"Recorded at {old['recorded_at']}.")
    for unused in cassette["unused"]:
        message = f"Nothing asked for the interaction {unused['interaction']}."
        kind = "failure" if outcome.fail_unused else "skipped"
        yield _case("unused", unused, kind, "unused", message)
    for conduct in cassette["faults"]:
        met = ET.Element("testcase", name=f"fault: {conduct['fault']}")
        ET.SubElement(met, "system-out").text = words(conduct)
        yield met


def _case(what: str, of: Any, kind: str, code: str, message: str) -> ET.Element:
    case = ET.Element("testcase", name=f"{what}: {request_line(of)} [{of['interaction']}]")
    end = ET.SubElement(case, kind, message=message.partition("\n")[0], type=code)
    end.text = message
    return case
