"""Real requests of applications: the dummy answers each in the form that it asks for.

``python -m tests.transports.dummy.test_corpus FILE.jsonl.gz`` does the same with any corpus of
that format.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openai.types import Completion, CreateEmbeddingResponse, ModerationCreateResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from replay_proxy.transports.dummy import Content
from tests.support.corpus import Record, load
from tests.support.paths import ROOT
from tests.transports.dummy.test_fuzz import answered

DATA = ROOT / "tests" / "data"
TYPES: dict[str, Any] = {
    "chat/completions": ChatCompletion,
    "responses": Response,
    "completions": Completion,
    "embeddings": CreateEmbeddingResponse,
    "moderations": ModerationCreateResponse,
}
EVENTS: dict[str, Any] = {
    "chat/completions": ChatCompletionChunk,
    "responses": ResponseStreamEvent,
}


def endpoint(record: Record) -> str | None:
    """The endpoint of the dummy that a recorded request asked, if it was answered."""
    path = record.target.partition("?")[0]
    asked = record.method == "POST" and record.status == 200
    return next((each for each in TYPES if asked and path.endswith(f"/{each}")), None)


def schemas(asked: dict[str, Any]) -> dict[str | None, Any]:
    """The schema of each function by its name, and of the text by None."""
    tools = [
        tool.get("function", tool) for tool in asked.get("tools") or asked.get("functions") or ()
    ]
    found = {tool["name"]: tool.get("parameters") or {} for tool in tools if "name" in tool}
    form = (asked.get("text") or {}).get("format") or asked.get("response_format") or {}
    within = form.get("json_schema", form)
    return found | ({None: within["schema"]} if within.get("schema") else {})


def said(answer: dict[str, Any]) -> list[tuple[str | None, str]]:
    """The JSON in a whole answer: arguments with the name of their function, the text with None."""
    found: list[tuple[str | None, str]] = []
    for choice in answer.get("choices", ()):
        message = choice.get("message", {})
        if choice["finish_reason"] != "length":
            calls = [
                call["function"] for call in message.get("tool_calls", ()) if "function" in call
            ]
            found += [(call["name"], call["arguments"]) for call in calls]
            found += [(None, message["content"])] if message.get("content") else []
    for item in answer.get("output", ()) if answer.get("status") == "completed" else ():
        if item["type"] == "function_call":
            found.append((item["name"], item["arguments"]))
        elif item["type"] == "message":
            found.append((None, item["content"][0]["text"]))
    return found


def check(record: Record) -> Counter[str]:
    """Fail unless the answer is valid. Counts what was checked in it."""
    kind = endpoint(record)
    assert kind is not None
    body = answered(record.target.partition("?")[0], record.request_body, Content(unit="token"))
    assert body is not None, record.request_body
    asked = json.loads(record.request_body)
    if not asked.get("stream"):
        answer = json.loads(body)
        if asked.get("encoding_format") != "base64":  # The SDK's types know lists only.
            TYPES[kind].model_validate(answer, strict=True)
        wanted, fitting = schemas(asked), 0
        for name, text in said(answer):
            if name in wanted:
                Draft202012Validator(wanted[name]).validate(json.loads(text))
                fitting += 1
        return Counter({kind: 1, "JSON that fits": fitting})
    if kind in EVENTS:
        adapter = TypeAdapter(EVENTS[kind])
        for line in body.decode().splitlines():
            if line.startswith("data: {"):
                adapter.validate_python(json.loads(line[6:]), strict=True)
    return Counter({f"{kind}, streamed": 1})


RECORDS = [
    record
    for name in ("corpus.jsonl", "clients.jsonl")
    for record in load(DATA / name)
    if endpoint(record)
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.id)
def test_a_request_that_was_really_sent_is_answered(record: Record) -> None:
    assert check(record)


def test_the_requests_ask_for_all_that_matters() -> None:
    seen = sum((check(record) for record in RECORDS), Counter[str]())

    assert {"chat/completions", "responses", "embeddings", "moderations"} <= set(seen)
    assert {"chat/completions, streamed", "responses, streamed"} <= set(seen)
    assert seen["JSON that fits"]


if __name__ == "__main__":
    total = Counter[str]()
    for record in load(Path(sys.argv[1])):
        if endpoint(record):
            total += check(record)
    for name, count in sorted(total.items()):
        print(f"{count:6} {name}")
