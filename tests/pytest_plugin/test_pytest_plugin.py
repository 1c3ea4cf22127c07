"""The pytest plugin as its users have it, on the sample project."""

import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.errors import ReplayProxyError
from replay_proxy.pytest_plugin import CassetteFixture, Proxies
from replay_proxy.pytest_plugin.options import CASSETTE_NAME, MODES, OPTIONS, cassette_of, options
from replay_proxy.pytest_plugin.reports import report_sum
from replay_proxy.settings import values
from tests.support.paths import ROOT
from tests.support.sample_project import KEY, REQUESTS, SAMPLE, Done, Project, recording
from tests.support.servers import clean_environment
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

CAPITAL = "test_app.py::test_capital"


# --- a suite, recorded and replayed ---------------------------------------------------------------


def test_a_suite_is_replayed_without_key_or_network(recorded: Project, upstream: Upstream) -> None:
    asked = len(upstream.requests)
    done = recorded.run("--replay-unused=fail", "--replay-max-age=1h")
    assert done.code == 0, done.output
    assert set(done.outcomes.values()) == {"PASSED"}
    assert len(done.outcomes) == 12
    assert done.summary == (
        f"replay-proxy: {REQUESTS} hits, 0 misses, 0 recorded, 0 dummy, {7 * REQUESTS} tokens saved"
    )
    assert len(upstream.requests) == asked


def test_each_test_has_a_cassette_and_marked_ones_share(recorded: Project) -> None:
    names = sorted(path.stem for path in recorded.cassettes.iterdir())
    assert len(names) == 11
    assert "europe" in names
    assert cassette_of("test_app.py::TestUnit::test_capital") in names


def test_four_processes_give_the_same_verdict(recorded: Project) -> None:
    done = recorded.run("-n", "4", "--replay-unused=fail")
    assert done.code == 0, done.output
    assert len(done.outcomes) == 12
    assert done.summary == (
        f"replay-proxy: {REQUESTS} hits, 0 misses, 0 recorded, 0 dummy, {7 * REQUESTS} tokens saved"
    )


def test_several_processes_record(upstream: Upstream, tmp_path: Path) -> None:
    project = Project(SAMPLE).copy(tmp_path / "sample")
    some = ("-k", "capital or shared")
    done = project.run(*some, "-n", "2", "--replay-mode=record", **recording(upstream))
    assert done.code == 0, done.output
    replayed = project.run(*some, "--replay-unused=fail")
    assert replayed.code == 0, replayed.output
    assert replayed.summary.startswith("replay-proxy: 6 hits, 0 misses")


def test_a_changed_prompt_fails_and_is_explained(project: Project) -> None:
    project.edit("app.py", "Answer in one word.", "Answer in a single word.")
    done = project.run("-k", "test_capital and not unit")
    assert done.code == 1
    assert set(done.outcomes.values()) == {"FAILED"}
    shown = done.shown("test_capital")
    explanation = shown[shown.index("No recording answers POST /v1/chat/completions") :]
    assert "$.messages[0].content" in explanation
    assert 'recorded: "Answer in one word."' in explanation
    assert 'asked:    "Answer in a single word."' in explanation
    assert f"pytest {CAPITAL} --replay-mode=record" in explanation
    assert "pytest_plugin/" not in done.output, "no traceback through the plugin"


def test_a_swallowed_miss_fails_in_whatever_process_it_happened(project: Project) -> None:
    project.edit("test_app.py", 'shrug("What is the capital of Japan?")', 'shrug("Who are you?")')
    project.edit("app.mjs", "in one word", "in a single word")
    done = project.run("-k", "always_says or in_node")
    assert done.code == 1
    for name in ("test_it_always_says_something", "test_in_node"):
        assert done.outcomes[f"test_app.py::{name}"] == "FAILED"
        assert done.shown(name).startswith("\nNo recording answers POST /v1/chat/completions")
        assert f"FAILED test_app.py::{name} - Failed: No recording answers" in done.output
    assert "0 hits, 2 misses" in done.summary

    done = project.run("-k", "always_says", "--replay-on-miss=dummy")
    assert done.code == 0, done.output
    assert done.summary == "replay-proxy: 0 hits, 0 misses, 0 recorded, 1 dummy, 0 tokens saved"


