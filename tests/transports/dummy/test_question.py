"""The dummy reads the body of a request once."""

import asyncio
import json
from typing import Any

import pytest
from pydantic_core import from_json

from replay_proxy.errors import ReplayProxyError
from replay_proxy.transports.dummy import Content, Dummy, Tempo, work_budget
from replay_proxy.transports.dummy.timing.fit import fit_to
from replay_proxy.transports.dummy.timing.observations import Observation
from replay_proxy.wire import Response
from tests.support.requests import CHAT, post

HELLO = {"messages": [{"role": "user", "content": "hello, call f"}]}
TOOL = {"type": "function", "function": {"name": "f"}}
LOREM = Content(source="lorem")
FIT = Tempo(fit=fit_to([Observation("m", 100, 0.0, (0.0,))]))


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every body that was read."""
    bodies: list[bytes] = []

    def counting(body: bytes, **options: Any) -> Any:
        bodies.append(body)
        return from_json(body, **options)

    monkeypatch.setattr("replay_proxy.transports.dummy.endpoints.validation.from_json", counting)
    return bodies


def ask(
    fields: dict[str, Any] | bytes,
    content: Content | None = None,
    tempo: Tempo | None = None,
    path: str = CHAT,
) -> bytes:
    async def answer() -> Response:
        dummy = Dummy(content, tempo)
        try:
            return await dummy.handle(post(body, path))
        finally:
            await dummy.aclose()

    body = fields if isinstance(fields, bytes) else json.dumps({"model": "m", **fields}).encode()
    response = asyncio.run(answer())
    return response.body if isinstance(response.body, bytes) else b""


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"tools": [TOOL]}])
@pytest.mark.parametrize("content", [Content(), LOREM])
@pytest.mark.parametrize("tempo", [Tempo(), FIT])
def test_a_body_is_read_once(
    readings: list[bytes], more: dict[str, Any], content: Content, tempo: Tempo
) -> None:
    ask(HELLO | more, content, tempo)

    assert len(readings) == 1


def test_an_answer_that_is_made_in_a_thread_after_all_reads_its_body_once(
    readings: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = work_budget.WorkBudget(1, 1)
    monkeypatch.setattr("replay_proxy.transports.dummy.quick_budget", lambda: few)

    assert "lo, call f" in ask(HELLO).decode()
    assert few.characters_left < 0
    assert len(readings) == 1


def test_what_is_no_json_is_read_once(readings: list[bytes]) -> None:
    with pytest.raises(ReplayProxyError, match="could not parse the JSON body"):
        ask(b"{", tempo=FIT)

    assert readings == [b"{"]


@pytest.mark.parametrize("path", [CHAT, "/openai/deployments/m/chat/completions"])
def test_a_stream_says_what_the_whole_answer_says(path: str) -> None:
    whole = json.loads(ask({**HELLO, "model": ""} if "openai" in path else HELLO, LOREM, path=path))
    stream = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
    if "openai" in path:
        stream["model"] = ""
    events = ask(stream, LOREM, path=path).decode().split("\n\n")[:-2]
    choices = [choice for event in events for choice in json.loads(event[6:])["choices"]]

    text = "".join(choice["delta"].get("content", "") for choice in choices)
    assert text == whole["choices"][0]["message"]["content"]
