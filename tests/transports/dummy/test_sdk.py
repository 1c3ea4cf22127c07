"""The OpenAI SDK accepts every answer of the dummy, whole and streamed, with strict types.

Hundreds of requests are made without a socket; what depends on sockets is in ``test_agents``.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openai import BadRequestError
from openai.types import Completion, CreateEmbeddingResponse, ModerationCreateResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from replay_proxy.transports.dummy import Content
from tests.support.in_process import InProcess, client
from tests.transports.dummy.test_json_schema import NODE, in_object

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USER = {"role": "user", "content": "hi"}
PARAMETERS = {
    **in_object(city={"type": "string"}, days={"type": "integer", "minimum": 1, "maximum": 9}),
    "$defs": {"node": NODE},
}
NAMES = ["get_weather", "search", "save-note"]


def posted(path: str, body: dict[str, Any], content: Content | None = None) -> bytes:
    """The bytes of an answer. Fails for a refusal."""
    transport = InProcess(content)
    client(transport).post(path, body=body, cast_to=object)
    return transport.body


def events(body: bytes) -> Iterator[tuple[str | None, Any]]:
    """The name and the JSON of each event."""
    for event in body.decode().split("\n\n")[:-1]:
        *names, data = event.split("\n")
        assert data.startswith("data: ")
        if data != "data: [DONE]":
            yield (names[0].removeprefix("event: ") if names else None), json.loads(data[6:])


def is_null_where_nothing_is_said(choice: dict[str, Any]) -> bool:
    has = {"index", "finish_reason", "logprobs"} <= set(choice)
    return has and ("message" not in choice or "refusal" in choice["message"])


functions = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
contents = st.builds(
    Content,
    source=st.sampled_from(["echo", "echo_last", "lorem"]),
    unit=st.sampled_from(["char", "token", "word", "3"]),
    seed=st.none() | st.integers(0, 3),
)
texts = st.sampled_from(
    ["", "안녕하세요 세계", "use get_weather and search", "👋🏽\n\u2028", "get weather를 불러줘"]
)
common = {
    "model": st.sampled_from(["gpt-4o", "gpt-5-mini", "o3", "org/name"]),
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "parallel_tool_calls": st.booleans(),
    "metadata": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    "service_tier": st.sampled_from(["auto", "default", "flex", "priority"]),
}


def chat_tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": PARAMETERS}}


def flat_tool(name: str) -> dict[str, Any]:
    return {"type": "function", "name": name, "parameters": PARAMETERS, "strict": True}


@st.composite
def chat_requests(draw: st.DrawFn) -> dict[str, Any]:
    optional: dict[str, Any] = {
        **common,
        "n": st.integers(1, 3),
        "max_completion_tokens": st.integers(1, 60),
        "stop": st.sampled_from(["응답", "}", ["a", "내용"]]),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "high"]),
        "seed": st.integers(0, 9),
        "response_format": st.sampled_from(
            [
                {"type": "text"},
                {"type": "json_object"},
                {"type": "json_schema", "json_schema": {"name": "a", "schema": PARAMETERS}},
            ]
        ),
    }
    del optional["model"]
    chosen = draw(st.sets(st.sampled_from(sorted(optional)), max_size=5))
    body = {name: draw(optional[name]) for name in sorted(chosen)}
    body["model"] = draw(common["model"])
    body["messages"] = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": draw(texts)},
    ]
    if draw(st.booleans()):
        body |= {"logprobs": True, "top_logprobs": draw(st.integers(0, 5))}
    if draw(st.booleans()):
        names = draw(functions)
        one = {"type": "function", "function": {"name": names[0]}}
        allowed = {"mode": "required", "tools": [one]}
        some = {"type": "allowed_tools", "allowed_tools": allowed}
        body["tools"] = [chat_tool(name) for name in names]
        body["tool_choice"] = draw(st.sampled_from(["auto", "none", "required", one, some]))
    return body


@settings(max_examples=250, deadline=None)
@given(chat_requests(), contents)
def test_any_chat_completion_fits_the_types_and_is_streamed_alike(
    body: dict[str, Any], content: Content
) -> None:
    raw = json.loads(posted("/chat/completions", body, content))
    whole = ChatCompletion.model_validate(raw, strict=True)
    assert all(is_null_where_nothing_is_said(choice) for choice in raw["choices"])

    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    chunks = [event for _, event in events(posted("/chat/completions", asked, content))]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
        assert all(is_null_where_nothing_is_said(choice) for choice in chunk["choices"])
    assert chunks[-1]["usage"] == raw["usage"]

    # The accumulator parses the whole text, and raises if the text was cut.
    if all(choice.finish_reason != "length" for choice in whole.choices) and "stop" not in body:
        transport = InProcess(content)
        options = {name: value for name, value in body.items() if name not in ("model", "messages")}
        with client(transport).chat.completions.stream(
            model=body["model"], messages=body["messages"], **options
        ) as stream:
            final = stream.get_final_completion()
        for ours, theirs in zip(whole.choices, final.choices, strict=True):
            assert theirs.message.content == ours.message.content
            assert theirs.finish_reason == ours.finish_reason
            called = [
                (c.function.name, c.function.arguments) for c in theirs.message.tool_calls or ()
            ]
            assert called == [
                (c.function.name, c.function.arguments)
                for c in ours.message.tool_calls or ()
                if c.type == "function"
            ]
            if ours.logprobs and ours.logprobs.content:
                assert theirs.logprobs is not None
                assert theirs.logprobs.content == ours.logprobs.content


@st.composite
def response_requests(draw: st.DrawFn) -> dict[str, Any]:
    schema = {"type": "json_schema", "name": "a", "schema": PARAMETERS, "strict": True}
    optional: dict[str, Any] = {
        **common,
        "instructions": texts,
        "max_output_tokens": st.integers(16, 60),
        "top_logprobs": st.integers(0, 5),
        "include": st.just(["message.output_text.logprobs", "reasoning.encrypted_content"]),
        "reasoning": st.sampled_from([{"effort": "low"}, {"effort": "none"}, {"summary": "auto"}]),
        "text": st.sampled_from(
            [{"verbosity": "low"}, {"format": schema}, {"format": {"type": "json_object"}}]
        ),
        "truncation": st.sampled_from(["auto", "disabled"]),
        "store": st.booleans(),
        "previous_response_id": st.just("resp_1"),
    }
    del optional["model"]
    chosen = draw(st.sets(st.sampled_from(sorted(optional)), max_size=5))
    body = {name: draw(optional[name]) for name in sorted(chosen)}
    body["model"] = draw(common["model"])
    text = draw(texts)
    body["input"] = draw(
        st.sampled_from(
            [text, [{"role": "user", "content": [{"type": "input_text", "text": text}]}], []]
        )
    )
    if draw(st.booleans()):
        names = draw(functions)
        one = {"type": "function", "name": names[0]}
        some = {"type": "allowed_tools", "mode": "auto", "tools": [one]}
        body["tools"] = [flat_tool(name) for name in names] + draw(
            st.sampled_from([[], [{"type": "custom", "name": "search-freely"}]])
        )
        body["tool_choice"] = draw(st.sampled_from(["auto", "none", "required", one, some]))
    return body


@settings(max_examples=250, deadline=None)
@given(response_requests(), contents)
def test_any_response_fits_the_types_and_is_streamed_alike(
    body: dict[str, Any], content: Content
) -> None:
    raw = json.loads(posted("/responses", body, content))
    Response.model_validate(raw, strict=True)
    streamed = list(events(posted("/responses", {**body, "stream": True}, content)))
    for number, (name, event) in enumerate(streamed):
        EVENT.validate_python(event, strict=True)
        assert (name, number) == (event["type"], event["sequence_number"])
    last = streamed[-1][1]
    assert last["type"] == f"response.{raw['status']}"
    assert same(last["response"]) == same(raw)

    options = {name: value for name, value in body.items() if name not in ("model", "input")}
    if raw["status"] == "completed":
        with client(InProcess(content)).responses.stream(
            model=body["model"], input=body["input"], **options
        ) as stream:
            final = stream.get_final_response()
        assert same(final.to_dict()) == same(raw)


def same(response: dict[str, Any]) -> Any:
    """The parts that a whole and a streamed answer have in common: all but ids and times."""
    kept = {name: response[name] for name in ("status", "output", "usage", "service_tier")}

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(each) for each in value]
        if isinstance(value, dict):
            left = ("id", "call_id", "encrypted_content", "parsed", "parsed_arguments")
            return {k: plain(v) for k, v in value.items() if k not in left and v is not None}
        return value

    return plain(kept)


def test_the_events_of_a_response_come_in_the_order_of_the_api() -> None:
    body = {"model": "o3", "input": "ab", "stream": True}
    names = [name for name, _ in events(posted("/responses", body, Content("fixed", "xy")))]

    assert names == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",  # the thoughts
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_two_calls_of_a_response_follow_each_other() -> None:
    body = {
        "model": "gpt-4o",
        "input": "get_weather, then write freely",
        "tools": [flat_tool("get_weather"), {"type": "custom", "name": "write"}],
        "stream": True,
    }
    names = [name for name, _ in events(posted("/responses", body, Content(unit="1000")))]

    assert names == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
        "response.completed",
    ]


batches = st.sampled_from(
    ["a", ["a", "b", "a"], [1, 2, 3], [[1, 2], [3]], ["안녕", [7]], ["x"] * 20]
)


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        {"model": st.just("gpt-3.5-turbo-instruct"), "prompt": batches | st.none()},
        optional={
            "n": st.integers(1, 3),
            "max_tokens": st.integers(0, 20),
            "logprobs": st.integers(0, 5),
            "echo": st.booleans(),
            "stop": st.sampled_from(["응", ["a", "용"]]),
        },
    ),
    contents,
)
def test_any_completion_fits_the_types_and_is_streamed_alike(
    body: dict[str, Any], content: Content
) -> None:
    whole = Completion.model_validate(
        json.loads(posted("/completions", body, content)), strict=True
    )
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    texts = [""] * len(whole.choices)
    *chunks, last = [event for _, event in events(posted("/completions", asked, content))]
    for chunk in [*chunks, last]:
        for choice in chunk["choices"]:
            # The API's is null too before the end, which the SDK's types do not know of.
            choice["finish_reason"] = choice["finish_reason"] or "stop"
        for choice in Completion.model_validate(chunk, strict=True).choices:
            texts[choice.index] += choice.text

    assert texts == [choice.text for choice in whole.choices]
    assert whole.usage
    assert last["usage"] == whole.usage.to_dict()


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        {"model": st.sampled_from(["text-embedding-3-large", "m"]), "input": batches},
        optional={
            "dimensions": st.integers(1, 2000),
            "encoding_format": st.sampled_from(["float", "base64"]),
        },
    )
)
def test_any_embeddings_fit_the_types_and_are_unit_vectors(body: dict[str, Any]) -> None:
    transport = InProcess()
    answer = client(transport).embeddings.create(**body)
    if body.get("encoding_format") != "base64":  # The SDK's types know lists only.
        CreateEmbeddingResponse.model_validate(answer.to_dict(), strict=True)

    usual = {"m": 1536, "text-embedding-3-large": 3072}[body["model"]]
    for index, each in enumerate(answer.data):
        assert each.index == index
        if isinstance(each.embedding, list):
            assert len(each.embedding) == body.get("dimensions", usual)
            assert abs(sum(x * x for x in each.embedding) - 1) < 1e-5
    assert json.loads(transport.body)["object"] == "list"


def test_equal_texts_have_equal_vectors_in_either_format() -> None:
    create = client(InProcess(Content(seed=4))).embeddings.create
    floats = create(model="m", input=["a", "b", "a"], encoding_format="float").data
    packed = create(model="m", input="a").data  # The SDK asks for base64, and unpacks it.

    assert floats[0].embedding == floats[2].embedding
    assert floats[0].embedding != floats[1].embedding
    assert packed[0].embedding == pytest.approx(floats[0].embedding)


def test_a_shorter_vector_is_the_beginning_of_the_longer_one() -> None:
    create = client(InProcess()).embeddings.create
    long = create(model="m", input="a").data[0].embedding
    short = create(model="m", input="a", dimensions=8).data[0].embedding

    scale = short[0] / long[0]
    assert short == pytest.approx([value * scale for value in long[:8]], rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(
        [
            "I want to harm the robots",
            ["a", "b"],
            [{"type": "text", "text": "a"}],
            [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,"}}],
        ]
    ),
    st.none() | st.just("omni-moderation-2024-09-26"),
)
def test_any_moderation_fits_the_types_and_flags_nothing(value: Any, model: str | None) -> None:
    raw = json.loads(posted("/moderations", {"input": value, "model": model}))
    answer = ModerationCreateResponse.model_validate(raw, strict=True)

    assert len(answer.results) == (2 if value == ["a", "b"] else 1)
    assert not any(result.flagged for result in answer.results)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/responses", {"model": "m"}, "input"),
        ("/responses", {"input": "a"}, "model"),
        ("/responses", {"model": "m", "input": 7}, "input"),
        ("/responses", {"model": "m", "input": "a", "max_output_tokens": 15}, "max_output_tokens"),
        ("/responses", {"model": "m", "input": "a", "tools": [{}]}, "tools[0].type"),
        ("/responses", {"model": "m", "input": "a", "tools": [{"type": "function"}]},
         "tools[0].name"),
        ("/responses", {"model": "m", "input": "a", "text": {"format": {"type": "json_schema"}}},
         "text.format.name"),
        ("/chat/completions", {"model": "m", "messages": [USER], "response_format":
                               {"type": "xml"}}, "response_format.type"),
        ("/chat/completions", {"model": "m", "messages": [USER], "response_format":
                               {"type": "json_schema"}}, "response_format.json_schema"),
        ("/chat/completions", {"model": "m", "messages": [USER], "tools":
                               [{"type": "function", "function": {"name": "a b"}}]},
         "tools[0].function.name"),
        ("/embeddings", {"model": "m"}, "input"),
        ("/embeddings", {"model": "m", "input": []}, "input"),
        ("/embeddings", {"model": "m", "input": ["a"] * 2049}, "input"),
        ("/embeddings", {"model": "m", "input": ["a", 7.5]}, "input[1]"),
        ("/embeddings", {"model": "m", "input": "a", "dimensions": 0}, "dimensions"),
        ("/embeddings", {"model": "m", "input": "a", "encoding_format": "hex"}, "encoding_format"),
        ("/completions", {"model": "m", "prompt": {}}, "prompt"),
        ("/completions", {"prompt": "a"}, "model"),
        ("/moderations", {}, "input"),
        ("/moderations", {"input": 3}, "input"),
        ("/moderations", {"input": [{"type": "sound"}]}, "input[0].type"),
    ],
)  # fmt: skip
def test_a_malformed_request_is_refused_with_all_fields_of_an_error(
    path: str, body: dict[str, Any], param: str
) -> None:
    transport = InProcess()
    with pytest.raises(BadRequestError) as refused:
        client(transport).post(path, body=body, cast_to=object)

    assert refused.value.param == param
    error = json.loads(transport.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
def test_json_by_schema_is_the_text(path: str) -> None:
    answered = client(InProcess())
    if path == "/responses":
        form: Any = {"type": "json_schema", "name": "a", "schema": PARAMETERS}
        text = answered.responses.create(model="m", input="hi", text={"format": form}).output_text
    else:
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": PARAMETERS}}
        text = (
            answered.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], response_format=form
            )
            .choices[0]
            .message.content
            or ""
        )

    assert Draft202012Validator(PARAMETERS).is_valid(json.loads(text))
