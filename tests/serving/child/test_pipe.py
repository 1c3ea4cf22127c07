"""Calls of the control plane over pipes."""

import asyncio
import json
import os
from typing import Any

import pytest

from replay_proxy.serving.child.pipe import answer_calls

LARGE = {"large": "x" * 1_000_000}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says what it was asked in lines, sends much, or fails."""
    if scope["path"] == "/fails":
        raise ValueError(scope["path"])
    body = {"/large": LARGE}.get(scope["path"], [scope["method"], scope["query_string"].decode()])
    await send({"type": "http.response.start", "status": 201, "headers": []})
    for part in json.dumps(body, indent=2).partition("1"):
        await send({"type": "http.response.body", "body": part.encode(), "more_body": True})
    await send({"type": "http.response.body"})


@pytest.mark.asyncio
async def test_each_call_is_answered_with_a_line_until_the_pipe_is_closed() -> None:
    (calls, caller), (answered, answers) = os.pipe(), os.pipe()
    targets = ["/a?b=1", "/large", "/fails", "/"]
    thread = asyncio.to_thread(answer_calls, app, asyncio.get_running_loop(), calls, answers)
    answering = asyncio.create_task(thread)
    sent = [{"id": n, "method": "GET", "target": target} for n, target in enumerate(targets)]
    for part in ("\n".join(map(json.dumps, sent)) + "\n").partition("target"):
        os.write(caller, part.encode())
    with os.fdopen(answered, "rb") as lines:
        found = [json.loads(await asyncio.to_thread(lines.readline)) for _ in targets]
    assert found[0] == {"id": 0, "status": 201, "body": ["GET", "b=1"]}
    assert found[1] == {"id": 1, "status": 201, "body": LARGE}
    assert (found[2]["status"], "its log says why" in str(found[2]["body"])) == (500, True)
    assert found[3] == {"id": 3, "status": 201, "body": ["GET", ""]}
    os.close(caller)
    await answering
    os.close(calls)
    os.close(answers)


@pytest.mark.asyncio
async def test_calls_end_when_nobody_reads_the_answers() -> None:
    (calls, caller), (answered, answers) = os.pipe(), os.pipe()
    os.close(answered)
    os.write(caller, b'{"id": 1, "method": "GET", "target": "/"}\n')
    await asyncio.to_thread(answer_calls, app, asyncio.get_running_loop(), calls, answers)
    for end in (calls, caller, answers):
        os.close(end)
