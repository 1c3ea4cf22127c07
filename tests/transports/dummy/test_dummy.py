"""The dummy's answers. Refusals are tested in ``test_schemas``."""

import asyncio
import inspect
import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from replay_proxy.errors import NotImplementedByDummy
from replay_proxy.transports.dummy import ENDPOINTS, Dummy
from replay_proxy.transports.dummy.rendering import frames
from replay_proxy.wire import Request, Response, Source, Transport, header
from tests.support.requests import CHAT, chat

TEXTS = [
    "",
    "안녕하세요",
    "\u1100\u1161\u11a8",  # three characters that look like one
    "👋🏽 👨‍👩‍👧‍👦 🇰🇷",
    'she said "hi"\\n',
    "one\ntwo\r\nthree\n\nfour\tfive",
    "\x00\x1f\x7f\x85\u2028\u2029\ufeff",
    "data: [DONE]\n\n",
    '","content":"" }]}',
]
LONG_STREAM = chat("x" * 20_000, stream=True)
#: Any text that can be encoded as UTF-8.
texts = st.text(st.characters(codec="utf-8"))


def ask(method: str, path: str, body: bytes = b"") -> Response:
    dummy: Transport = Dummy()
    return asyncio.run(dummy.handle(Request(method, path, "", (), body)))


def answer_to(prompt: object = "hi", path: str = CHAT, **fields: Any) -> Response:
    fields = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": prompt}],
        **fields,
    }
    return ask("POST", path, orjson.dumps(fields))


def chunks_of(response: Response) -> list[bytes]:
    async def collect() -> list[bytes]:
        if isinstance(response.body, bytes):
            return [response.body]
        return [chunk async for chunk in response.body]

    return asyncio.run(collect())


def completion(response: Response) -> ChatCompletion:
    assert isinstance(response.body, bytes)
    return ChatCompletion.model_validate(json.loads(response.body), strict=True)


def raw_events(response: Response) -> list[dict[str, Any]]:
    body = b"".join(chunks_of(response))
    assert body.endswith(b"\n\n")
    *events, done = [event.removeprefix(b"data: ") for event in body[:-2].split(b"\n\n")]
    assert done == b"[DONE]"
    return [json.loads(event) for event in events]


def events(response: Response) -> list[ChatCompletionChunk]:
    return [ChatCompletionChunk.model_validate(e, strict=True) for e in raw_events(response)]


def text_of(response: Response, index: int = 0) -> str:
    return "".join(
        choice.delta.content or ""
        for event in events(response)
        for choice in event.choices
        if choice.index == index
    )


def test_the_answer_quotes_the_first_message() -> None:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]

    answer = completion(answer_to(messages=messages))

    assert answer.choices[0].message.content == "be brief의 응답 내용"


@pytest.mark.parametrize(
    ("content", "quoted"),
    [
        ("안녕", "안녕"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "한 "}, {"type": "text", "text": "줄"}], "한 줄"),
        ([{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "b"}], "b"),
        ([{"type": "yet_to_come", "text": "no"}], ""),
    ],
)
def test_parts_are_joined_and_missing_content_is_empty(content: object, quoted: str) -> None:
    assert completion(answer_to(content)).choices[0].message.content == f"{quoted}의 응답 내용"


def test_a_message_without_content_is_answered() -> None:
    answer = completion(answer_to(messages=[{"role": "assistant"}]))

    assert answer.choices[0].message.content == "의 응답 내용"


def test_a_whole_answer_has_exactly_the_fields_of_the_api() -> None:
    before = int(time.time())
    response = answer_to("hi", model="gpt-4.1")
    after = int(time.time())

    assert response.status == 200
    assert isinstance(response.body, bytes)
    assert header(response.headers, b"content-type") == b"application/json"
    assert response.provenance is not None
    assert response.provenance.source is Source.DUMMY
    assert header(response.headers, b"content-length") == str(len(response.body)).encode()
    body = json.loads(response.body)
    assert body.pop("id").startswith("chatcmpl-")
    assert before <= body.pop("created") <= after
    assert body == {
        "object": "chat.completion",
        "model": "gpt-4.1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi의 응답 내용", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 9, "total_tokens": 11},
    }