def test_a_recording_that_is_too_old_fails_the_test_that_uses_it(project: Project) -> None:
    project.age(days=40)
    done = project.run("-k", "test_capital and not capitals", "--replay-max-age=30d")
    assert done.code == 1
    assert done.outcomes[CAPITAL] == "FAILED"
    shown = done.shown("test_capital")
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 40 * 86400))
    assert re.search(rf"too old: POST .*capital of France.*recorded {day}T", shown)
    assert f"pytest {CAPITAL} --replay-mode=record" in shown

    assert project.run("-k", "test_capital", "--replay-max-age=6w").code == 0


# --- unused recordings ----------------------------------------------------------------------------

USED = (
    '    assert answer("What is the capital of Peru?") == "Lima"\n\n\n@pytest.mark.use',
    '    assert answer("What is the capital of Italy?") == "Rome"\n',
)
UNUSED = ("\n\n@pytest.mark.use", "    assert True\n")


@pytest.fixture(scope="module")
def removed(recorded: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Without a call of a test of its own cassette, and one on a shared cassette."""
    project = recorded.copy(tmp_path_factory.mktemp("removed") / "sample")
    for old, new in zip(USED, UNUSED, strict=True):
        project.edit("test_app.py", old, new)
    return project


def test_unused_recordings_fail_on_request(removed: Project) -> None:
    done = removed.run("-k", "two_questions or shared", "-n", "2", "--replay-unused=fail")
    assert done.code == 1
    assert done.outcomes["test_app.py::test_two_questions"] == "ERROR PASSED"
    own = done.shown("ERROR at teardown of test_two_questions")
    assert "Nothing asked for 1 recording of cassette 'test_app-test_two_questions-" in own
    assert "What is the capital of Peru?" in own
    assert "pytest_plugin/" not in own

    assert done.outcomes["test_app.py::test_shared_too"] == "PASSED"
    shared = done.shown("replay-proxy")
    assert "Nothing asked for 1 recording of cassette 'europe':" in shared
    assert "What is the capital of Italy?" in shared


def test_unused_recordings_warn_on_request(removed: Project) -> None:
    done = removed.run("-k", "two_questions or shared", "--replay-unused=warn")
    assert done.code == 0
    for capital in ("Peru", "Italy"):
        warning = rf"UnusedRecordingWarning: Nothing asked for 1 recording .*\n.*of {capital}\?"
        assert re.search(warning, done.output), done.output

    strict = ("--replay-unused=warn", "--replay-idle=ignore", "-W", "error")
    done = removed.run("-k", "two_questions or shared", *strict)
    assert done.code == 1
    assert "recording of cassette 'europe':" in done.shown("replay-proxy")
    shown = done.shown("ERROR at teardown of test_two_questions")
    assert shown.startswith("\nNothing asked for 1 recording of cassette")


def test_unused_recordings_are_ignored_otherwise(removed: Project) -> None:
    done = removed.run("-k", "two_questions or shared")
    assert done.code == 0
    assert "Nothing asked" not in done.output


def test_who_records_is_not_judged_by_what_was_recorded_before(
    removed: Project, upstream: Upstream, tmp_path: Path
) -> None:
    project = removed.copy(tmp_path / "sample")
    again = ("-k", "two_questions or shared", "--replay-mode=record", "--replay-unused=fail")
    done = project.run(*again, **recording(upstream))
    assert done.code == 0, done.output
    assert "judged" not in done.output


@pytest.mark.parametrize(
    "arguments",
    [["-k", "test_shared_too"], ["test_app.py::test_shared"]],
    ids=["deselected", "selected"],
)
def test_a_shared_cassette_is_not_judged_by_some_of_its_tests(
    arguments: list[str], recorded: Project
) -> None:
    done = recorded.run(*arguments, "--replay-unused=fail")
    assert done.code == 0, done.output
    assert "cassette 'europe' were not judged" in done.output


@pytest.mark.parametrize("settings", ["", "MATCH_IGNORE=$.user"], ids=["exact", "ignore"])
def test_what_two_tests_of_a_shared_cassette_ask_is_used_by_both(
    settings: str, project: Project, upstream: Upstream
) -> None:
    project.edit("test_app.py", 'capital of Italy?") == "Rome"', 'capital of France?") == "Paris"')
    (project.cassettes / "europe.sqlite").unlink()
    if settings:
        project.edit(
            "app.py", '"model": "gpt-4o"', '"model": "gpt-4o", "user": os.urandom(4).hex()'
        )
        project.edit("pytest.ini", "[pytest]", f"[pytest]\nreplay_settings = {settings}")
    shared = ("-k", "shared")
    assert project.run(*shared, "--replay-mode=record", **recording(upstream)).code == 0
    done = project.run(*shared, "--replay-unused=fail")
    assert done.code == 0, done.output
    assert "judged" not in done.output


def test_what_a_failed_test_left_unused_is_not_judged(project: Project) -> None:
    for old, new in zip(USED, UNUSED, strict=True):
        project.edit("test_app.py", old, new.replace("True", "False"))
    project.edit("test_app.py", '== "Paris"', '== "London"')
    done = project.run("-k", "two_questions or shared", "--replay-unused=fail")
    assert set(done.outcomes.values()) == {"FAILED"}
    assert "cassette 'europe' were not judged" in done.output
    assert "Nothing asked" not in done.output


def test_unused_is_what_no_report_has_used() -> None:
    def report(*unused: str, asked: str = "", **misses: int) -> dict[str, Any]:
        return {
            "answers": {"from_cassette": 1},
            "misses": [{"fingerprint": key, "times": times} for key, times in misses.items()],
            "used": sorted({"1", "2", "3", "4"} - set(unused)),
            "unused": [{"interaction": name, "requested": name in asked} for name in unused],
            "unused_total": len(unused),
            "expired": [],
            "losses": [],
            "lost": 0,
            "recorded": [],
            "recorded_total": 0,
            "repeated_total": 0,
            "more_misses": 0,
            "saved": {"requests": 1, "tokens": 7},
        }

    one, other = report("1", "2", "3", x=1), report("2", "3", "4", asked="3", x=2, y=1)
    assert report_sum(report_sum(None, one), other) == report("2", "3", asked="3", x=3, y=1) | {
        "used": ["4", "1"],
        "answers": {"from_cassette": 2},
        "saved": {"requests": 2, "tokens": 14},
    }


# --- what a miss does to a test -------------------------------------------------------------------

BEHAVIOUR = """
import os, unittest
import pytest
from .app import answer, answer_or_shrug

BEFORE = {}


def test_aa_environment_before():
    BEFORE.update(os.environ)
    del BEFORE["PYTEST_CURRENT_TEST"]


def swallow():
    answer_or_shrug("Who are you?")


def test_dynamic(request):
    request.getfixturevalue("replay_proxy")
    swallow()

@pytest.mark.xfail(strict=True, reason="known")
def test_xfail(replay_proxy):
    swallow()

@pytest.mark.xfail(strict=True, raises=ZeroDivisionError)
def test_xfail_for_another_reason(replay_proxy):
    swallow()

@pytest.mark.xfail(strict=True)
def test_xfail_for_its_own_reason(replay_proxy):
    swallow()
    assert 1 == 2, "its own reason"

def test_fails(replay_proxy):
    swallow()
    assert 1 == 2, "its own reason"

def test_skips(replay_proxy):
    swallow()
    pytest.skip("no API")

@pytest.fixture
def asks_first(replay_proxy):
    answer("Who is first?")

def test_setup(asks_first):
    pass

@pytest.fixture
def asks_last(replay_proxy):
    yield
    answer_or_shrug("Who is last?")

def test_teardown(asks_last):
    swallow()

def test_rewound(replay_proxy):
    swallow()
    assert [miss["times"] for miss in replay_proxy.misses] == [1]
    replay_proxy.rewind()
    swallow()
    assert [miss["times"] for miss in replay_proxy.misses] == [2]
    assert replay_proxy.report()["answers"]["refused"] == 2

@pytest.mark.usefixtures("replay_proxy")
class TestUnit(unittest.TestCase):
    def test_passes(self):
        swallow()
    def test_fails(self):
        swallow()
        self.fail("its own reason")
    def test_skips(self):
        swallow()
        self.skipTest("no API")

@pytest.mark.cassette("numbers")
@pytest.mark.parametrize("time", [1, 2])
def test_order_starts_over(time):
    assert int(answer("Choose a number.")) + 1 == int(answer("Choose a number."))

def changed():
    now = dict(os.environ)
    now.pop("PYTEST_CURRENT_TEST", None)
    return {k for k in now.keys() | BEFORE.keys() if now.get(k) != BEFORE.get(k)}

ALL = {"OPENAI_BASE_URL", "OPENAI_API_BASE", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"}

@pytest.mark.cassette("europe")
def test_environment(replay_proxy):
    assert changed() >= ALL
    assert os.environ["OPENAI_BASE_URL"] == replay_proxy.base_url
    assert replay_proxy.base_url == f"{replay_proxy.origin}/cassettes/{replay_proxy.cassette}/v1"
    assert replay_proxy.cassette == "europe"
    assert os.environ["OPENAI_API_KEY"] == "sk-mine"

def test_environment_is_restored():
    assert not changed()

def test_environment_with_monkeypatch(monkeypatch, replay_proxy):
    monkeypatch.setenv("OPENAI_API_BASE", "http://mine")
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    os.environ["OPENAI_API_KEY"] = "sk-changed"

def test_environment_is_restored_after_monkeypatch():
    assert not changed()

def test_environment_of_a_failure(replay_proxy):
    assert changed() >= ALL
    raise KeyError("its own reason")

def test_environment_is_restored_after_a_failure():
    assert not changed()

@pytest.fixture
def fails_to_set_up(replay_proxy):
    assert changed() >= ALL
    raise KeyError("its own reason")

def test_environment_of_an_error(fails_to_set_up):
    pass

def test_environment_is_restored_after_an_error():
    assert not changed()

def test_zz_the_proxy_dies(replay_proxy, replay_proxy_server):
    replay_proxy_server.child(replay_proxy.cassette).process.kill()
"""


@pytest.fixture(scope="module")
def behaviour(recorded: Project, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run of many tests; no test of it has a cassette but the marked ones."""
    project = recorded.copy(tmp_path_factory.mktemp("behaviour") / "sample")
    project.write("test_it.py", BEHAVIOUR)
    numbers = f"{cassette_of('test_app.py::test_the_same_question_twice')}.sqlite"
    (project.cassettes / numbers).rename(project.cassettes / "numbers.sqlite")
    mine = {"OPENAI_BASE_URL": "https://gateway.test/v1", "OPENAI_API_KEY": "sk-mine"}
    return project.run("test_it.py", **mine)


MISS = "No recording answers POST /v1/chat/completions (gpt-4o, "


@pytest.mark.parametrize(
    ("test", "outcome", "title"),
    [
        ("test_dynamic", "FAILED", "test_dynamic"),
        ("test_xfail", "XFAIL", ""),
        ("test_xfail_for_its_own_reason", "XFAIL", ""),
        ("test_xfail_for_another_reason", "FAILED", "test_xfail_for_another_reason"),
        ("test_skips", "FAILED", "test_skips"),
        ("test_rewound", "FAILED", "test_rewound"),
        ("TestUnit::test_passes", "FAILED", "TestUnit.test_passes"),
        ("TestUnit::test_skips", "FAILED", "TestUnit.test_skips"),
        ("test_order_starts_over[1]", "PASSED", ""),
        ("test_order_starts_over[2]", "PASSED", ""),
    ],
)
def test_a_miss_fails_what_would_have_passed(
    test: str, outcome: str, title: str, behaviour: Done
) -> None:
    assert behaviour.outcomes[f"test_it.py::{test}"] == outcome
    if title:
        assert behaviour.shown(title).startswith(f'\n{MISS}"Who are you?")')
        assert behaviour.shown(title).count(MISS) == 1


@pytest.mark.parametrize("title", ["test_fails", "TestUnit.test_fails"])
def test_a_test_that_failed_already_has_the_explanation_beside_its_own(
    title: str, behaviour: Done
) -> None:
    assert behaviour.outcomes[f"test_it.py::{title.replace('.', '::')}"] == "FAILED"
    shown = behaviour.shown(title)
    assert shown.index("its own reason") < shown.index("- replay-proxy -") < shown.index(MISS)


def test_a_miss_in_a_fixture_belongs_to_the_test_too(behaviour: Done) -> None:
    assert behaviour.outcomes["test_it.py::test_setup"] == "ERROR"
    assert f'{MISS}"Who is first?")' in behaviour.shown("ERROR at setup of test_setup")
    assert behaviour.outcomes["test_it.py::test_teardown"] == "ERROR FAILED"
    shown = behaviour.shown("ERROR at teardown of test_teardown")
    assert shown.startswith(f'\n{MISS}"Who is last?")')
    assert "Who are you?" not in shown, "that was told before"


def test_the_environment_is_set_for_the_test_and_restored(behaviour: Done) -> None:
    outcomes = {
        nodeid.partition("::")[2]: outcome
        for nodeid, outcome in behaviour.outcomes.items()
        if "environment" in nodeid
    }
    assert outcomes == {
        "test_aa_environment_before": "PASSED",
        "test_environment": "PASSED",
        "test_environment_is_restored": "PASSED",
        "test_environment_with_monkeypatch": "PASSED",
        "test_environment_is_restored_after_monkeypatch": "PASSED",
        "test_environment_of_a_failure": "FAILED",
        "test_environment_is_restored_after_a_failure": "PASSED",
        "test_environment_of_an_error": "ERROR",
        "test_environment_is_restored_after_an_error": "PASSED",
    }


def test_a_proxy_that_is_gone_fails_the_test(behaviour: Done) -> None:
    assert behaviour.outcomes["test_it.py::test_zz_the_proxy_dies"] == "FAILED"
    assert behaviour.shown("test_zz_the_proxy_dies").startswith("\nThe proxy does not answer:")


class Broken:
    """A proxy that does not answer."""

    port = 1
    log = "".join(f"line {number}\n" for number in range(99))

    def call(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("its process has ended")


def test_the_log_of_a_proxy_that_is_gone_is_shown() -> None:
    proxies = Proxies(asked(), ())
    vars(proxies)["_children"]["replay"] = Broken()
    shown = "does not answer: its process has ended. It wrote:\nline 89\n"
    with pytest.raises(ReplayProxyError, match=shown):
        proxies.rewind("x")


# --- names ----------------------------------------------------------------------------------------


def test_a_cassette_can_be_recognised_by_its_test() -> None:
    name = cassette_of("tests/unit/test_weather.py::TestRain::test_snow[-3 °C]")
    assert re.fullmatch(r"tests-unit-test_weather-TestRain-test_snow-3-C-[0-9a-f]{12}", name)


@given(
    st.sets(st.text(), min_size=2, max_size=2),
    st.sampled_from(["", "test_a.py::test_b[", "x" * 300]),
)
def test_no_two_tests_have_the_same_cassette(ends: set[str], begin: str) -> None:
    names = [cassette_of(begin + end) for end in ends]
    assert all(values.CASSETTE_NAME.fullmatch(name) for name in names)
    assert len({name.casefold() for name in names}) == 2
    assert CASSETTE_NAME.pattern == values.CASSETTE_NAME.pattern


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("'../europe'", "cassette('../europe') does not name a cassette"),
        ("name='europe'", "cassette(name='europe') does not name a cassette"),
        ("'Europe'", "'Europe' and 'europe' are the same file where case does not matter"),
    ],
)
def test_a_name_that_cannot_be_used_is_a_usage_error(
    arguments: str, words: str, project: Project
) -> None:
    project.write(
        "test_it.py", f"import pytest\n@pytest.mark.cassette({arguments})\ndef test_x(): 1\n"
    )
    done = project.run()
    assert done.code == 4
    assert "test_it.py::test_x: " in done.output
    assert words in done.output


def test_a_usage_error_in_a_worker_is_not_lost(project: Project) -> None:
    project.write("test_it.py", "import pytest\n@pytest.mark.cassette('..')\ndef test_x(): 1\n")
    done = project.run("-n", "2", "test_it.py")
    assert done.code == 1
    assert done.shown("replay-proxy").count("test_it.py::test_x: cassette('..')") == 1


# --- options --------------------------------------------------------------------------------------


class Config:
    """What ``options`` reads of a configuration."""

    rootpath = Path("/project")
    invocation_params = pytest.Config.InvocationParams(args=(), plugins=None, dir=Path("/here"))

    def __init__(self, typed: dict[str, str], written: dict[str, Any]) -> None:
        self.typed = typed
        self.written = written

    def getoption(self, name: str) -> str | None:
        return self.typed.get(name)

    def getini(self, name: str) -> Any:
        return self.written.get(name, [] if name == "replay_settings" else "")


def asked(**written: Any) -> Any:
    """Options from the configuration file; with ``typed=`` also from the command line."""
    return options(Config(written.pop("typed", {}), written))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "mode", "on_miss"),
    [
        ("replay", "replay", "fail"),
        ("record", "record", ""),
        ("dummy", "dummy", ""),
        ("none", "replay", "fail"),
        ("once", "once", "fail"),
        ("new_episodes", "replay", "record"),
        ("all", "record", ""),
    ],
)
def test_vcrs_words_are_translated(word: str, mode: str, on_miss: str) -> None:
    assert (asked(replay_mode=word).mode, asked(replay_mode=word).on_miss) == (mode, on_miss)
    made = asked(typed={"replay_mode": word}).decided(mode if mode != "once" else "replay")
    assert (made["MODE"], made["ON_MISS"]) == (mode if mode != "once" else "replay", on_miss)


