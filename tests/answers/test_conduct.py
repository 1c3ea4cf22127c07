"""The verdict on a client, from arrivals that are made up here, and from real clients."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai import OpenAI

from replay_proxy.answers.conduct import Arrival, Conduct, FaultKind, conduct, retry_after_s, words
from replay_proxy.errors import ConnectionDropped
from replay_proxy.transports.faults import kind_of
from replay_proxy.transports.journal import KEPT_ARRIVALS, KEPT_CHAINS, Journal, Journaled
from replay_proxy.wire import Provenance, Request, Response, Source
from tests.support.nursery import Child, Nursery
from tests.support.provenance import answered
from tests.support.rawclient import RawClient
from tests.support.requests import CHAT, post
from tests.support.servers import clean_environment
from tests.support.transports import SimpleTransport
from tests.transports.faults.test_faults import Api


def chain(*arrivals: tuple[float, str], status: int = 500, wait_s: float | None = None) -> Any:
    """Arrivals of one request, by their second and the fault that each met."""
    return [
        Arrival(round(at * 1e6), fault, status if fault else 0, wait_s if fault else None)
        for at, fault in arrivals
    ]


def judged(*chains: Any) -> Conduct:
    """The verdict on the one fault that is in the chains."""
    (name,) = {each.fault for one in chains for each in one if each.fault}
    met = sum(each.fault == name for one in chains for each in one)
    (told,) = conduct({name: met}, chains, kind_of)
    return told


# --- retry-after --------------------------------------------------------------------------------


def test_a_client_that_waits_as_told_is_found_no_fault_with() -> None:
    told = judged(
        chain((0, "rate_limit"), (2, "rate_limit"), (4.1, ""), status=429, wait_s=2),
    )
    assert told == {
        "fault": "rate_limit",
        "kind": FaultKind.RETRY,
        "met": 2,
        "asked_again": 2,
        "gave_up": 0,
        "too_early": 0,
        "findings": [],
    }
    assert words(told) == "rate_limit, met 2 times: asked again 2 times"


def test_one_that_comes_too_early_is_told_by_how_much() -> None:
    told = judged(chain((0, "rate_limit"), (0.5, "rate_limit"), (2.5, ""), status=429, wait_s=2))
    assert (told["too_early"], told["too_early_by_s"]) == (1, 1.5)
    assert told["findings"] == ["came back before retry-after once, by up to 1.5 s"]
    timer = judged(chain((0, "rate_limit"), (1.995, ""), status=429, wait_s=2))
    assert timer["too_early"] == 0, "a timer is not exact"


@pytest.mark.parametrize(
    ("seconds", "milliseconds", "wait_s"),
    [
        (b"2", None, 2.0),
        (b"1", b"50", 0.05),
        (None, b"1500", 1.5),
        (b"1.5", None, 1.5),
        (b"Wed, 21 Oct 2026 07:28:00 GMT", None, None),
        (None, None, None),
    ],
)
def test_the_finer_header_says_how_long(
    seconds: bytes | None, milliseconds: bytes | None, wait_s: float | None
) -> None:
    assert retry_after_s(seconds, milliseconds) == wait_s


# --- backing off, giving up ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "backed_off"),
    [((0, 1, 3), True), ((0, 1, 2), False), ((0, 2, 3), False), ((0, 1), None)],
)
def test_gaps_that_grow_are_backing_off(seconds: tuple[float, ...], backed_off: bool) -> None:
    *failed, served = seconds
    told = judged(chain(*((at, "server_error") for at in failed), (served, "")))
    assert told.get("backed_off") is backed_off
    assert ("asked again without waiting longer each time" in told["findings"]) == (
        backed_off is False
    )


def test_gaps_that_the_server_decided_are_not_backing_off() -> None:
    told = judged(chain((0, "rate_limit"), (1, "rate_limit"), (2, ""), status=429, wait_s=1))
    assert "backed_off" not in told


def test_one_that_does_not_come_again_has_given_up() -> None:
    told = judged(chain((0, "overloaded"), (1, "overloaded")), chain((0, "overloaded"), (1, "")))
    assert (told["met"], told["asked_again"], told["gave_up"]) == (3, 2, 1)
    assert told["findings"] == ["gave up once"]


# --- what must not be asked again, and what must -----------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("unauthorized", 401),
        ("context_length", 400),
        ("quota", 429),
        ("status", 404),
        ("request_too_large", 429),
    ],
)
def test_asking_again_what_cannot_be_answered_is_found_fault_with(fault: str, status: int) -> None:
    again = judged(chain((0, fault), (1, fault), (3, ""), status=status))
    assert again["findings"] == ["asked again 2 times, which cannot help"]
    once = judged(chain((0, fault), status=status))
    assert (once["findings"], words(once)) == ([], f"{fault}, met once: did not ask again")


@pytest.mark.parametrize("fault", ["cut", "reset_midway", "error_event", "malformed", "empty"])
def test_going_on_after_an_answer_that_broke_off_is_losing_text(fault: str) -> None:
    lost = judged(chain((0, fault), status=200), chain((0, fault), (1, ""), status=200))
    assert lost["findings"] == ["lost text once: went on without asking again"]
    kept = judged(chain((0, fault), (1, ""), status=200))
    assert (kept["findings"], words(kept)) == ([], f"{fault}, met once: asked again once")


@pytest.mark.parametrize("fault", ["slow_start", "drip", "split_utf8", "stall"])
def test_what_arrived_asks_nothing_of_a_client(fault: str) -> None:
    assert judged(chain((0, fault), status=200))["findings"] == []


# --- what is kept of it -------------------------------------------------------------------------


def ask(journal: Journal, body: bytes, answer: Response, arrived_us: int) -> None:
    journaled = Journaled(Api(answer), journal, "tape")
    asyncio.run(journaled.handle(post(body, "/v1/x", arrived_us=arrived_us)))


FAULTED = answered(
    429, ((b"retry-after", b"1"),), b"{}", Provenance(Source.FAULT, "v1:0", fault="rate_limit")
)
SERVED = answered(200, (), b"{}", Provenance(Source.DUMMY, "v1:0"))


def test_arrivals_are_kept_from_the_first_fault_of_a_request_on() -> None:
    journal = Journal()
    for number, answer in enumerate([SERVED, FAULTED, SERVED, SERVED]):
        ask(journal, b"1", answer, number)
        ask(journal, b"2", SERVED, number)
    entry = journal.entries["tape"]
    assert entry.faults == {"rate_limit": 1}
    assert entry.answers == {"dummy": 7, "fault": 1}
    assert list(entry.chains.values()) == [
        [Arrival(1, "rate_limit", 429, 1.0), Arrival(2), Arrival(3)]
    ]


class Dropping(SimpleTransport):
    """Drops the first connection, and answers from then on."""

    def __init__(self) -> None:
        self.asked = 0

    async def handle(self, request: Request) -> Response:
        self.asked += 1
        if self.asked == 1:
            raise ConnectionDropped("", fault="reset", reset=True)
        return SERVED


def test_a_connection_that_was_dropped_is_an_answer_by_a_fault() -> None:
    journal = Journal()
    journaled = Journaled(Dropping(), journal, "tape")
    request = post(b"{}", "/v1/x", arrived_us=5)
    with pytest.raises(ConnectionDropped):
        asyncio.run(journaled.handle(request))
    asyncio.run(journaled.handle(replace(request, arrived_us=7)))
    entry = journal.entries["tape"]
    assert entry.answers == {"fault": 1, "dummy": 1}
    assert list(entry.chains.values()) == [[Arrival(5, "reset"), Arrival(7)]]
    (told,) = conduct(entry.faults, entry.chains.values(), kind_of)
    assert (told["kind"], told["asked_again"], told["findings"]) == (FaultKind.RETRY, 1, [])


def test_equal_requests_that_run_side_by_side_are_all_kept() -> None:
    journal = Journal()
    journaled = Journaled(Api(FAULTED), journal, "tape")
    journal.entry("tape")
    one, two = (post(b"{}", "/v1/x", arrived_us=at) for at in (1, 2))
    # Both have arrived before either has met its fault.
    arrivals = [journal.arrival("tape", each) for each in (one, two)]
    assert arrivals == [None, None]
    for at, arrival in zip((2, 1), arrivals, strict=True):
        met = Arrival(at, "rate_limit", 429, 1.0)
        journal.note_fault("tape", replace(one, arrived_us=at), arrival, met)
    asyncio.run(journaled.handle(replace(one, arrived_us=3)))
    entry = journal.entries["tape"]
    (told,) = conduct(entry.faults, entry.chains.values(), kind_of)
    assert (told["met"], told["asked_again"], told["gave_up"]) == (3, 2, 1)


def test_what_is_kept_is_bounded_and_faults_are_counted_all_the_same() -> None:
    journal = Journal()
    for number in range(KEPT_CHAINS + 5):
        ask(journal, b"%d" % number, FAULTED, number)
    for number in range(KEPT_ARRIVALS + 5):
        ask(journal, b"0", FAULTED, number)
    entry = journal.entries["tape"]
    assert entry.faults["rate_limit"] == KEPT_CHAINS + KEPT_ARRIVALS + 10
    assert len(entry.chains) == KEPT_CHAINS
    assert max(map(len, entry.chains.values())) == KEPT_ARRIVALS


# --- real clients -------------------------------------------------------------------------------


@pytest.fixture
def faulty() -> Iterator[Child]:
    with Nursery() as nursery:
        proxy = nursery.start(MODE="dummy", FAULTS="nth=1,2 rate_limit(0.3); nth=3 cut")
        yield proxy
        proxy.kill()


def report(proxy: Child) -> Any:
    with RawClient(proxy.base_url) as client:
        return json.loads(client.request("GET", "/_replay/api/report").body)["cassettes"]["default"]


def test_the_openai_sdk_waits_as_told_and_loses_the_text_of_a_cut(faulty: Child) -> None:
    with OpenAI(base_url=faulty.base_url, api_key="k") as client:
        stream = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(Exception, match="Connection error"):
            list(stream)
    told = report(faulty)
    assert told["answers"] | {"from_fault": 2, "from_dummy": 1} == told["answers"]
    limited, cut = told["faults"]
    assert (limited["met"], limited["asked_again"], limited["findings"]) == (2, 2, [])
    assert cut["findings"] == ["lost text once: went on without asking again"]
    with RawClient(faulty.base_url) as client:
        client.request("POST", "/_replay/api/rewind")
    assert report(faulty)["faults"] == []


def test_a_client_that_does_not_wait_is_told_by_how_much(faulty: Child) -> None:
    started_s = time.monotonic()
    patience = [(b"x-replay-fault", b"first=2 rate_limit(60)")]
    with RawClient(faulty.base_url) as client:
        for _ in range(3):
            client.request("POST", CHAT, patience, b'{"model": "m"}')
    limited = report(faulty)["faults"][0]
    took_s = time.monotonic() - started_s
    assert limited["too_early"] == 2
    assert 60 - took_s - 0.001 <= limited["too_early_by_s"] <= 60


def test_the_openai_sdk_backs_off_and_gives_up(faulty: Child) -> None:
    broken = {"x-replay-fault": "server_error"}
    with (
        OpenAI(base_url=faulty.base_url, api_key="k", default_headers=broken) as client,
        pytest.raises(openai.InternalServerError),
    ):
        client.models.list()
    (told,) = report(faulty)["faults"]
    assert (told["met"], told["asked_again"], told["backed_off"]) == (3, 2, True)
    assert told["findings"] == ["gave up once"]


def test_a_run_tells_the_verdict_on_its_client_in_each_form(tmp_path: Any) -> None:
    junit, told = tmp_path / "junit.xml", tmp_path / "report.json"
    asked = 'curl -s "$OPENAI_BASE_URL/models"'
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "replay_proxy.cli", "run", "--mode", "dummy"),
            *("--junit", str(junit), "--report", str(told)),
            *("--", "bash", "-c", f"{asked}; {asked}"),
        ],
        cwd=tmp_path,
        env=clean_environment() | {"REPLAY_PROXY_FAULTS": "first=1 rate_limit(60)"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "2 answers: 1 by the dummy, 1 by faults" in done.stderr
    said = re.search(
        r"Faults on cassette 'default':\n  (rate_limit, met once: asked again once; "
        r"came back before retry-after once, by up to \d+\.?\d* s)\n",
        done.stderr,
    )
    assert said, done.stderr
    assert f"<system-out>{said[1]}</system-out>" in junit.read_text()
    (fault,) = json.loads(told.read_text())["cassettes"]["default"]["faults"]
    assert (fault["fault"], fault["kind"], fault["met"]) == ("rate_limit", "retry", 1)


def test_a_script_that_cannot_be_read_refuses_to_start(tmp_path: Any) -> None:
    for script, cause in (
        ("first=0 cut", "FAULTS is not a script of faults: 'first=0 cut': first=0 is not valid"),
        ("@none.txt", "FAULTS=@none.txt cannot be read: No such file or directory"),
    ):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "replay_proxy.cli", "serve", "--port", "0"],
            cwd=tmp_path,
            env=clean_environment() | {"FAULTS": script, "MODE": "dummy"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        assert f"replay-proxy does not start: {cause}" in done.stderr
