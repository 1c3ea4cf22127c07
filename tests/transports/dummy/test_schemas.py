"""Requests that the dummy refuses, with OpenAI's messages, and requests that it accepts."""

import asyncio
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy import Dummy
from replay_proxy.transports.dummy.schemas import (
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    CreateChatCompletionStreamResponse,
    ListModelsResponse,
    Model,
)
from replay_proxy.wire import Request

NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was "
    "not valid JSON. If you have trouble figuring out how to fix this, please contact us through "
    "our help center at help.openai.com.)"
)
VALID: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
#: Every field of a request that the dummy checks.
FIELDS = sorted(CreateChatCompletionRequest.model_fields)
ABSENT = object()


def answer(body: bytes, method: str = "POST", path: str = "/v1/chat/completions") -> bytes:
    async def whole() -> bytes:
        response = await Dummy().handle(Request(method, path, "", (), body))
        if isinstance(response.body, bytes):
            return response.body
        return b"".join([chunk async for chunk in response.body])

    return asyncio.run(whole())


def refusal(body: bytes) -> tuple[str, str | None, str | None]:
    with pytest.raises(InvalidRequest) as refused:
        answer(body)
    assert refused.value.status == 400
    assert refused.value.type == "invalid_request_error"
    assert refused.value.retry is False
    return refused.value.message, refused.value.param, refused.value.code


def with_fields(**fields: object) -> bytes:
    body = {**VALID, **fields}
    return json.dumps({name: value for name, value in body.items() if value is not ABSENT}).encode()


def in_message(**fields: object) -> dict[str, object]:
    return {"messages": [{"role": "user", **fields}]}


def is_valid_answer(body: bytes) -> bool:
    if not body.startswith(b"data: "):
        ChatCompletion.model_validate(json.loads(body), strict=True)
        return True
    for event in body.removesuffix(b"data: [DONE]\n\n").split(b"\n\n")[:-1]:
        ChatCompletionChunk.model_validate(json.loads(event.removeprefix(b"data: ")), strict=True)
    return True


def is_answered_or_refused(body: bytes) -> bool:
    try:
        return is_valid_answer(answer(body))
    except InvalidRequest as refused:
        return bool(refused.message)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"model=gpt-4o",
        b'{"model": "gpt-4o",}',
        b"{'model': 'gpt-4o'}",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b'{"model": "\xff"}',
        with_fields(temperature=float("nan")),
        with_fields(anything=float("inf")),
        with_fields(model="\ud800"),
        with_fields(**in_message(content="\udc00 \ud83d")),
        b'{"a": ' * 100_000,
        b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"seed": ' + b"1" * 10_000 + b"}",
        b"null",
        b"true",
        b"7",
        b'"text"',
        b"[]",
        orjson.dumps([VALID]),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    assert refusal(body) == (NOT_JSON, None, None)


def test_real_surrogate_pairs_and_deep_schemas_pass() -> None:
    schema: dict[str, object] = {}
    for _ in range(100):
        schema = {"properties": schema}

    body = with_fields(**in_message(content="👋"), response_format=schema)

    assert b"\\ud83d\\udc4b" in body
    assert json.loads(answer(body))["choices"][0]["message"]["content"] == "👋의 응답 내용"


@pytest.mark.parametrize("model", [ABSENT, None, ""])
def test_a_missing_model_is_refused(model: object) -> None:
    assert refusal(with_fields(model=model)) == ("you must provide a model parameter", None, None)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": ABSENT}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [VALID["messages"][0], {}]}, "messages[1].role"),
        (in_message(content=[{}]), "messages[0].content[0].type"),
        (in_message(content=[{"text": "hi"}]), "messages[0].content[0].type"),
        (in_message(content=[{"type": "text"}]), "messages[0].content[0].text"),
    ],
)
def test_a_missing_parameter_is_refused(fields: dict[str, object], param: str) -> None:
    assert refusal(with_fields(**fields)) == (
        f"Missing required parameter: '{param}'.",
        param,
        "missing_required_parameter",
    )


