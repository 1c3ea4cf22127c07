"""What docs/load-testing.md says, as far as it can be held against the code."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from replay_proxy.settings.tempo import TempoSettings
from tests.support.paths import ROOT
from tests.support.script import JSON, Answer, Received, Wait
from tests.support.upstream import Upstream

PAGE = (ROOT / "docs" / "load-testing.md").read_text(encoding="utf-8")


def test_the_page_describes_every_setting_of_time() -> None:
    for name in TempoSettings.model_fields:
        assert f"`{name.upper()}=" in PAGE


def caller(request: Received) -> Answer:
    """What the example application answers, without a model."""
    if request.target.startswith("/chat"):
        return Answer(headers=JSON, steps=[b'"hi"'])
    return Answer(steps=[Wait(0.05), b"data: h\n\n", Wait(0.3), b"data: i\n\n"])


@pytest.mark.skipif(not importlib.util.find_spec("locust"), reason="Locust is not installed")
def test_the_locust_file_has_the_rows_of_the_page_and_times_first_chunk_and_end(
    tmp_path: Path,
) -> None:
    with Upstream(caller) as application:
        command = [
            *(sys.executable, "-m", "locust", "-f", str(ROOT / "benchmarks" / "locustfile.py")),
            *("--host", application.base_url.removesuffix("/v1"), "--headless", "--json"),
            *("--users", "8", "--spawn-rate", "8", "--run-time", "4s"),
        ]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 0, done.stderr
    least_ms = {each["name"]: each["min_response_time"] for each in json.loads(done.stdout)}
    assert set(least_ms) == set(re.findall(r"^\| `(/.+?)` \|", PAGE, re.MULTILINE))
    assert 50 <= least_ms["/streaming/chat first chunk"] < 300
    assert least_ms["/streaming/chat"] >= 350
