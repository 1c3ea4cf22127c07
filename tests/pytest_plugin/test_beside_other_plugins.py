"""Plugins and libraries that patch or block what a test uses, or give it a process of its own."""

from pathlib import Path

import pytest

from replay_proxy.pytest_plugin.blockers import remedy
from tests.support.sample_project import Project

for plugin in ("pytest_socket", "pytest_recording", "freezegun"):
    pytest.importorskip(plugin, reason="it is in the dependency group dev")

SOCKETS = """
import pytest
from openai import OpenAI

def ask():
    return OpenAI(max_retries=0).models.list()

def test_blocked(replay_proxy):
    ask()

def test_without_a_request(replay_proxy):
    assert replay_proxy.report()["answers"]["from_dummy"] == 0

@pytest.mark.allow_hosts(["127.0.0.1"])
def test_allowed(replay_proxy):
    ask()

def test_skipped(replay_proxy):
    try:
        ask()
    except Exception:
        pytest.skip("no network")
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that needs no cassettes."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nreplay_mode = dummy\nreplay_idle = ignore\n")
    return Project(tmp_path)


def test_pytest_socket_blocks_the_client_alone(project: Project) -> None:
    project.write("test_it.py", SOCKETS)
    done = project.run("-p", "pytest_socket", "--disable-socket")
    assert done.outcomes == {
        "test_it.py::test_blocked": "FAILED",
        "test_it.py::test_without_a_request": "PASSED",
        "test_it.py::test_allowed": "PASSED",
    }, done.output
    assert "1 skipped" in done.output
    shown = done.shown("test_blocked")
    assert "SocketBlockedError" in shown
    assert "pytest-socket blocks it: allow it with --allow-hosts=127.0.0.1" in shown

    allowed = project.run(
        "-p", "pytest_socket", "--disable-socket", "--allow-hosts=127.0.0.1", "-k", "test_blocked"
    )
    assert allowed.code == 0, allowed.output


RECORDING = """
import httpx, pytest, respx, time
from urllib.request import urlopen
from freezegun import freeze_time
from openai import OpenAI

def ask():
    return OpenAI(max_retries=0).models.list()

def test_blocked(replay_proxy):
    ask()

@pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
def test_allowed(replay_proxy):
    ask()

@pytest.mark.vcr
def test_taken_by_vcr(replay_proxy):
    urlopen(f"{replay_proxy.base_url}/models")

class TestPassedOnByVcr:
    @pytest.fixture
    def vcr_config(self):
        return {"ignore_localhost": True, "allowed_hosts": ["127.0.0.1"]}

    @pytest.mark.vcr
    def test_it(self, replay_proxy):
        assert urlopen(f"{replay_proxy.base_url}/models").status == 200
        ask()

@pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
class TestOthers:
    @freeze_time("2001-02-03")
    def test_in_another_year(self, replay_proxy):
        assert time.gmtime().tm_year == 2001
        ask()
        assert replay_proxy.report()["answers"]["from_dummy"] == 1

    @respx.mock
    def test_mocked_by_respx(self, replay_proxy):
        httpx.get(f"{replay_proxy.base_url}/models")

    @respx.mock
    def test_passed_on_by_respx(self, replay_proxy):
        respx.route(host="127.0.0.1").pass_through()
        assert httpx.get(f"{replay_proxy.base_url}/models").is_success
"""


def test_other_tools_keep_the_client_alone_from_the_proxy(project: Project) -> None:
    project.write("test_it.py", RECORDING)
    done = project.run("-p", "pytest_recording.plugin", "--block-network")
    assert done.outcomes == {
        "test_it.py::test_blocked": "FAILED",
        "test_it.py::test_allowed": "PASSED",
        "test_it.py::test_taken_by_vcr": "FAILED",
        "test_it.py::TestPassedOnByVcr::test_it": "PASSED",
        "test_it.py::TestOthers::test_in_another_year": "PASSED",
        "test_it.py::TestOthers::test_mocked_by_respx": "FAILED",
        "test_it.py::TestOthers::test_passed_on_by_respx": "PASSED",
    }, done.output
    blocked = done.shown("test_blocked")
    assert "pytest-recording blocks it: allow it with --allowed-hosts=127.0.0.1" in blocked
    assert "pass them on with ignore_localhost=True" in done.shown("test_taken_by_vcr")
    mocked = done.shown("TestOthers.test_mocked_by_respx")
    assert 'respx.route(host="127.0.0.1").pass_through()' in mocked

    allowed = ("--block-network", "--allowed-hosts=127.0.0.1", "-k", "test_blocked")
    assert project.run("-p", "pytest_recording.plugin", *allowed).code == 0


def test_an_error_that_nobody_is_known_for_has_no_remedy() -> None:
    group = ExceptionGroup("several", [ValueError("127.0.0.1"), KeyError("x")])
    group.__context__ = group
    assert remedy(group) == ""


#: What pytest-forked does: each test has a process that ends with it, and sends its reports.
FORKED = """
import os, pickle
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if "forked" not in item.name:
        return None
    reads, writes = os.pipe()
    if not os.fork():
        with os.fdopen(writes, "wb") as file:
            pickle.dump(runtestprotocol(item, log=False), file)
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as file:
        reports = pickle.load(file)
    os.wait()
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.session._setupstate.teardown_exact(nextitem)
    return True
"""
FORKED_TESTS = """
import pytest
from .app import answer, answer_or_shrug

pytestmark = pytest.mark.cassette("europe")

def test_forked():
    assert answer("What is the capital of France?") == "Paris"

def test_forked_with_a_miss():
    answer_or_shrug("Who are you?")

def test_in_the_same_process():
    assert answer("What is the capital of Italy?") == "Rome"

def test_forked_beside_a_proxy():
    assert answer("What is the capital of France?") == "Paris"
"""


def test_a_process_per_test_is_judged_and_counted(recorded: Project, tmp_path: Path) -> None:
    project = recorded.copy(tmp_path / "sample")
    project.write("conftest.py", FORKED)
    project.write("test_it.py", FORKED_TESTS)
    for arguments in ((), ("-n", "2")):
        done = project.run("test_it.py", *arguments)
        assert done.code == 1
        failed = {nodeid for nodeid, word in done.outcomes.items() if word != "PASSED"}
        assert (len(done.outcomes), failed) == (4, {"test_it.py::test_forked_with_a_miss"})
        assert "No recording answers" in done.shown("test_forked_with_a_miss")
        assert done.summary.startswith("replay-proxy: 3 hits, 1 miss,")