def test_the_same_request_gets_the_same_id_and_another_one_another() -> None:
    assert completion(answer_to()).id == completion(answer_to()).id
    assert completion(answer_to()).id != completion(answer_to(user="another")).id


def test_usage_counts_the_characters_of_every_message_and_choice() -> None:
    messages = [{"role": "system", "content": "가나"}, {"role": "user", "content": "👋"}]

    usage = completion(answer_to(messages=messages, n=3)).usage

    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 27, 30)


def test_n_choices_are_answered() -> None:
    answer = completion(answer_to("hi", n=2))

    assert [choice.index for choice in answer.choices] == [0, 1]
    assert {choice.message.content for choice in answer.choices} == {"hi의 응답 내용"}


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("limit", "text", "reason"),
    [(1, "h", "length"), (8, "hi의 응답 내", "length"), (9, "hi의 응답 내용", "stop")],
)
def test_an_answer_is_cut_after_so_many_characters(
    field: str, limit: int, text: str, reason: str
) -> None:
    options: dict[str, Any] = {field: limit}
    whole = completion(answer_to("hi", **options))
    streamed = answer_to("hi", stream=True, **options)

    assert whole.choices[0].message.content == text
    assert whole.choices[0].finish_reason == reason
    assert text_of(streamed) == text
    assert events(streamed)[-1].choices[0].finish_reason == reason
    assert whole.usage is not None
    assert whole.usage.completion_tokens == len(text)


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("응답", "hi의 "),
        (["내용", "응답"], "hi의 "),
        (["nowhere", " "], "hi의"),
        ("h", ""),
        ("", "hi의 응답 내용"),
        ([], "hi의 응답 내용"),
        (None, "hi의 응답 내용"),
    ],
)
def test_an_answer_is_cut_before_a_stop_sequence(stop: object, text: str) -> None:
    whole = completion(answer_to("hi", stop=stop))

    assert whole.choices[0].message.content == text
    assert whole.choices[0].finish_reason == "stop"
    assert text_of(answer_to("hi", stop=stop, stream=True)) == text


def test_a_limit_within_the_text_before_the_stop_sequence_wins() -> None:
    choice = completion(answer_to("hello", stop="응답", max_tokens=2)).choices[0]

    assert (choice.message.content, choice.finish_reason) == ("he", "length")


def test_a_stream_is_declared_as_events_that_nobody_caches() -> None:
    response = answer_to(stream=True)

    assert response.status == 200
    assert header(response.headers, b"content-type") == b"text/event-stream; charset=utf-8"
    assert header(response.headers, b"cache-control") == b"no-cache"


def test_a_stream_has_exactly_the_events_of_the_api() -> None:
    first, *characters, last = raw_events(answer_to("hi", model="gpt-4.1", stream=True))

    common = {"id": first["id"], "created": first["created"]}
    common |= {"object": "chat.completion.chunk", "model": "gpt-4.1"}

    def event(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**common, "choices": [choice]}

    assert first["id"].startswith("chatcmpl-")
    assert first == event({"role": "assistant", "content": ""})
    assert characters == [event({"content": character}) for character in "hi의 응답 내용"]
    assert last == event({}, "stop")


def test_a_stream_ends_with_done() -> None:
    assert chunks_of(answer_to(stream=True))[-1].endswith(b'"}]}\n\ndata: [DONE]\n\n')


@pytest.mark.parametrize("text", TEXTS)
def test_a_stream_says_what_the_whole_answer_says(text: str) -> None:
    whole = completion(answer_to(text)).choices[0].message.content

    assert whole == f"{text}의 응답 내용"
    assert text_of(answer_to(text, stream=True)) == whole


@given(texts)
def test_any_text_is_streamed_one_character_an_event(text: str) -> None:
    _, *characters, _ = events(answer_to(text, stream=True))

    assert [event.choices[0].delta.content for event in characters] == [*f"{text}의 응답 내용"]


