"""A test with a cassette in which no request reached the proxy."""

import re
import subprocess
import sys

from tests.support.sample_project import PLUGINS, Project
from tests.support.servers import clean_environment

TESTS = """
import os
from unittest import mock
import pytest
from openai import APIConnectionError, OpenAI
from .app import answer, answer_or_shrug

ELSEWHERE = OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k", max_retries=0)

def test_with_a_client_of_its_own(replay_proxy):
    with pytest.raises(APIConnectionError):
        ELSEWHERE.models.list()

def test_with_a_cleared_environment(replay_proxy):
    with mock.patch.dict(os.environ, clear=True):
        assert "OPENAI_BASE_URL" not in os.environ

@pytest.mark.cassette("europe")
def test_on_a_shared_cassette():
    pass

@pytest.mark.cassette("europe")
def test_that_asks():
    assert answer("What is the capital of France?") == "Paris"

@pytest.mark.cassette("europe")
def test_that_asks_before_a_rewind(replay_proxy):
    assert answer("What is the capital of France?") == "Paris"
    replay_proxy.rewind()

@pytest.fixture
def asks_last(replay_proxy):
    yield
    answer("What is the capital of France?")

@pytest.mark.cassette("europe")
def test_whose_fixture_asks_at_the_end(asks_last):
    pass

def test_that_fails(replay_proxy):
    assert 1 == 2

def test_that_is_skipped(replay_proxy):
    pytest.skip("no API")

@pytest.mark.xfail
def test_that_fails_as_expected(replay_proxy):
    assert 1 == 2

def test_without_a_cassette():
    pass
"""
IDLE = {
    f"test_it.py::test_{name}"
    for name in ("with_a_client_of_its_own", "with_a_cleared_environment", "on_a_shared_cassette")
}
CAUSE = "This test has a cassette, but no request reached the proxy. Does its client"


def test_a_test_without_a_request_warns_and_is_counted(project: Project) -> None:
    project.write("test_it.py", TESTS)
    done = project.run("test_it.py")
    assert {done.outcomes[nodeid] for nodeid in IDLE} == {"PASSED"}
    warned = done.output[done.output.index("warnings summary") :].partition("NoRequestWarning: ")
    assert warned[2].startswith(CAUSE)
    assert set(re.findall(r"test_it.py::\w+", warned[0])) == IDLE
    assert done.summary.endswith("tokens saved, no request in 3 tests")

    ignored = project.run("test_it.py", "--replay-idle=ignore")
    assert ignored.outcomes == done.outcomes
    assert "NoRequestWarning" not in ignored.output


def test_a_test_without_a_request_fails_on_request(project: Project) -> None:
    project.write("test_it.py", TESTS)
    project.edit("pytest.ini", "[pytest]", "[pytest]\nreplay_idle = fail")
    for arguments in ((), ("--replay-idle=warn", "-W", "error", "-n", "2")):
        done = project.run("test_it.py", *arguments)
        assert done.code == 1
        failed = {nodeid for nodeid, words in done.outcomes.items() if words == "ERROR PASSED"}
        assert failed == IDLE
        shown = done.shown("ERROR at teardown of test_with_a_client_of_its_own")
        assert f"\n{CAUSE}" in shown
        assert "pytest_plugin/" not in done.output, "no traceback through the plugin"


def test_within_a_run_pytest_judges_its_requests_and_what_is_idle(project: Project) -> None:
    pytest = [sys.executable, "-m", "pytest", *PLUGINS, "-q", "-rA", "test_it.py"]
    command = [sys.executable, "-m", "replay_proxy.cli", "run", "--fail-idle", "--", *pytest]
    project.write("test_it.py", TESTS)
    environment = clean_environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for tests, code in (("that_asks", 0), ("that_asks or shared", 1), ("without", 1)):
        done = subprocess.run(
            [*command, "-k", tests],
            cwd=project.path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done
        asks = "that_asks" in tests
        assert ("The pytest plugin counts 2 requests of its tests" in done.stderr) == asks
        assert ("failed: no request" in done.stderr) == (not asks)
        assert ("ERROR test_it.py::test_on_a_shared" in done.stdout) == ("shared" in tests)
