"""LangChain through the proxy: only ``OPENAI_BASE_URL`` says that there is one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import BaseMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.support.clients import (
    HI,
    LUCKY,
    NOUN,
    UNKNOWN,
    WEATHER,
    Outcome,
    Runs,
    dummy,
    essence,
    outcomes,
    requests_seen,
    three_runs,
)


class LuckyNumber(BaseModel):
    """A number that brings luck."""

    output: int


@tool
def get_current_weather(location: str) -> str:
    """Get the current weather."""
    return f"sunny in {location}"


def dumped(message: BaseMessage) -> dict[str, Any]:
    """A message without the id that LangChain makes up for each run."""
    return {name: it for name, it in message.model_dump().items() if name != "id"}


# --- the scenarios ------------------------------------------------------------------------------


async def invoke(model: ChatOpenAI) -> Outcome:
    return dumped(model.invoke(NOUN))


async def ainvoke(model: ChatOpenAI) -> Outcome:
    return dumped(await model.ainvoke(NOUN))


async def stream(model: ChatOpenAI) -> Outcome:
    return [dumped(chunk) for chunk in model.stream(HI)]


async def astream(model: ChatOpenAI) -> Outcome:
    return [dumped(chunk) async for chunk in model.astream(HI)]


async def bind_tools(model: ChatOpenAI) -> Outcome:
    answer = model.bind_tools([get_current_weather]).invoke(WEATHER)
    assert get_current_weather.invoke(answer.tool_calls[0]).content == "sunny in San Francisco"
    return dumped(answer)


async def bind_tools_stream(model: ChatOpenAI) -> Outcome:
    chunks = [chunk async for chunk in model.bind_tools([get_current_weather]).astream(WEATHER)]
    return [dumped(chunk) for chunk in chunks]


async def with_structured_output(model: ChatOpenAI) -> Outcome:
    number = model.with_structured_output(LuckyNumber).invoke(LUCKY)
    assert isinstance(number, LuckyNumber)
    return dict(number)


#: Each with a text that its outcome has to hold: that of the recorded answer.
SCENARIOS: dict[Callable[[ChatOpenAI], Coroutine[Any, Any, Outcome]], str] = {
    invoke: "나무",
    ainvoke: "나무",
    stream: "'content': ' —'",
    astream: "'content': ' —'",
    bind_tools: "call_NnblzAO7oa78mQTzjUYLcouN",
    bind_tools_stream: "call_EeTNusLwnYeAZxp9l40v9XvU",
    with_structured_output: "'output': 7",
}


@asynccontextmanager
async def chat_model() -> AsyncIterator[ChatOpenAI]:
    """A model as an application makes one, with connections that can be closed.

    LangChain's own are shared by all models of a process and live as long as it does.
    """
    with openai.DefaultHttpxClient() as http:
        async with openai.DefaultAsyncHttpxClient() as async_http:
            yield ChatOpenAI(model="gpt-4.1-nano", http_client=http, http_async_client=async_http)


async def all_scenarios() -> dict[str, Outcome]:
    async with chat_model() as model:
        return await outcomes({it.__name__: partial(it, model) for it in SCENARIOS})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return three_runs(tmp_path_factory.mktemp("langchain"), lambda: asyncio.run(all_scenarios()))


# --- the tests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_replay_is_what_the_api_answered(
    scenario: Callable[[ChatOpenAI], Coroutine[Any, Any, Outcome]], runs: Runs
) -> None:
    runs.check(scenario.__name__, says=SCENARIOS[scenario])


def test_the_api_gets_each_request_as_langchain_sent_it(runs: Runs) -> None:
    assert len(runs.asked_directly) == len(SCENARIOS)
    assert essence(runs.asked_while_recording) == essence(runs.asked_directly)


def test_a_miss_costs_langchain_one_request(runs: Runs) -> None:
    async def ask() -> None:
        async with chat_model() as model:
            with pytest.raises(openai.NotFoundError, match="No recording answers POST"):
                model.invoke(UNKNOWN)
            with pytest.raises(openai.NotFoundError, match="No recording answers POST"):
                await model.ainvoke(UNKNOWN)

    with runs.replaying("--access-log") as proxy:
        asyncio.run(ask())
    assert requests_seen(proxy) == {"POST /v1/chat/completions": 2}


def test_langchain_reads_the_dummy_whole_and_streamed(tmp_path: Path) -> None:
    async def ask() -> None:
        async with chat_model() as model:
            assert model.invoke("안녕하세요").content == "안녕하세요의 응답 내용"
            expected = list("안녕하세요의 응답 내용")
            texts = [chunk.content for chunk in model.stream("안녕하세요")]
            assert [text for text in texts if text] == expected
            texts = [chunk.content async for chunk in model.astream("안녕하세요")]
            assert [text for text in texts if text] == expected

    with dummy(tmp_path):
        asyncio.run(ask())
