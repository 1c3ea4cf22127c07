"""What docs/load-testing.md says, as far as it can be held against the code."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from replay_proxy.settings.tempo import TempoSettings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "load-testing.md").read_text(encoding="utf-8")


def test_the_page_describes_every_setting_of_time() -> None:
    for name in TempoSettings.model_fields:
        assert f"`{name.upper()}=" in PAGE


@pytest.mark.skipif(not importlib.util.find_spec("locust"), reason="Locust is not installed")
def test_the_page_names_the_rows_of_the_locust_file(tmp_path: Path) -> None:
    """A run of a second, in which nobody answers: each row fails, and is there."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", str(ROOT / "benchmarks" / "locustfile.py")),
            *("--host", "http://127.0.0.1:9", "--headless", "--only-summary"),
            *("--users", "4", "--spawn-rate", "4", "--run-time", "4s"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    rows = re.findall(r"^\| `(/\S+)` \|", PAGE, re.MULTILINE)
    assert rows
    for row in rows:
        assert re.search(rf"GET +{row} ", done.stdout + done.stderr)
