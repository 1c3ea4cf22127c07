"""The verdict on a run, from a report that is made up here."""

import json
import signal
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.cli.verdict import (
    SHOWN,
    SHOWN_IF_ALLOWED,
    CassetteReport,
    Outcome,
    ReportedInteraction,
    age_s,
    document,
    exit_code,
    failure_reasons,
    junit,
    text,
)
from replay_proxy.redaction.display import printable

MESSAGE = 'No recording answers POST /v1/x: none is the same.\n  93% the same:\n    $.model\n  "…"'


def miss(message: str = MESSAGE, times: int = 1, said: str | None = "Hi") -> dict[str, Any]:
    asked = {"method": "POST", "path": "/v1/x", "model": "gpt-5", "last_message": said}
    return {
        "message": message,
        "code": "no_match",
        "fingerprint": "v1:0123456789abcdef",
        "request": asked,
        "times": times,
    }


def recording(number: int = 1, said: str | None = "Hello") -> ReportedInteraction:
    return {
        "interaction": f"36770{number}",
        "method": "POST",
        "path": "/v1/chat/completions",
        "model": None,
        "last_message": said,
        "recorded_at": "2025-10-01T12:00:00+00:00",
    }


def cassette(
    misses: list[dict[str, Any]] | None = None,
    unused: list[ReportedInteraction] | None = None,
    expired: list[ReportedInteraction] | None = None,
    unused_total: int | None = None,
    hits: int = 12,
) -> CassetteReport:
    unused, misses = unused or [], misses or []
    return {
        "answers": {
            "from_upstream": 0,
            "from_cassette": hits,
            "from_dummy": 0,
            "refused": len(misses),
        },
        "misses": misses,
        "faults": [],
        "used": ["367700"],
        "unused": [{**each, "requested": False} for each in unused],
        "unused_total": len(unused) if unused_total is None else unused_total,
        "expired": expired or [],
        "saved": {"requests": hits, "tokens": 345},
    }


def outcome(
    *cassettes: CassetteReport, command_exit_code: int = 0, fail_unused: bool = False
) -> Outcome:
    named = {f"tape{number}": each for number, each in enumerate(cassettes)}
    return Outcome(["npm", "test"], command_exit_code, named, fail_unused)


def parsed(of: Outcome) -> ET.Element:
    return ET.fromstring(junit(of))  # noqa: S314 - our own


def cases(of: Outcome) -> list[ET.Element]:
    return parsed(of).findall("testsuite/testcase")


# --- ages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "is_s"), [("45s", 45), ("90m", 5400), ("12h", 43200), ("30d", 2592000), ("2w", 1209600)]
)
def test_an_age_is_a_number_and_a_unit(age: str, is_s: int) -> None:
    assert age_s(age) == is_s


@pytest.mark.parametrize(
    "age", ["", "30", "d", "-1d", "1.5d", "30 d", "1y", "30d ", "٣d", "9" * 99]
)
def test_what_is_not_an_age_is_an_error_that_names_it(age: str) -> None:
    with pytest.raises(ValueError, match="is not an age: write a whole number and a unit"):
        age_s(age)


def test_the_verdict_names_what_was_answered_past_the_recorded_end() -> None:
    told = cassette()
    told["repeated"] = [{**recording(number), "times": 9 - number} for number in range(8)]
    told["repeated_total"] = 44
    said = text(outcome(told))
    lines = said[said.index("Repeated on cassette 'tape0', 44 answers past the recorded end:") :]
    assert lines.splitlines()[1:3] == [
        '  POST /v1/chat/completions "Hello", 9 times as 367700',
        '  POST /v1/chat/completions "Hello", 8 times as 367701',
    ]
    assert lines.count("times as") == SHOWN_IF_ALLOWED
    assert exit_code(outcome(told)) == 0


# --- the exit code ------------------------------------------------------------------------------