@pytest.mark.parametrize(
    ("fields", "param", "expected", "got"),
    [
        ({"messages": "hi"}, "messages", "an array of objects", "a string"),
        ({"messages": {}}, "messages", "an array of objects", "an object"),
        ({"messages": None}, "messages", "an array of objects", "null"),
        ({"messages": ["hi"]}, "messages[0]", "an object", "a string"),
        ({"messages": [None]}, "messages[0]", "an object", "null"),
        (
            in_message(role=7),
            "messages[0].role",
            "one of 'system', 'assistant', 'user', 'function', 'tool', or 'developer'",
            "an integer",
        ),
        (
            in_message(content=7),
            "messages[0].content",
            "one of a string or array of objects",
            "an integer",
        ),
        (
            in_message(content={"type": "text", "text": "hi"}),
            "messages[0].content",
            "one of a string or array of objects",
            "an object",
        ),
        (in_message(content=["hi"]), "messages[0].content[0]", "an object", "a string"),
        (
            in_message(content=[{"type": "text", "text": "hi"}, {"type": 7}]),
            "messages[0].content[1].type",
            "a string",
            "an integer",
        ),
        (
            in_message(content=[{"type": "text", "text": None}]),
            "messages[0].content[0].text",
            "a string",
            "null",
        ),
        ({"model": 7}, "model", "a string", "an integer"),
        ({"n": "2"}, "n", "an integer", "a string"),
        ({"n": True}, "n", "an integer", "a boolean"),
        ({"n": 1.5}, "n", "an integer", "a decimal number"),
        ({"n": 2.0}, "n", "an integer", "a decimal number"),
        ({"max_tokens": [1]}, "max_tokens", "an integer", "an array"),
        ({"temperature": "hot"}, "temperature", "a decimal", "a string"),
        ({"temperature": True}, "temperature", "a decimal", "a boolean"),
        ({"top_p": {}}, "top_p", "a decimal", "an object"),
        ({"stream": "yes"}, "stream", "a boolean", "a string"),
        ({"stream": 1}, "stream", "a boolean", "an integer"),
        ({"stream": True, "stream_options": []}, "stream_options", "an object", "an array"),
        (
            {"stream": True, "stream_options": {"include_usage": "yes"}},
            "stream_options.include_usage",
            "a boolean",
            "a string",
        ),
        ({"stop": 7}, "stop", "one of a string or array of strings", "an integer"),
        ({"stop": ["a", 7]}, "stop[1]", "a string", "an integer"),
        ({"tools": "none"}, "tools", "an array of objects", "a string"),
        ({"tools": ["none"]}, "tools[0]", "an object", "a string"),
        ({"response_format": "json"}, "response_format", "an object", "a string"),
        ({"metadata": {"run": 7}}, "metadata.run", "a string", "an integer"),
        ({"user": {}}, "user", "a string", "an object"),
    ],
)
def test_a_wrong_type_is_refused(
    fields: dict[str, object], param: str, expected: str, got: str
) -> None:
    assert refusal(with_fields(**fields)) == (
        f"Invalid type for '{param}': expected {expected}, but got {got} instead.",
        param,
        "invalid_type",
    )


@pytest.mark.parametrize("role", ["foo", "", "User"])
def test_an_unknown_role_is_refused(role: str) -> None:
    assert refusal(with_fields(**in_message(role=role))) == (
        f"Invalid value: '{role}'. Supported values are: "
        "'system', 'assistant', 'user', 'function', 'tool', and 'developer'.",
        "messages[0].role",
        "invalid_value",
    )


def test_no_messages_at_all_are_refused() -> None:
    assert refusal(with_fields(messages=[])) == (
        "Invalid 'messages': empty array. "
        "Expected an array with minimum length 1, but got an empty array instead.",
        "messages",
        "empty_array",
    )


@pytest.mark.parametrize(
    ("field", "value", "kind", "bound"),
    [
        ("n", 0, "integer below minimum", ">= 1"),
        ("n", -3, "integer below minimum", ">= 1"),
        ("n", 129, "integer above maximum", "<= 128"),
        ("n", 10**30, "integer above maximum", "<= 128"),
        ("max_tokens", 0, "integer below minimum", ">= 1"),
        ("max_completion_tokens", -15335, "integer below minimum", ">= 1"),
        ("top_logprobs", -1, "integer below minimum", ">= 0"),
        ("top_logprobs", 21, "integer above maximum", "<= 20"),
        ("temperature", -1, "decimal below minimum", ">= 0"),
        ("temperature", 200, "decimal above maximum", "<= 2"),
        ("temperature", 2.5, "decimal above maximum", "<= 2"),
        ("top_p", 1.01, "decimal above maximum", "<= 1"),
        ("presence_penalty", -3, "decimal below minimum", ">= -2"),
        ("presence_penalty", 3, "decimal above maximum", "<= 2"),
        ("frequency_penalty", -3, "decimal below minimum", ">= -2"),
        ("frequency_penalty", 3, "decimal above maximum", "<= 2"),
    ],
)
def test_a_number_out_of_bounds_is_refused(field: str, value: float, kind: str, bound: str) -> None:
    number, side, _ = kind.split()
    short = {"minimum": "min", "maximum": "max"}[kind.split()[2]]
    assert refusal(with_fields(**{field: value})) == (
        f"Invalid '{field}': {kind} value. Expected a value {bound}, but got {value} instead.",
        field,
        f"{number}_{side}_{short}_value",
    )


