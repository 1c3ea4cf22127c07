"""openai-python through the proxy: only ``OPENAI_BASE_URL`` says that there is one.

Each scenario is written once and runs with both clients, ``OpenAI`` and ``AsyncOpenAI``.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.support.clients import (
    COUNT,
    EMBEDDED,
    EMBEDDED_AS_FLOATS,
    HI,
    LUCKY,
    NOUN,
    PARIS,
    REFUSED,
    SPEECH,
    SPOKEN,
    TRAINING,
    UNKNOWN,
    WEATHER,
    WEATHER_TOOL,
    Outcome,
    Runs,
    dummy,
    end_to_end,
    essence,
    outcomes,
    requests_seen,
    three_runs,
)

Client = Any  # OpenAI | AsyncOpenAI: the same names, awaited or not
CLIENTS: dict[str, Callable[[], Any]] = {"sync": OpenAI, "async": AsyncOpenAI}

Scenario = Callable[[Client], Coroutine[Any, Any, Outcome]]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def dumped(model: BaseModel) -> dict[str, Any]:
    """Everything in it; pydantic warns of the SDK's own generic models."""
    return model.model_dump(warnings=False)


async def value(given: Any) -> Any:
    """What a method of either client returns."""
    return await given if inspect.isawaitable(given) else given


async def each(stream: Any) -> AsyncIterator[Any]:
    """The items of either client's stream, which is closed behind the last."""
    if hasattr(stream, "__aiter__"):
        async with stream:
            async for item in stream:
                yield item
    else:
        with stream:
            for item in stream:
                yield item


@asynccontextmanager
async def entered(manager: Any) -> AsyncIterator[Any]:
    """The value of either client's context manager."""
    if hasattr(manager, "__aenter__"):
        async with manager as it:
            yield it
    else:
        with manager as it:
            yield it


# --- the scenarios ------------------------------------------------------------------------------


class LuckyNumber(BaseModel):
    output: int


async def chat(client: Client) -> Outcome:
    answer = await value(
        client.chat.completions.create(model="gpt-4.1-nano", messages=user(NOUN), temperature=0.5)
    )
    return dumped(answer)


async def chat_stream(client: Client) -> Outcome:
    stream = await value(
        client.chat.completions.create(
            model="gpt-5-mini",
            messages=user(HI),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    return [dumped(chunk) async for chunk in each(stream)]


async def chat_stream_helper(client: Client) -> Outcome:
    async with entered(
        client.chat.completions.stream(model="gpt-5-mini", messages=user(HI))
    ) as stream:
        events = [event.type async for event in each(stream)]
        whole = await value(stream.get_final_completion())
    return [events, dumped(whole)]


async def tools(client: Client) -> Outcome:
    answer = await value(
        client.chat.completions.create(
            model="gpt-3.5-turbo", messages=user(WEATHER), tools=[WEATHER_TOOL]
        )
    )
    return dumped(answer)


async def tools_stream(client: Client) -> Outcome:
    stream = await value(
        client.chat.completions.create(
            model="gpt-3.5-turbo", messages=user(WEATHER), tools=[WEATHER_TOOL], stream=True
        )
    )
    return [dumped(chunk) async for chunk in each(stream)]


async def parse(client: Client) -> Outcome:
    answer = await value(
        client.chat.completions.parse(
            model="gpt-4o", messages=user(LUCKY), response_format=LuckyNumber
        )
    )
    assert isinstance(answer.choices[0].message.parsed, LuckyNumber)
    return dumped(answer)


async def with_raw_response(client: Client) -> Outcome:
    raw = await value(
        client.chat.completions.with_raw_response.create(model="gpt-4.1-nano", messages=user(NOUN))
    )
    parsed = await value(raw.parse())
    return [
        raw.http_response.status_code,
        end_to_end(raw.headers.raw),
        raw.http_response.content,
        raw.request_id,
        dumped(parsed),
    ]


async def embeddings(client: Client) -> Outcome:
    answer = await value(client.embeddings.create(model="text-embedding-ada-002", input=EMBEDDED))
    vector = answer.data[0].embedding
    assert len(vector) == 1536
    assert all(isinstance(number, float) for number in vector)
    return dumped(answer)


async def embeddings_as_floats(client: Client) -> Outcome:
    answer = await value(
        client.embeddings.create(
            model="text-embedding-3-small", input=[EMBEDDED_AS_FLOATS], encoding_format="float"
        )
    )
    return dumped(answer)


async def responses(client: Client) -> Outcome:
    answer = await value(client.responses.create(model="gpt-4.1-nano", input=PARIS))
    return [answer.output_text, dumped(answer)]


async def responses_stream(client: Client) -> Outcome:
    async with entered(client.responses.stream(model="gpt-4o", input=COUNT)) as stream:
        events = [dumped(event) async for event in each(stream)]
        whole = await value(stream.get_final_response())
    return [events, dumped(whole)]


async def models(client: Client) -> Outcome:
    page = await value(client.models.list())
    return [dumped(model) for model in page.data]


async def upload(client: Client) -> Outcome:
    answer = await value(
        client.files.create(file=("fine-tune.jsonl", TRAINING), purpose="fine-tune")
    )
    return dumped(answer)


async def speech(client: Client) -> Outcome:
    answer = await value(
        client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input=SPOKEN)
    )
    assert answer.content == SPEECH
    return answer.content


async def speech_stream(client: Client) -> Outcome:
    manager = client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input=SPOKEN, response_format="mp3"
    )
    async with entered(manager) as answer:
        pieces = answer.iter_bytes()
        if hasattr(pieces, "__aiter__"):
            return b"".join([piece async for piece in pieces])
        return b"".join(pieces)