def test_the_command_line_beats_the_configuration_file() -> None:
    assert asked() == asked(replay_mode="", typed={})
    assert asked().unused == "ignore"
    assert asked(replay_unused="warn", typed={"replay_unused": "fail"}).unused == "fail"
    assert asked(replay_max_age="2h").max_age_s == 7200
    assert asked(replay_store="tapes").store == Path("/project/tapes")
    assert asked(typed={"replay_store": "tapes"}).store == Path("/here/tapes")
    assert asked(replay_on_miss="dummy").on_miss == "dummy"
    assert asked(replay_on_miss="dummy", typed={"replay_mode": "record"}).on_miss == ""
    made = asked(replay_settings=["MATCH_IGNORE = $.user", "REPLAY_PROXY_REPEATS=fail"])
    assert made.settings == {"MATCH_IGNORE": "$.user", "REPLAY_PROXY_REPEATS": "fail"}
    assert made.decided("record") == {
        "MODE": "record",
        "ON_MISS": "",
        "STORE": "/project/cassettes",
        "CASSETTE": "",
    }


def test_a_variable_with_the_prefix_stands_for_an_option_that_is_not_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"MODE": "record", "STORE": "tapes", "ON_MISS": ""}.items():
        monkeypatch.setenv(f"REPLAY_PROXY_{name}", value)
    found = asked(replay_mode="dummy", replay_on_miss="dummy", replay_store="other")
    assert (found.mode, found.on_miss, found.store) == ("record", "", Path("/here/tapes"))
    assert asked(typed={"replay_mode": "dummy"}).mode == "dummy"
    monkeypatch.setenv("REPLAY_PROXY_MODE", "recrod")
    with pytest.raises(pytest.UsageError, match=r"^REPLAY_PROXY_MODE=recrod is not one of"):
        asked()