def test_more_than_four_stop_sequences_are_refused() -> None:
    assert refusal(with_fields(stop=["a"] * 5)) == (
        "Invalid 'stop': array too long. "
        "Expected an array with maximum length 4, but got an array with length 5 instead.",
        "stop",
        "array_above_max_length",
    )


@pytest.mark.parametrize(
    ("fields", "message", "param", "code"),
    [
        (
            {"max_tokens": 1, "max_completion_tokens": 1},
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        ),
        (
            {"stream_options": {"include_usage": True}},
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            "stream_options",
            None,
        ),
        (
            {"top_logprobs": 2},
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
            "top_logprobs",
            None,
        ),
    ],
)
def test_fields_that_contradict_each_other_are_refused(
    fields: dict[str, object], message: str, param: str, code: str | None
) -> None:
    assert refusal(with_fields(**fields)) == (message, param, code)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ABSENT, "messages": ABSENT}, None),
        ({"messages": ABSENT, "n": 0}, "messages"),
        ({"n": 0, "messages": []}, "messages"),
        ({"metadata": {"k": 7}, "n": "2"}, "n"),
        ({"store": "yes", "stream": "yes"}, "stream"),
        ({"max_tokens": 0, "max_completion_tokens": 0}, "max_completion_tokens"),
        ({"messages": [{"role": "user", "content": 7}, {"role": "foo"}]}, "messages[0].content"),
    ],
)
def test_of_several_faults_the_one_that_the_api_names_is_named(
    fields: dict[str, object], param: str | None
) -> None:
    assert refusal(with_fields(**fields))[1] == param


@pytest.mark.parametrize("field", sorted({*FIELDS} - {"model", "messages"}))
def test_null_is_as_good_as_absent(field: str) -> None:
    assert is_valid_answer(answer(with_fields(**{field: None})))


@pytest.mark.parametrize(
    "fields",
    [
        {"yet_to_come": {"a": [1]}},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"reasoning_effort": "xhigh", "service_tier": "flex", "verbosity": "low"},
        {"temperature": 0, "top_p": 1, "n": 128, "logprobs": True, "top_logprobs": 20},
        {"stream": True, "stream_options": {"include_obfuscation": False, "more": 1}},
        {"stop": ["a", "b", "c", "d"]},
        in_message(name="kim", more=[1]),
        in_message(content=[{"type": "yet_to_come", "more": 1}]),
        {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "12"}]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]}]},
    ],
)
def test_what_the_api_takes_is_answered(fields: dict[str, object]) -> None:
    assert is_valid_answer(answer(with_fields(**fields)))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "user", "text", "<text>", "안녕"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "<text>", "include_usage"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4))
def test_any_request_is_answered_or_refused(fields: dict[str, object]) -> None:
    assert is_answered_or_refused(json.dumps({**VALID, **fields}).encode())


@given(json_values)
def test_any_json_is_answered_or_refused(value: object) -> None:
    for body in (value, {**VALID, "messages": value}, {**VALID, "messages": [value]}):
        assert is_answered_or_refused(json.dumps(body).encode())


@given(st.binary() | st.binary().map(lambda noise: with_fields()[:20] + noise + with_fields()[20:]))
def test_any_bytes_are_answered_or_refused(body: bytes) -> None:
    assert is_answered_or_refused(body)


def undescribed(model: BaseModel) -> list[str]:
    """The fields of an answer that are not in its schema."""
    found = list(model.model_extra or {})
    for value in dict(model).values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, BaseModel):
                found += undescribed(inner)
    return found


def test_every_answer_is_described_by_its_schema() -> None:
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    events = answer(with_fields(n=2, **usage)).split(b"\n\n")[:-2]

    described: list[BaseModel] = [
        CreateChatCompletionResponse.model_validate_json(answer(with_fields(n=2))),
        *(
            CreateChatCompletionStreamResponse.model_validate_json(event.removeprefix(b"data: "))
            for event in events
        ),
        ListModelsResponse.model_validate_json(answer(b"", "GET", "/v1/models")),
        Model.model_validate_json(answer(b"", "GET", "/v1/models/gpt-4o")),
    ]

    assert len(described) == 3 + 2 * (1 + 9 + 1) + 1
    assert [undescribed(model) for model in described] == [[]] * len(described)


def test_the_schemas_can_be_shown_on_the_documents_page() -> None:
    shown = CreateChatCompletionRequest.model_json_schema()

    assert shown["required"] == ["model", "messages"]
    assert shown["properties"]["n"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 128}
    # A text part has to fit one of the two kinds only, or no part would.
    other = shown["$defs"]["ChatCompletionRequestMessageContentPart"]
    assert other["properties"]["type"]["not"] == {"const": "text"}
