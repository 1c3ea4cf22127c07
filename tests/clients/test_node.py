"""openai-node and the AI SDK through the proxy, which they reach by ``OPENAI_BASE_URL`` alone."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import clients
from tests.support.clients import (
    PLACEHOLDER,
    SPEECH,
    Outcome,
    Raised,
    Runs,
    dummy,
    environment,
    essence,
    requests_seen,
    three_runs,
)
from tests.support.node import Node, installed_node
from tests.support.paths import ROOT
from tests.support.servers import Proxy

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


def outcomes(node: Node, *groups: str) -> dict[str, Outcome]:
    """The outcomes of these groups of scenarios."""
    script = (ROOT / "tests" / "node" / "scenarios.mjs").read_text()
    lines = map(json.loads, node.run(script, ",".join(groups), json.dumps(ASKED)).splitlines())
    return {
        line["name"]: Raised(RuntimeError(line["error"])) if "error" in line else line["value"]
        for line in lines
    }


@pytest.fixture(scope="session")
def node() -> Node:
    return installed_node()


@pytest.fixture(scope="module")
def runs(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return three_runs(tmp_path_factory.mktemp("node"), lambda: outcomes(node, "openai", "ai_sdk"))


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
        misses = outcomes(node, "misses")
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
        said = outcomes(node, "dummy")
    text = f"{HELLO}의 응답 내용"
    assert said == {
        "chat": text,
        "chat_stream": list(text),
        "ai_chat": text,
        "ai_chat_stream": list(text),
    }


def test_what_the_dummy_does_not_have_costs_one_request(node: Node, tmp_path: Path) -> None:
    with (
        Proxy(tmp_path, "--access-log", MODE="dummy") as proxy,
        environment(proxy.base_url, PLACEHOLDER),
    ):
        refused = outcomes(node, "unknown")
    error = {"type": "invalid_request_error", "code": "not_implemented_by_dummy"}
    assert refused == {
        "image": {"class": "NotFoundError", "status": 404, **error},
        "ai_image": {"status": 404, "code": "not_implemented_by_dummy"},
    }
    assert requests_seen(proxy) == {"POST /v1/images/generations": 2}
