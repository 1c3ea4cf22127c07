"""The guide from pytest-recording, with pytest-recording installed: one test after the other."""

import re

import pytest

from tests import docs
from tests.support.sample_project import Project

pytest.importorskip("pytest_recording", reason="it is in the dependency group dev")

GUIDE = (docs.DOCS / "migrating.md").read_text("utf-8").partition("## From pytest-recording\n")[2]
BEFORE, HALF = re.findall(r"^```python\n# tests/test_images\.py\n(.*?)^```$", GUIDE, re.M | re.S)[
    :2
]
BLOCKING = ("-p", "pytest_recording.plugin", "--block-network")
ALLOWING = (*BLOCKING, "--allowed-hosts=127.0.0.1")


def test_tests_move_one_by_one() -> None:
    with docs.beginning("migrating.md") as session:
        project = Project(session.directory)
        project.write("pytest.ini", "[pytest]\ntestpaths = tests\n")
        project.write("tests/test_images.py", BEFORE)
        done = project.run(*BLOCKING, OPENAI_API_KEY="k")
        assert (done.code, done.summary) == (0, ""), done.output

        session.run("replay-proxy import tests/cassettes/*/*.yaml")
        project.write("tests/test_images.py", HALF)
        done = project.run(*ALLOWING, OPENAI_API_KEY="k")
        assert done.code == 0, done.output
        assert (len(done.outcomes), done.summary[:29]) == (2, "replay-proxy: 1 hit, 0 misses")

        both = HALF.replace("@pytest.mark.cassette", "@pytest.mark.vcr\n@pytest.mark.cassette")
        project.write("tests/test_images.py", both)
        project.write("tests/conftest.py", CONFIG)
        done = project.run(*ALLOWING, OPENAI_API_KEY="k")
        assert done.code == 0, done.output
        assert done.summary.startswith("replay-proxy: 1 hit, 0 misses")


CONFIG = """
import pytest

@pytest.fixture
def vcr_config():
    return {"ignore_localhost": True}
"""