@given(texts)
@example("\x85\u2028\u2029")
def test_an_event_is_one_line_to_every_client(text: str) -> None:
    body = b"".join(chunks_of(answer_to(text, stream=True))).decode()

    # str.splitlines recognises eleven line ends; SSE has three of them.
    lines = [line for line in body.splitlines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert len(lines) == len(text) + 7 + 3


@given(texts, st.integers(1, 5), st.lists(texts, max_size=4), st.integers(1, 40))
def test_a_stream_agrees_with_the_whole_answer_under_any_option(
    text: str, n: int, stop: list[str], limit: int
) -> None:
    options: dict[str, Any] = {"n": n, "stop": stop, "max_tokens": limit}
    whole = completion(answer_to(text, **options))
    streamed = answer_to(text, stream=True, stream_options={"include_usage": True}, **options)

    for choice in whole.choices:
        assert text_of(streamed, choice.index) == choice.message.content
        assert len(choice.message.content or "") <= limit
    assert events(streamed)[-1].usage == whole.usage


def test_a_stream_tells_usage_last_when_asked() -> None:
    streamed = raw_events(answer_to("hi", stream=True, stream_options={"include_usage": True}))

    assert [event["usage"] for event in streamed[:-1]] == [None] * 11
    assert streamed[-1]["choices"] == []
    assert streamed[-1]["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": 9,
        "total_tokens": 11,
    }


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}])
def test_a_stream_says_nothing_of_usage_unasked(options: object) -> None:
    assert all("usage" not in e for e in raw_events(answer_to(stream=True, stream_options=options)))


def test_a_stream_of_two_choices_interleaves_them() -> None:
    streamed = answer_to("hi", stream=True, n=2)

    assert [event.choices[0].index for event in events(streamed)] == [0, 1] * 11
    assert text_of(streamed, 0) == text_of(streamed, 1) == "hi의 응답 내용"
    assert [e.choices[0].finish_reason for e in events(streamed)[-2:]] == ["stop", "stop"]


def test_every_event_of_a_stream_has_the_same_id_and_time() -> None:
    assert len({(event.id, event.created) for event in events(answer_to(stream=True, n=2))}) == 1


@pytest.mark.parametrize("name", ['ends in a "', '"delta":{"content":""}\n\ndata: x'])
def test_a_model_name_cannot_break_an_event(name: str) -> None:
    assert {event.model for event in events(answer_to(stream=True, model=name))} == {name}
    assert text_of(answer_to("hi", stream=True, model=name)) == "hi의 응답 내용"


@pytest.mark.parametrize("n", [1, 3])
def test_a_long_stream_comes_in_chunks_of_whole_events(n: int) -> None:
    text = "가나다 abc\n" * 1000

    chunks = chunks_of(answer_to(text, stream=True, n=n))

    assert len(chunks) > 8 * n
    assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in chunks)
    assert max(map(len, chunks)) < 400_000
    assert text_of(answer_to(text, stream=True, n=n), n - 1) == f"{text}의 응답 내용"


def test_a_long_stream_gives_others_their_turn() -> None:
    async def turns() -> int:
        response = await Dummy().handle(LONG_STREAM)
        taken = 0

        async def other() -> None:
            nonlocal taken
            while True:
                taken += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        assert not isinstance(response.body, bytes)
        async for _ in response.body:
            pass
        task.cancel()
        return taken

    assert asyncio.run(turns()) >= 20


def test_a_long_stream_can_be_closed_before_its_end() -> None:
    async def leave() -> bool:
        response = await Dummy().handle(LONG_STREAM)
        assert inspect.isasyncgen(response.body)
        await anext(response.body)
        await response.body.aclose()
        return [chunk async for chunk in response.body] == []

    assert asyncio.run(leave())


def test_a_stream_serialises_a_repeated_character_once() -> None:
    events = list(frames(b"<", b">", "가나" * 500))
    assert events[:2] == ['<"가">'.encode(), '<"나">'.encode()]
    assert len({id(event) for event in events}) == 2


def test_five_megabytes_are_quoted_whole() -> None:
    prompt = '가나다 "abc"\n' * 350_000

    answer = completion(answer_to(prompt))

    assert answer.choices[0].message.content == f"{prompt}의 응답 내용"


@pytest.mark.parametrize(
    "path", ["/openai/v1/chat/completions", "/openai/deployments/my%20gpt/chat/completions"]
)
def test_azure_paths_are_answered(path: str) -> None:
    answer = completion(answer_to("hi", path=path))

    assert answer.model == "gpt-4o"
    assert answer.choices[0].message.content == "hi의 응답 내용"


