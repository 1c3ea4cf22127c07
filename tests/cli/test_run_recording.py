"""``replay-proxy run`` fails when an answer of the API is not in the cassette at the end."""

import json
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replay_proxy.cli.run import CommandRun
from replay_proxy.transports.journal import OTHERS
from tests.support.script import JSON, Answer, Gate, Received
from tests.support.servers import clean_environment
from tests.support.upstream import Upstream

EVENT, DONE = b'data: {"a": 1}\n\n', b"data: [DONE]\n\n"
#: Asks for a stream and leaves after its first event.
ASK = """
import os, urllib.request
url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
with urllib.request.urlopen(urllib.request.Request(url, b"{{}}")) as answer:
    answer.read({size})
"""
GET = 'urllib.request.urlopen(os.environ["OPENAI_BASE_URL"] + "/models").read()\n'


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    never = threading.Event()

    def api(request: Received) -> Answer:
        if request.target.endswith("/chat/completions"):
            return Answer(steps=[EVENT, Gate(never), DONE])
        return Answer(headers=JSON, steps=[b"{}"], framing="length")

    with Upstream(api) as it:
        yield it


def run(
    tmp_path: Path, upstream: Upstream, code: str, *options: str
) -> tuple[int, str, dict[str, Any]]:
    """Exit code, what was printed, and the report on the cassette ``default``."""
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "replay_proxy.cli", "run", "--mode", "record"),
            *options,
            *("--report", str(tmp_path / "r.json"), "--junit", str(tmp_path / "j.xml")),
            *("--", sys.executable, "-c", code),
        ],
        cwd=tmp_path,
        env=clean_environment()
        | {"UPSTREAM_BASE_URL": upstream.base_url, "REPLAY_PROXY_DRAIN_S": "0.1", "STORE": "store"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    told = json.loads((tmp_path / "r.json").read_text())
    return done.returncode, done.stderr, told["cassettes"]["default"]


def test_an_answer_that_is_dropped_when_the_proxy_stops_fails_the_run(
    tmp_path: Path, upstream: Upstream
) -> None:
    stored = "import os, urllib.request\n" + GET
    code, said, told = run(tmp_path, upstream, stored + ASK.format(size=len(EVENT)))
    assert code == 1, said
    assert (told["recorded_total"], len(told["recorded"]), told["lost"]) == (1, 1, 1)
    assert "2 answers: 2 from the API, 1 recorded;" in said
    assert (
        "Loss on cassette 'default':\nNot recorded: POST /v1/chat/completions: its client left, "
        "and the answer did not reach its end within 0.1 s. Let clients read to the end, or give "
        "answers more time (REPLAY_PROXY_DRAIN_S)."
    ) in said
    assert "failed: 1 loss, although the command passed" in said
    failures = ET.parse(tmp_path / "j.xml").iter("failure")  # noqa: S314 - our own
    assert [failure.get("type") for failure in failures] == ["client_left"]


def test_a_cassette_that_is_gone_at_the_end_fails_the_run(
    tmp_path: Path, upstream: Upstream
) -> None:
    code, said, told = run(
        tmp_path,
        upstream,
        "import os, urllib.request, shutil\n"
        'for n in "12":\n'
        '    urllib.request.urlopen(os.environ["OPENAI_BASE_URL"] + "/models?n=" + n).read()\n'
        'shutil.rmtree("store")\n',
    )
    assert code == 1, said
    assert (told["lost"], told["missing"], told["recorded"]) == (2, 2, [])
    assert "2 from the API, 0 recorded;" in said
    assert "Not recorded: 2 answers were recorded and are not in the cassette at the end" in said


def test_what_is_recorded_and_stored_passes(tmp_path: Path, upstream: Upstream) -> None:
    code, said, told = run(
        tmp_path,
        upstream,
        "import os, urllib.request\n" + GET,
    )
    assert code == 0, said
    assert (len(told["recorded"]), told["lost"]) == (1, 0)


def test_what_was_recorded_into_many_cassettes_is_not_looked_for_in_one(tmp_path: Path) -> None:
    it = CommandRun(["x"], {"STORE": str(tmp_path)})
    told = {"recorded": ["1"], "recorded_total": 1, "lost": 0}
    others, own = dict(told), dict(told)
    it._look_up(OTHERS, others)
    it._look_up("default", own)
    assert others == told
    assert (own["recorded"], own["recorded_total"], own["lost"], own["missing"]) == ([], 0, 1, 1)


#: Asks until it is answered with success, at most twice, and passes in any case.
TWICE = """
import os, urllib.request
for _ in range(2):
    try:
        urllib.request.urlopen(os.environ["OPENAI_BASE_URL"] + "/{path}").read()
        break
    except OSError:
        pass
"""


@pytest.mark.parametrize(
    ("path", "code", "recorded", "loss"),
    [
        ("refused", 1, 0, "401 depends on who asks"),
        ("busy", 1, 0, "503 holds only for a moment"),
        ("busy-once", 0, 1, ""),
        ("unknown", 0, 2, ""),
    ],
)
def test_an_answer_that_is_not_kept_fails_the_run_unless_the_request_came_again(
    tmp_path: Path, path: str, code: int, recorded: int, loss: str
) -> None:
    answers = {"refused": [401] * 2, "busy": [503] * 2, "busy-once": [503, 200]}

    def api(request: Received) -> Answer:
        given = answers.get(request.target.rpartition("/")[2], [404] * 2)
        return Answer(given.pop(0), JSON, [b"{}"], "length")

    with Upstream(api) as upstream:
        ended, said, told = run(tmp_path, upstream, TWICE.format(path=path))
    assert (ended, told["recorded_total"]) == (code, recorded), said
    assert [each["times"] for each in told["losses"]] == ([2] if loss else [])
    assert f"Not recorded: GET /v1/{path}: {loss}" in said if loss else "recorded:" not in said


@pytest.mark.parametrize("allowed", [False, True])
def test_an_upstream_out_of_reach_is_a_loss_which_can_be_allowed(
    tmp_path: Path, allowed: bool
) -> None:
    with Upstream(lambda _: Answer()) as gone:
        pass
    options = ["--allow-losses"] if allowed else []
    code, said, told = run(tmp_path, gone, TWICE.format(path="models"), *options)
    assert code == (0 if allowed else 1), said
    assert "Not recorded: GET /v1/models: No answer from the upstream" in said
    assert "Check UPSTREAM_BASE_URL and the network." in said
    assert said.rstrip().endswith("passed" if allowed else "1 loss, although the command passed")
    assert (told["lost"], told["losses"][0]["times"]) == (1, 2)
    (case,) = ET.parse(tmp_path / "j.xml").iter("skipped" if allowed else "failure")  # noqa: S314 - our own
    assert case.get("type") == "upstream_unreachable"


def test_a_take_with_fewer_answers_than_the_one_before_is_told(
    tmp_path: Path, upstream: Upstream
) -> None:
    for asked, fewer in ((3, []), (1, [(1, 3)]), (2, [])):
        code, said, told = run(tmp_path, upstream, "import os, urllib.request\n" + GET * asked)
        assert code == 0, said
        assert [
            (each["answers_total"], each["answers_total_before"]) for each in told["fewer"]
        ] == fewer
        line = "GET /v1/models: 1 of 3 answers; the older take stays hidden\nIf the recording was"
        assert (line in said) == bool(fewer)


def test_a_loss_and_a_miss_before_a_rewind_fail_the_run(tmp_path: Path) -> None:
    statuses = [200, 500]

    def api(request: Received) -> Answer:
        status = statuses.pop() if len(statuses) > 1 else statuses[0]
        return Answer(status=status, headers=JSON, steps=[b"{}"], framing="length")

    rewind = """
import os, urllib.request
base = os.environ["OPENAI_BASE_URL"]
def ask(path):
    try:
        urllib.request.urlopen(base + path).read()
    except OSError as error:
        print(error)
def rewind():
    url = base.replace("/v1", "/_replay/api/rewind")
    urllib.request.urlopen(urllib.request.Request(url, b"")).read()
"""
    with Upstream(api) as upstream:
        lost = rewind + "ask('/models'); rewind()"
        code, text, told = run(tmp_path, upstream, lost)
        assert (code, told["lost"], told["answers"]["from_upstream"]) == (1, 1, 1)
        assert "Not recorded: GET /v1/models: 500" in text
        statuses[:] = [200, 500]
        code, _, told = run(tmp_path, upstream, f"{lost}; ask('/models'); rewind()")
        assert (code, told["lost"], told["recorded_total"]) == (0, 0, 1)
        missed = f"{rewind}ask('/files'); rewind()"
        code, text, told = run(tmp_path, upstream, missed, "--mode", "replay")
        assert (code, told["more_misses"]) == (1, 1)
        assert "1 more miss on 'default'" in text
        assert "No request" not in text