CODES = {
    "nothing to find fault with": (outcome(cassette()), 0),
    "no cassette was touched": (outcome(), 0),
    "the command failed": (outcome(cassette(), command_exit_code=7), 7),
    "the command failed on a miss": (outcome(cassette([miss()]), command_exit_code=7), 7),
    "the command was ended by a signal": (
        outcome(cassette(), command_exit_code=-signal.SIGTERM),
        143,
    ),
    "a miss that the command swallowed": (outcome(cassette(), cassette([miss()])), 1),
    "an expired recording": (outcome(cassette(expired=[recording()])), 1),
    "an unused recording that is allowed": (outcome(cassette(unused=[recording()])), 0),
    "an unused recording that is not": (
        outcome(cassette(unused=[recording()]), fail_unused=True),
        1,
    ),
}


@pytest.mark.parametrize(("of", "code"), CODES.values(), ids=CODES)
def test_the_exit_code(of: Outcome, code: int) -> None:
    assert exit_code(of) == code
    assert document(of)["exit_code"] == code
    assert document(of)["verdict"] == ("failed" if code else "passed")
    assert (
        text(of)
        .splitlines()[-1]
        .startswith("replay-proxy: failed: " if code else "replay-proxy: passed")
    )


def test_reasons_are_counted_over_all_cassettes() -> None:
    both = outcome(
        cassette([miss(times=5)], unused=[recording()], expired=[recording()]),
        cassette([miss()], unused=[recording()], unused_total=1500),
        fail_unused=True,
    )
    assert failure_reasons(both) == ["2 misses", "1 expired recording", "1,501 unused recordings"]


# --- for a person -------------------------------------------------------------------------------


def test_a_person_reads_where_the_answers_came_from_and_what_was_saved() -> None:
    one = cassette(hits=2)
    one["answers"] = {"from_upstream": 1, "from_cassette": 2, "from_dummy": 0, "refused": 0}
    assert text(outcome(one, cassette(hits=1))).splitlines()[0] == (
        "replay-proxy: 4 answers: 3 from the cassette, 1 from the API, 0 recorded; "
        "3 requests and 690 tokens saved"
    )


def test_a_miss_is_told_in_its_own_words() -> None:
    told = text(outcome(cassette([miss(), miss(times=3)])))
    assert f"\nMiss on cassette 'tape0':\n{MESSAGE}\n" in told
    assert f"\nMiss on cassette 'tape0' (3 times):\n{MESSAGE}\n" in told
    assert told.endswith("replay-proxy: failed: 2 misses, although the command passed\n")


def test_unused_and_expired_recordings_are_told_by_their_request() -> None:
    told = text(outcome(cassette(unused=[recording()], expired=[recording(2, said=None)])))
    line = "  POST /v1/chat/completions"
    when = "recorded 2025-10-01T12:00:00+00:00 as"
    assert f"\nUnused on cassette 'tape0', 1 recording:\n{line} \"Hello\", {when} 367701\n" in told
    assert f"\nExpired on cassette 'tape0', 1 recording:\n{line}, {when} 367702\n" in told


@pytest.mark.parametrize(("fail_unused", "shown"), [(True, SHOWN), (False, SHOWN_IF_ALLOWED)])
def test_a_long_list_is_cut_short(fail_unused: bool, shown: int) -> None:
    unused = [recording(number) for number in range(1000)]
    told = text(outcome(cassette(unused=unused, unused_total=5000), fail_unused=fail_unused))
    assert told.count("POST /v1/chat") == shown
    assert f"5,000 recordings:\n{'':2}POST" in told
    assert f"\n  … and {5000 - shown:,} more\n" in told
    exactly = outcome(cassette(unused=unused[:shown]), fail_unused=fail_unused)
    assert "more" not in text(exactly)


