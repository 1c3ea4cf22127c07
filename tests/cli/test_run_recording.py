"""``replay-proxy run`` fails when an answer that it counted as recorded is not in the cassette."""

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


def run(tmp_path: Path, upstream: Upstream, code: str) -> tuple[int, str, dict[str, Any]]:
    """Exit code, what was printed, and the report on the cassette ``default``."""
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "replay_proxy.cli", "run", "--mode", "record"),
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
    assert (len(told["recorded"]), told["lost"]) == (2, 1)
    assert "1 answer that was not stored" in said
    assert "DRAIN_S" in said
    failures = ET.parse(tmp_path / "j.xml").iter("failure")  # noqa: S314 - our own
    assert [failure.get("type") for failure in failures] == ["not_stored"]


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
    assert told["lost"] == 2
    assert "2 answers that were not stored" in said


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
    assert it._not_stored(OTHERS, ["1"]) == 0
    assert it._not_stored("default", ["1"]) == 1