async def refused(client: Client) -> Outcome:
    with pytest.raises(openai.BadRequestError) as caught:
        await value(
            client.chat.completions.create(model="gpt-5-mini", messages=user(REFUSED), stop="42")
        )
    error = caught.value
    return [error.status_code, error.message, error.body, error.code, error.param, error.type]


#: Each with a text that its outcome has to hold: that of the recorded answer.
SCENARIOS: dict[Scenario, str] = {
    chat: "나무",
    chat_stream: "'content': ' —'",
    chat_stream_helper: "content.done",
    tools: r"""'{"location":"San Francisco"}'""",
    tools_stream: "call_EeTNusLwnYeAZxp9l40v9XvU",
    parse: "'parsed': {'output': 7}",
    with_raw_response: "나무",
    embeddings: "-0.016099",
    embeddings_as_floats: "-0.0039325873",
    responses: "The capital of France is Paris.",
    responses_stream: "response.completed",
    models: "gpt-4o-realtime-preview-2025-06-03",
    upload: "file-NKNSLyUfXnKGnNT9jEUD8u",
    speech: "data: [DONE]",
    speech_stream: "data: [DONE]",
    refused: "unsupported_parameter",
}


async def with_client(
    kind: Callable[[], Any], scenarios: Mapping[str, Scenario]
) -> dict[str, Outcome]:
    """The scenarios' outcomes with one client, made as an application makes it."""
    async with entered(kind()) as client:
        return await outcomes({name: partial(it, client) for name, it in scenarios.items()})


def run() -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for which, kind in CLIENTS.items():
        scenarios = {f"{scenario.__name__} {which}": scenario for scenario in SCENARIOS}
        found |= asyncio.run(with_client(kind, scenarios))
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return three_runs(tmp_path_factory.mktemp("openai"), run)


# --- the tests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("which", CLIENTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_replay_is_what_the_api_answered(scenario: Scenario, which: str, runs: Runs) -> None:
    runs.check(f"{scenario.__name__} {which}", says=SCENARIOS[scenario])


def test_the_api_gets_each_request_as_the_sdk_sent_it(runs: Runs) -> None:
    assert len(runs.asked_directly) == len(SCENARIOS) * len(CLIENTS)
    assert essence(runs.asked_while_recording) == essence(runs.asked_directly)


async def miss(client: Client, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await value(
            client.chat.completions.create(
                model="gpt-4.1-nano",
                messages=user(UNKNOWN),
                stream=stream,
                extra_query={"asked-by": f"{type(client).__name__}-{stream}"},
            )
        )
    error = caught.value
    assert error.type == "cassette_miss"
    assert error.code == "no_match"
    assert isinstance(error.body, dict)
    assert error.body["type"] == "cassette_miss"


def test_a_miss_is_not_found_at_the_cost_of_one_request(runs: Runs) -> None:
    async def ask(kind: Callable[[], Any]) -> None:
        async with entered(kind()) as client:
            assert client.max_retries == openai.DEFAULT_MAX_RETRIES > 0
            await miss(client, stream=False)
            await miss(client, stream=True)

    with runs.replaying("--access-log") as proxy:
        for kind in CLIENTS.values():
            asyncio.run(ask(kind))
    assert requests_seen(proxy) == {
        "POST /v1/chat/completions?asked-by=OpenAI-False": 1,
        "POST /v1/chat/completions?asked-by=OpenAI-True": 1,
        "POST /v1/chat/completions?asked-by=AsyncOpenAI-False": 1,
        "POST /v1/chat/completions?asked-by=AsyncOpenAI-True": 1,
    }


def test_both_clients_read_the_dummy_whole_and_streamed(tmp_path: Path) -> None:
    async def ask(kind: Callable[[], Any]) -> None:
        async with entered(kind()) as client:
            create = partial(
                client.chat.completions.create, model="gpt-4o", messages=user("안녕하세요")
            )
            answer = await value(create())
            assert answer.choices[0].message.content == "안녕하세요의 응답 내용"
            chunks = [chunk async for chunk in each(await value(create(stream=True)))]
            texts = [choice.delta.content for chunk in chunks for choice in chunk.choices]
            assert [text for text in texts if text] == list("안녕하세요의 응답 내용")
            assert chunks[-1].choices[0].finish_reason == "stop"

    with dummy(tmp_path):
        for kind in CLIENTS.values():
            asyncio.run(ask(kind))
