"""Clients created before their test: at import, by a shared fixture, or kept from a test."""

from pathlib import Path

import pytest

from tests.support.sample_project import Project, recording
from tests.support.upstream import Upstream

CONFTEST = """
import os, openai, pytest

CLIENT = openai.OpenAI(max_retries=0)

@pytest.fixture(scope="session")
def shared_client():
    return openai.OpenAI(max_retries=0)

@pytest.fixture
def early_client():
    return openai.OpenAI(max_retries=0)
"""
TESTS = """
import os, threading
from functools import lru_cache
import openai, pytest
from .conftest import CLIENT

IMPORTED = {"OPENAI_BASE_URL": os.environ.get("OPENAI_BASE_URL")}
ASYNC = openai.AsyncOpenAI(max_retries=0)

def question(country):
    content = f"What is the capital of {country}?"
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}

def capital(client, country):
    return client.chat.completions.create(**question(country)).choices[0].message.content

@lru_cache
def kept():
    return openai.OpenAI(max_retries=0)

@pytest.mark.parametrize(("country", "name"), [("France", "Paris"), ("Japan", "Tokyo")])
def test_imported(replay_proxy, country, name):
    assert capital(CLIENT, country) == name
    assert replay_proxy.report()["answers"]["refused"] == 0
    assert sum(replay_proxy.report()["answers"].values()) == 1

@pytest.mark.asyncio
async def test_imported_async(replay_proxy):
    answer = await ASYNC.chat.completions.create(**question("Peru"))
    assert answer.choices[0].message.content == "Lima"

def test_made_by_a_fixture_of_all_tests(shared_client, replay_proxy):
    assert capital(shared_client, "Italy") == "Rome"

@pytest.mark.cassette("shared")
def test_made_by_the_same_fixture(shared_client):
    assert capital(shared_client, "France") == "Paris"

def test_made_by_a_fixture_before(early_client, replay_proxy):
    assert early_client.base_url == f"{replay_proxy.base_url}/"
    assert capital(early_client, "Italy") == "Rome"

def test_of_the_module(replay_proxy):
    assert capital(openai, "France") == "Paris"

def test_of_the_module_again(replay_proxy):
    assert capital(openai, "Peru") == "Lima"

def test_kept(replay_proxy):
    assert capital(kept(), "Japan") == "Tokyo"

def test_kept_for_another(replay_proxy):
    assert capital(kept(), "Italy") == "Rome"

def test_own_environment():
    assert IMPORTED["OPENAI_BASE_URL"] == f"http://127.0.0.1:{CLIENT.base_url.port}/v1"
    assert "OPENAI_BASE_URL" not in os.environ
"""
ASKING = 10


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "sample").mkdir()
    project = Project(tmp_path / "sample")
    project.write("__init__.py", "")
    project.write("conftest.py", CONFTEST)
    project.write("pytest.ini", "[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return project


def test_a_client_follows_the_test_that_runs(project: Project, upstream: Upstream) -> None:
    project.write("test_it.py", TESTS)
    done = project.run("--replay-mode=record", **recording(upstream))
    assert done.code == 0, done.output
    assert f"0 misses, {ASKING} recorded" in done.summary
    assert "no request" not in done.summary
    for cassette in ("test_of_the_module", "test_kept"):
        assert f"1 request came by the address of cassette 'test_it-{cassette}-" in done.output
    asked = len(upstream.requests)

    whole = project.run("--replay-unused=fail", "-n", "2")
    assert whole.code == 0, whole.output
    assert f"{ASKING} hits, 0 misses" in whole.summary

    alone = project.run("--replay-unused=fail", "-k", "kept_for_another or module_again or France")
    assert alone.code == 0, alone.output
    assert "3 hits, 0 misses" in alone.summary
    assert "came by the address" not in alone.output
    assert len(upstream.requests) == asked


WITHOUT = """
import threading, time
import openai, pytest
from .conftest import CLIENT

BUSY = []
GO, GONE = threading.Event(), threading.Event()

def shrug(client):
    try:
        client.models.list()
    except openai.APIStatusError as error:
        return error

def test_without_a_cassette():
    error = shrug(CLIENT)
    assert error.code == "no_test"
    assert "test_it.py::test_without_a_cassette has none" in str(error)

def test_leaves_a_thread_behind(replay_proxy):
    shrug(client := openai.OpenAI(max_retries=0))
    def later():
        GO.wait()
        shrug(client)
        GONE.set()
    threading.Thread(target=later, daemon=True).start()

def test_leaves_a_busy_thread_behind(replay_proxy):
    def later():
        while not BUSY:
            time.sleep(0.01)
    thread = threading.Thread(target=later, name="the busy one", daemon=True)
    thread.start()

def test_meanwhile(replay_proxy):
    GO.set()
    BUSY.append(1)
    assert GONE.wait(30)
    assert replay_proxy.misses
"""


def test_a_request_without_a_cassette_is_refused_and_fails_the_session(project: Project) -> None:
    project.write("test_it.py", WITHOUT)
    project.cassettes.mkdir()
    done = project.run("--replay-mode=replay")
    assert done.code == 1
    assert done.outcomes == {
        "test_it.py::test_without_a_cassette": "PASSED",
        "test_it.py::test_leaves_a_thread_behind": "FAILED",
        "test_it.py::test_leaves_a_busy_thread_behind": "PASSED",
        "test_it.py::test_meanwhile": "FAILED",
    }
    assert "Outside of the tests that have a cassette:\nGET /v1/models has no cassette: " in (
        shown := done.shown("replay-proxy")
    )
    assert "Give the test the fixture `replay_proxy` or the marker `cassette`." in shown
    assert "1 request came by the address of cassette 'test_it-test_leaves_a_thread" in done.output
    left = "when its test had ended: test_it.py::test_leaves_a_busy_thread_behind (the busy one)"
    assert done.output.count(left) == done.output.count("still running") == 1


def test_once_records_what_is_made_at_import_or_says_why_not(
    project: Project, upstream: Upstream
) -> None:
    project.write("test_it.py", TESTS)
    some = ("--replay-mode=once", "-k", "imported and Japan")
    done = project.run(*some, **recording(upstream))
    assert (done.code, "1 recorded" in done.summary) == (0, True), done.output
    done = project.run("--replay-mode=once", "-k", "imported and not async", **recording(upstream))
    assert set(done.outcomes.values()) == {"PASSED", "FAILED"}
    assert "is recorded, by another proxy than the one whose address this client has" in done.output


UNUSED = """
import os

IMPORTED = os.environ.get("OPENAI_BASE_URL")

def test_it():
    assert IMPORTED is None
"""


def test_a_project_that_does_not_use_the_plugin_is_left_alone(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("test_it.py", UNUSED)
    done = project.run()
    assert done.code == 0, done.output
    project.write("conftest.py", UNUSED)
    assert project.run("--replay-mode=replay").code == 1


KEYS = """
import os

os.environ.setdefault("OPENAI_API_KEY", "sk-of-the-suite")
os.environ["OPENAI_API_BASE"] = "http://mine"
"""
LOOKS = """
import os, pytest
from .conftest import os

LIVE = pytest.mark.skipif("AZURE_OPENAI_API_KEY" not in os.environ, reason="no key")

@LIVE
def test_live():
    raise AssertionError

def test_own():
    assert os.environ["OPENAI_API_KEY"] == "sk-of-the-suite"
    assert os.environ["OPENAI_API_BASE"] == "http://mine"
    assert "OPENAI_BASE_URL" not in os.environ

def test_with_a_cassette(replay_proxy):
    assert os.environ["OPENAI_API_KEY"] == "sk-of-the-suite"
    assert os.environ["OPENAI_API_BASE"] == replay_proxy.base_url
    os.environ["OPENAI_API_BASE"] = "http://changed"

def test_restored():
    assert os.environ["OPENAI_API_BASE"] == "http://mine"
"""


def test_what_a_module_makes_of_the_variables_stays(project: Project) -> None:
    project.cassettes.mkdir()
    project.write("conftest.py", KEYS)
    project.write("test_it.py", LOOKS)
    done = project.run("--replay-mode=replay", "--replay-idle=ignore")
    assert done.code == 0, done.output
    assert "3 passed, 1 skipped" in done.output


LOOKS_ITSELF = """
import os, pytest

LIVE = pytest.mark.skipif("OPENAI_API_KEY" not in os.environ, reason="no key")

@LIVE
def test_live(): raise AssertionError

def test_it(replay_proxy): pass
"""


def test_a_module_that_looks_at_the_key_sees_its_own(project: Project) -> None:
    project.cassettes.mkdir()
    project.write("conftest.py", "")
    project.write("test_a.py", "import openai; openai.OpenAI()\ndef test_it(replay_proxy): pass\n")
    project.write("test_it.py", LOOKS_ITSELF)
    project.write("test_z.py", "import openai; openai.OpenAI()\ndef test_it(replay_proxy): pass\n")
    done = project.run("--replay-idle=ignore")
    assert "3 passed, 1 skipped" in done.output
