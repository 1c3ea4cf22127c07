"""A test whose answer from the API was not recorded."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sample_project import SAMPLE, Project
from tests.support.script import JSON, Answer, Gate, Received
from tests.support.upstream import Upstream

TESTS = """
import os, urllib.request
import pytest

def get(path, size=-1):
    try:
        with urllib.request.urlopen(os.environ["OPENAI_BASE_URL"] + path, timeout=9) as answer:
            answer.read(size)
    except OSError:
        pass

def test_whole(replay_proxy):
    get("/whole")
    assert replay_proxy.report()["recorded_total"] == 1

def test_refused(replay_proxy):
    get("/401")

def test_busy_once(replay_proxy):
    get("/busy")
    get("/busy")

def test_that_leaves_early(replay_proxy):
    get("/hangs", 1)

@pytest.mark.cassette("shared")
def test_on_a_shared_cassette():
    get("/503")

@pytest.fixture(scope="session")
def asks_outside(replay_proxy_server):
    os.environ["OPENAI_BASE_URL"] = replay_proxy_server.base_url("outside")
    get("/429")
    yield

def test_after_a_fixture_that_asked(asks_outside):
    pass
"""
LOST = {
    "test_it.py::test_refused": "Not recorded: GET /v1/401: 401 depends on who asks. Check",
    "test_it.py::test_that_leaves_early": "Not recorded: GET /v1/hangs: its client left, and",
    "test_it.py::test_on_a_shared_cassette": "Not recorded: GET /v1/503: 503 holds only for a mo",
}


@pytest.fixture
def suite(tmp_path: Path) -> Project:
    return Project(SAMPLE).copy(tmp_path / "sample")


@pytest.fixture
def losing() -> Iterator[Upstream]:
    never = threading.Event()
    busy = iter([429])

    def api(request: Received) -> Answer:
        match request.target.rpartition("/")[2]:
            case "hangs":
                return Answer(steps=[b"data: 1\n\n", Gate(never)])
            case "busy":
                return Answer(next(busy, 200), JSON, [b"{}"], "length")
            case "whole":
                return Answer(200, JSON, [b"{}"], "length")
            case status:
                return Answer(int(status), JSON, [b"{}"], "length")

    with Upstream(api) as it:
        yield it


def run(suite: Project, losing: Upstream, *options: str) -> tuple[dict[str, str], str, str]:
    """The outcome of each test, the output, and the last line."""
    suite.write("test_it.py", TESTS)
    arguments = ("test_it.py", "--replay-mode=record", *options)
    done = suite.run(*arguments, UPSTREAM_BASE_URL=losing.base_url, REPLAY_PROXY_DRAIN_S="0.1")
    assert done.code == (1 if "FAILED" in done.output else 0)
    return done.outcomes, done.output, done.summary


def test_a_loss_fails_its_test_and_one_outside_of_all_tests_the_session(
    suite: Project, losing: Upstream
) -> None:
    outcomes, output, summary = run(suite, losing, "-n", "2", "--dist=loadfile")
    failed = {nodeid for nodeid, words in outcomes.items() if words != "PASSED"}
    assert failed == LOST.keys()
    assert outcomes["test_it.py::test_that_leaves_early"] == "ERROR PASSED", "known at its end"
    for nodeid, text in LOST.items():
        assert f"\n{text}" in output
        assert f"To record this test again: pytest {nodeid} --replay-mode=record" in output
    assert (
        "\nOutside of the tests that use cassette 'outside':\nNot recorded: GET /v1/429" in output
    )
    assert "pytest_plugin/" not in output, "no traceback through the plugin"
    assert "0 hits, 0 misses, 2 recorded, 4 lost, 0 dummy" in summary


@pytest.mark.parametrize("reaction", ["warn", "ignore"])
def test_a_loss_warns_or_does_nothing_on_request(
    suite: Project, losing: Upstream, reaction: str
) -> None:
    suite.edit("pytest.ini", "[pytest]", f"[pytest]\nreplay_losses = {reaction}")
    outcomes, output, summary = run(suite, losing)
    assert set(outcomes.values()) == {"PASSED"}
    warned = reaction == "warn"
    assert [f"LossWarning: {text}" in output for text in LOST.values()] == [warned] * len(LOST)
    assert "recorded, 4 lost, 0 dummy" in summary


POLLS = """
import os, urllib.request

def test_polls(replay_proxy):
    for _ in range(int(os.environ["POLLS"])):
        urllib.request.urlopen(os.environ["OPENAI_BASE_URL"] + "/whole").read()
"""


def test_a_take_with_fewer_answers_than_the_one_before_is_noted(
    suite: Project, losing: Upstream
) -> None:
    suite.write("test_it.py", POLLS)
    for polls, options in (("3", []), ("1", ["-n", "1"])):
        arguments = ("test_it.py", "--replay-mode=record", *options)
        done = suite.run(*arguments, UPSTREAM_BASE_URL=losing.base_url, POLLS=polls)
        assert done.code == 0, done.output
        told = "GET /v1/whole: 1 of 3 answers; the older take stays hidden" in done.output
        assert told == (polls == "1")