@pytest.mark.parametrize(
    ("written", "typed", "words"),
    [
        ({"replay_mode": "replya"}, {}, "--replay-mode=replya is not one of replay, record"),
        ({}, {"replay_mode": "always"}, "--replay-mode=always is not one of"),
        ({}, {"replay_on_miss": "ignore"}, "--replay-on-miss=ignore is not one of fail"),
        ({"replay_unused": "yes"}, {}, "--replay-unused=yes is not one of ignore, warn, fail"),
        ({"replay_max_age": "soon"}, {}, "--replay-max-age: 'soon' is not an age"),
        ({"replay_mode": "none", "replay_on_miss": "dummy"}, {}, "it allows only 'fail'"),
        ({"replay_mode": "record"}, {"replay_on_miss": "fail"}, "in this mode nothing is a miss"),
        ({"replay_on_miss": "dummy", "replay_mode": "all"}, {}, "contradicts --replay-mode=all"),
        ({"replay_settings": ["MODE=dummy"]}, {}, "'MODE=dummy' is not NAME=value"),
        ({"replay_settings": ["REPLAY_PROXY_MODE=dummy"]}, {}, "is not NAME=value"),
        ({"replay_settings": ["REPEATS"]}, {}, "'REPEATS' is not NAME=value"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    written: dict[str, Any], typed: dict[str, str], words: str
) -> None:
    with pytest.raises(pytest.UsageError, match=re.escape(words)):
        asked(**written, typed=typed)


def test_once_records_what_was_not_there_and_replays_the_rest(
    project: Project, upstream: Upstream
) -> None:
    project.edit("test_app.py", '("Peru", "Lima")', '("Italy", "Rome")')
    (project.cassettes / "europe.sqlite").unlink()
    project.edit("test_app.py", 'answer_or_shrug("What', 'answer_or_shrug("But what')
    asked = len(upstream.requests)
    once = ("--replay-mode=once", "-n", "2", "--dist=load", "-k", "capitals or shared or always")
    done = project.run(*once, "--replay-unused=fail", **recording(upstream))
    assert {nodeid for nodeid, word in done.outcomes.items() if word == "FAILED"} == {
        "test_app.py::test_it_always_says_something"
    }
    assert len(upstream.requests) - asked == 3, "Rome, and two that share a cassette"
    assert "1 hit, 1 miss, 3 recorded" in done.summary

    done = project.run("-k", "capitals or shared", "--replay-mode=none")
    assert done.code == 0, done.output


KEYS = """
import os

def test_keys_are_ones_own_where_the_api_may_be_asked(replay_proxy):
    assert os.environ["OPENAI_BASE_URL"] == replay_proxy.base_url
    assert "AZURE_OPENAI_API_KEY" not in os.environ
"""


def test_new_episodes_records_what_is_missing(project: Project, upstream: Upstream) -> None:
    project.edit("test_app.py", USED[0], USED[0].replace("Peru", "Japan").replace("Lima", "Tokyo"))
    project.write("test_it.py", KEYS)
    asked = len(upstream.requests)
    two = ("-k", "two_questions or keys")
    done = project.run(*two, "--replay-mode=new_episodes", **recording(upstream))
    assert done.code == 0, done.output
    assert "1 hit, 0 misses, 1 recorded" in done.summary
    assert len(upstream.requests) - asked == 1
    assert project.run("-k", "two_questions").code == 0


# --- the proxy's life -----------------------------------------------------------------------------


def test_the_developers_own_settings_do_not_leak(project: Project) -> None:
    leaks = {"MODE": "dummy", "ON_MISS": "record", "CASSETTE": "mine", "STORE": "/nowhere"}
    foreign = {"RPM": "1", "UPSTREAM_BASE_URL": "backend:80", "REPLAY_API_KEY": "x"}
    done = project.run("-k", "test_capital and not unit", "-n", "2", **leaks, **foreign)
    assert done.code == 0, done.output
    assert done.summary.startswith("replay-proxy: 3 hits")
    assert (
        done.output.count("Settings of the proxy: UPSTREAM_BASE_URL=backend:80 is not valid") == 1
    )
    assert done.output.count("REPLAY_PROXY_RPM") == 1


def test_an_unknown_setting_fails_the_test_that_needs_the_proxy(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\nreplay_settings = REPEAT=fail\n")
    done = project.run("-k", "test_capital and not unit and Peru")
    assert "REPEAT is not a setting. Did you mean REPLAY_PROXY_REPEATS?" in done.output


def test_an_env_file_decides_nothing_that_the_plugin_does(
    project: Project, upstream: Upstream
) -> None:
    lines = "MODE=dummy ON_MISS=dummy CASSETTE=mine STORE=nowhere REPLAY_PROXY_STORE=nowhere"
    project.write(".env", "\n".join([*lines.split(), "REPLAY_PROXY_REPEATS=fail"]))
    assert project.run("-k", "test_capital and not unit").code == 0
    again = ("-k", "test_two_questions", "--replay-mode=record")
    done = project.run(*again, **recording(upstream))
    assert done.code == 0, done.output
    project.edit("test_app.py", USED[0], USED[0].replace("Peru", "France").replace("Lima", "Paris"))
    done = project.run("-k", "test_two_questions")
    assert "[used_up]" in done.output, "the other settings do reach the proxy"


HTTP_PROXY = """
import os

def test_it(replay_proxy):
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "example.org,127.0.0.1"

def test_it_is_restored():
    assert os.environ["NO_PROXY"] == "example.org"
    assert "no_proxy" not in os.environ
"""


def test_an_http_proxy_does_not_come_between(project: Project) -> None:
    project.write("test_it.py", HTTP_PROXY)
    done = project.run("test_it.py", HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="example.org")
    assert done.code == 0, done.output


def test_a_placeholder_is_set_where_the_proxy_has_the_key(project: Project) -> None:
    project.write(
        "test_it.py",
        "import os\ndef test_it(replay_proxy):\n"
        '    assert os.environ["OPENAI_API_KEY"] == "replay-proxy-placeholder"\n',
    )
    project.write(".env", f"UPSTREAM_API_KEY={KEY}\n")
    done = project.run("test_it.py", "--replay-mode=record")
    assert done.code == 0, done.output


def test_a_proxy_that_cannot_start_is_tried_once_and_says_why(project: Project) -> None:
    done = project.run("--replay-store=nowhere", "-k", "shared")
    assert set(done.outcomes.values()) == {"ERROR"}
    shown = done.shown("ERROR at setup of test_shared_too")
    assert shown.startswith("\nThe proxy did not start.")
    assert f"{project.path}/nowhere is not a directory" in shown
    assert "Traceback" not in shown
    assert "pytest_plugin/" not in shown
    assert shown.count("did not start") == 1
    assert "Under pytest MODE is --replay-mode" in shown


def test_without_the_fixture_nothing_is_started_or_said(project: Project) -> None:
    project.write("test_it.py", "def test_it(): pass\n")
    done = project.run("test_it.py", "--replay-store=nowhere", "--replay-unused=fail")
    assert done.code == 0
    assert "replay-proxy" not in done.output


SESSION = '''
import os, subprocess, sys
import pytest
from .app import answer, answer_or_shrug

@pytest.fixture(scope="session", autouse=True)
def application(replay_proxy_server):
    """Lives longer than a test, and asks before the first of them."""
    os.environ.update(replay_proxy_server.environment("europe"))
    answer_or_shrug("Am I ready?")

@pytest.mark.cassette("europe")
def test_it():
    assert answer("What is the capital of France?") == "Paris"
'''


def test_a_miss_outside_of_every_test_fails_the_session(project: Project) -> None:
    project.write("test_it.py", SESSION)
    done = project.run("test_it.py")
    assert done.outcomes == {"test_it.py::test_it": "PASSED"}
    assert done.code == 1
    shown = done.shown("replay-proxy")
    assert "Outside of the tests that use cassette 'europe':\nNo recording answers" in shown
    assert "Am I ready?" in shown
    assert done.summary.startswith("replay-proxy: 1 hit, 1 miss,")


SLOW = """
import pathlib, time

def test_slow(replay_proxy):
    pathlib.Path("started").touch()
    time.sleep(60)
"""


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_ctrl_c_leaves_nothing_running(workers: list[str], project: Project) -> None:
    project.write("test_it.py", SLOW)
    process = project.start("test_it.py", *workers)
    try:
        wait_until(lambda: (project.path / "started").exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        assert len(project.proxies()) == 1
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 2, output
    assert "KeyboardInterrupt" in output
    assert project.proxies() == []


def test_the_proxy_ends_when_pytest_is_killed(project: Project) -> None:
    project.write("test_it.py", SLOW)
    process = project.start("test_it.py")
    try:
        wait_until(lambda: (project.path / "started").exists())
        assert len(project.proxies()) == 1
    finally:
        process.kill()
        process.communicate()
    wait_until(lambda: not project.proxies())


# --- its page -------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "pytest.md").read_text("utf-8")


def test_its_page_has_every_option_word_and_attribute() -> None:
    for name, words in OPTIONS.items():
        assert f"| `--replay-{name}` | `replay_{name.replace('-', '_')}` |" in PAGE
        assert words
    for word, (mode, on_miss) in MODES.items():
        if word not in ("replay", "record", "dummy"):
            (row,) = re.findall(rf"^\| `{word}` \| (.+?) \|", PAGE, re.MULTILINE)
            assert mode == "once" or f"`{mode}`" in row
            assert all(f"`{each}`" in row for each in on_miss)
    attributes = {name for name in dir(CassetteFixture) if not name.startswith("_")}
    for name in attributes | {"base_url", "origin", "cassette"}:
        assert re.search(rf"^\| `{name}(\(\))?` \|", PAGE, re.MULTILINE), name


def test_its_example_works(upstream: Upstream, tmp_path: Path) -> None:
    example = re.findall(r"^```python\n(# test_capital\.py\n.*?)^```$", PAGE, re.M | re.S)
    project = Project(tmp_path)
    project.write("test_capital.py", example[0])
    assert project.run("--replay-mode=record", **recording(upstream)).code == 0
    done = project.run()
    assert done.code == 0, done.output
    assert done.summary.startswith("replay-proxy: 1 hit, 0 misses")

    project.edit("test_capital.py", "capital of France?", "capital of Peru?")
    (shown,) = re.findall(r"^```text\n_+ test_capital _+\n(.*?)^```$", PAGE, re.M | re.S)
    number = re.compile(r"(?<=interaction )\d+")
    assert number.sub("…", shown) in number.sub("…", project.run().output)


# --- what it costs --------------------------------------------------------------------------------

HEAVY = {"aiohttp", "asyncio", "fastapi", "httpx", "pydantic", "sqlmodel", "starlette", "uvicorn"}


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import pytest, sys; seen = set(sys.modules); import replay_proxy.pytest_plugin"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(*sorted(set(sys.modules) - seen))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=clean_environment(),
    )
    added = done.stdout.split()
    assert "replay_proxy.pytest_plugin" in added
    assert not HEAVY & {name.partition(".")[0] for name in added}
    assert "replay_proxy.serving.child.server" not in added, "that is for who uses it"
    assert not {"ssl", "urllib.request", "http.client", "xml.etree.ElementTree"} & set(added)


def test_it_is_an_entry_point() -> None:
    (found,) = importlib.metadata.entry_points(group="pytest11", name="replay_proxy")
    assert found.value == "replay_proxy.pytest_plugin"
