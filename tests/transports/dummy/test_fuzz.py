"""The dummy answers or refuses every request, whatever it contains, and never crashes."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy import Content, Dummy
from replay_proxy.transports.dummy.schemas import (
    CreateChatCompletionRequest,
    CreateCompletionRequest,
    CreateEmbeddingRequest,
    CreateModerationRequest,
    CreateResponse,
)
from tests.support.requests import CHAT, post

MESSAGES = [{"role": "user", "content": "call f and g"}]
ENDPOINTS: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    CHAT: (CreateChatCompletionRequest, {"messages": MESSAGES}),
    "/v1/responses": (CreateResponse, {"input": MESSAGES}),
    "/v1/completions": (CreateCompletionRequest, {"prompt": "a"}),
    "/v1/embeddings": (CreateEmbeddingRequest, {"input": "a", "dimensions": 3}),
    "/v1/moderations": (CreateModerationRequest, {"input": "a"}),
}
WORDS = [
    "type",
    "function",
    "custom",
    "name",
    "f",
    "g",
    "parameters",
    "properties",
    "required",
    "enum",
    "$ref",
    "tool",
    "tools",
    "mode",
    "schema",
    "json_schema",
    "json_object",
    "allowed_tools",
    "call_id",
    "tool_call_id",
    "tool_calls",
    "role",
    "user",
    "assistant",
    "content",
    "text",
    "input",
    "output",
    "message",
    "function_call",
    "function_call_output",
    "format",
    "image_url",
    "url",
    "id",
]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 70)
    | st.just(10**30)
    | st.floats(0, 2)
    | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
        | st.fixed_dictionaries({"type": st.sampled_from(WORDS)}, optional={"name": inner})
    ),
    max_leaves=8,
)


def answered(path: str, body: bytes | object, content: Content | None = None) -> bytes | None:
    """The answer; None for a refusal."""

    async def ask() -> bytes | None:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = post(sent, path)
        try:
            answer = (await Dummy(content).handle(request)).body
        except InvalidRequest:
            return None
        return answer if isinstance(answer, bytes) else b"".join([chunk async for chunk in answer])

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ENDPOINTS)
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_fields_are_answered_or_refused(path: str, data: st.DataObject) -> None:
    model, valid = ENDPOINTS[path]
    fields = st.sampled_from([*model.model_fields, "conversation", "prompt"])
    body = {
        "model": "gpt-5",
        **valid,
        **data.draw(st.dictionaries(fields, json_values, max_size=4)),
    }

    answer = answered(path, body)

    assert answer is None or answer.startswith((b"{", b"data: {", b"event: response.created"))


@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_tools_and_messages_are_answered_or_refused(path: str, data: st.DataObject) -> None:
    is_chat = path.endswith("completions")
    calls = st.lists(st.dictionaries(st.sampled_from(["type", "id", "function"]), json_values))
    message = st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["message", "function_call", "function_call_output"]),
            "tool_calls": calls | json_values,
            **dict.fromkeys(["content", "call_id", "name", "output"], json_values),
        },
    )
    role = st.sampled_from(["user", "assistant", "tool", "system"])
    tool = {"type": st.just("function"), "name": st.just("f"), "extra": json_values}
    turns = data.draw(st.lists(st.tuples(role, message), max_size=3))
    body = {
        "model": "gpt-4o",
        "tools": [data.draw(st.fixed_dictionaries(tool, optional={"parameters": json_values}))],
        "tool_choice": data.draw(json_values),
        "stream": data.draw(st.booleans()),
        "messages" if is_chat else "input": [
            *MESSAGES,
            *({**extra, "role": role} if is_chat else extra for role, extra in turns),
        ],
    }

    answer = answered(path, body, Content(seed=1))

    assert answer is None or answer.startswith((b"{", b"data: {", b"event: response.created"))


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": {"type": ["function"], "name": "f"}},
        {"tool_choice": {"type": "function", "name": ["f"]}},
        {"messages": [*MESSAGES, {"role": "assistant", "tool_calls": [{"type": {}}]}]},
        {"messages": [*MESSAGES, {"role": "tool", "tool_call_id": ["a"]}]},
        {"messages": [*MESSAGES, {"role": "assistant", "tool_calls": [{"id": {}}]}]},
        {"input": [*MESSAGES, {"type": "function_call", "call_id": {}, "name": []}]},
        {"input": [*MESSAGES, {"type": [], "role": {}}]},
        {"tools": [{"type": "function", "name": "f", "parameters": {"minimum": 10**30}}]},
    ],
    ids=str,
)
def test_what_has_the_wrong_type_far_inside_is_answered(fields: dict[str, Any]) -> None:
    path = "/v1/responses" if "messages" not in fields else CHAT
    valid = ENDPOINTS[path][1]
    tools = [{"type": "function", "name": "f", "function": {"name": "f"}}]

    assert answered(path, {"model": "m", **valid, "tools": tools, **fields})