@pytest.mark.parametrize("model", [{}, {"model": None}, {"model": ""}])
def test_a_deployment_stands_for_a_missing_model(model: dict[str, object]) -> None:
    body = orjson.dumps({"messages": [{"role": "user", "content": "hi"}], **model})

    response = ask("POST", "/openai/deployments/my%20gpt/chat/completions", body)

    assert completion(response).model == "my gpt"


def test_the_models_are_listed() -> None:
    response = ask("GET", "/v1/models")

    assert isinstance(response.body, bytes)
    assert header(response.headers, b"content-type") == b"application/json"
    assert response.provenance is not None
    assert response.provenance.source is Source.DUMMY
    assert header(response.headers, b"content-length") == str(len(response.body)).encode()
    body = json.loads(response.body)
    assert body["object"] == "list"
    models = [Model.model_validate(model, strict=True) for model in body["data"]]
    assert "gpt-4o" in [model.id for model in models]


@pytest.mark.parametrize(
    ("path", "name"),
    [("gpt-4o", "gpt-4o"), ("ft%3Agpt%3Aacme", "ft:gpt:acme"), ("org/name", "org/name")],
)
def test_a_model_of_any_name_is_there(path: str, name: str) -> None:
    response = ask("GET", f"/v1/models/{path}")

    assert isinstance(response.body, bytes)
    assert Model.model_validate(json.loads(response.body), strict=True).id == name


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/images/generations"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/v1/chat/completions/x"),
        ("POST", "/x/v1/chat/completions"),
        ("POST", "/chat/completions"),
        ("POST", "/openai/deployments//chat/completions"),
        ("GET", CHAT),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/gpt-4o"),
        ("GET", "/v1/models/"),
    ],
)
def test_any_other_endpoint_is_refused_and_what_exists_is_named(method: str, path: str) -> None:
    with pytest.raises(NotImplementedByDummy) as refused:
        ask(method, path, b"{}")

    assert f"{method} {path}" in refused.value.message
    assert "POST /v1/chat/completions, GET /v1/models" in refused.value.message


def test_every_endpoint_of_the_table_is_named_in_a_refusal() -> None:
    with pytest.raises(NotImplementedByDummy) as refused:
        ask("PUT", "/v1/nothing")

    for endpoint in ENDPOINTS:
        assert f"{endpoint.method} /v1{endpoint.path}" in refused.value.message


@pytest.mark.parametrize("path", ["/openai/responses", "/openai/v1/responses", "/v1/responses"])
def test_azures_dated_api_has_responses_and_models(path: str) -> None:
    answer = ask("POST", path, orjson.dumps({"model": "m", "input": "hi"}))
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body)["output"][0]["content"][0]["text"] == "hi의 응답 내용"
    models = path.replace("responses", "models")
    listed, one = (ask("GET", each).body for each in (models, f"{models}/org/name"))
    assert isinstance(listed, bytes)
    assert isinstance(one, bytes)
    assert {each["id"] for each in json.loads(listed)["data"]} >= {"gpt-4o"}
    assert Model.model_validate_json(one).id == "org/name"


@pytest.mark.parametrize("path", ["/openai/chat/completions", "/openai/embeddings", "/openai/x"])
def test_azures_dated_api_has_nothing_else_without_a_deployment(path: str) -> None:
    with pytest.raises(NotImplementedByDummy):
        ask("POST", path, b"{}")


def test_every_answer_has_a_request_id_and_a_processing_time() -> None:
    answers = [
        answer_to(),
        answer_to(stream=True),
        answer_to("other"),
        ask("GET", "/v1/models"),
        ask("POST", "/v1/embeddings", b'{"model":"m","input":"hi"}'),
    ]
    ids = [header(answer.headers, b"x-request-id") for answer in answers]
    assert len(set(ids)) == len(ids)
    assert all(each is not None and each.startswith(b"req_") for each in ids)
    assert header(answer_to().headers, b"x-request-id") == ids[0], "the same request, the same id"
    assert {header(answer.headers, b"openai-processing-ms") for answer in answers} == {b"0"}