def test_many_misses_are_cut_short() -> None:
    told = text(outcome(cassette([miss(f"miss {number}.") for number in range(SHOWN + 2)])))
    assert f"miss {SHOWN - 1}." in told
    assert f"miss {SHOWN}." not in told
    assert "… and 2 more misses on 'tape0'." in told


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "failed: the command exited with 3, 1 miss"),
        (-signal.SIGINT, "failed: the command was ended by SIGINT, 1 miss"),
        (-40, "failed: the command was ended by signal 40, 1 miss"),
    ],
)
def test_the_command_comes_first_in_the_conclusion(code: int, words: str) -> None:
    assert text(outcome(cassette([miss()]), command_exit_code=code)).endswith(f": {words}\n")


def test_a_terminal_is_not_told_what_to_do() -> None:
    told = text(outcome(cassette([miss("\x1b[2J\rgone\x07\x9b1m\ttab 한글 🎉")])))
    assert r"\x1b[2J\rgone\x07\x9b1m" + "\ttab 한글 🎉" in told
    assert printable(MESSAGE) == MESSAGE


# --- for a program ------------------------------------------------------------------------------


def test_the_document_holds_the_report_the_command_and_what_follows() -> None:
    of = outcome(cassette([miss()], unused=[recording()]), command_exit_code=-signal.SIGKILL)
    told = document(of)
    assert json.loads(json.dumps(told)) == told
    assert told == {
        "version": 2,
        "command": ["npm", "test"],
        "command_exit_code": 137,
        "verdict": "failed",
        "exit_code": 137,
        "reasons": ["1 miss"],
        "cassettes": of.cassettes,
    }


# --- JUnit --------------------------------------------------------------------------------------


def test_junit_has_a_case_for_every_finding_and_one_for_the_hits() -> None:
    of = outcome(
        cassette([miss(times=3)], unused=[recording(1)], expired=[recording(2)]),
        cassette(hits=0),
    )
    found = [(case.get("classname"), case.get("name"), [e.tag for e in case]) for case in cases(of)]
    chat = 'POST /v1/chat/completions "Hello"'
    assert found == [
        ("replay-proxy.tape0", "answers from the cassette", ["system-out"]),
        ("replay-proxy.tape0", 'miss: POST /v1/x gpt-5 "Hi" [v1:0123456789ab]', ["failure"]),
        ("replay-proxy.tape0", f"expired: {chat} [367702]", ["failure"]),
        ("replay-proxy.tape0", f"unused: {chat} [367701]", ["skipped"]),
        ("replay-proxy.tape1", "answers from the cassette", ["system-out"]),
    ]
    failure = cases(of)[1].find("failure")
    assert failure is not None
    assert failure.text == f"{MESSAGE}\n\nAsked 3 times."
    assert failure.attrib == {"message": MESSAGE.splitlines()[0], "type": "no_match"}
    suite = parsed(of).find("testsuite")
    assert suite is not None
    counted = {name: suite.get(name) for name in ("tests", "failures", "skipped", "errors")}
    assert counted == {"tests": "5", "failures": "2", "skipped": "1", "errors": "0"}


def test_unused_recordings_fail_in_junit_when_they_fail_the_run() -> None:
    of = outcome(cassette(unused=[recording()]), fail_unused=True)
    assert [element.tag for case in cases(of) for element in case] == ["system-out", "failure"]


ANY_TEXT = st.text(st.characters())  # Surrogates and control characters too.


@given(message=ANY_TEXT, said=ANY_TEXT, name=ANY_TEXT)
def test_junit_is_valid_for_any_text(message: str, said: str, name: str) -> None:
    tape = cassette([miss(message, said=said)], unused=[recording(said=said)])
    (failure,) = parsed(Outcome([], 0, {name: tape})).iter("failure")
    assert failure.text == printable(f"{message.rstrip()}\n\nAsked 1 time.")


@given(ANY_TEXT)
def test_what_is_printed_can_be_written_anywhere_and_stays_so(shown: str) -> None:
    once = printable(shown)
    once.encode("utf-8")
    assert printable(once) == once
    assert once.count("\n") == shown.count("\n")
