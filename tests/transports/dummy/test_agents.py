"""Agents run on the dummy over real sockets: their loops call each tool once, and end."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, RunConfig, Runner

from agents import ModelSettings, function_tool  # isort: skip
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, Field

from tests.support.clients import dummy
from tests.support.servers import Proxy

PROMPT = "What is it like outside? Use get_weather and then get time."


class Forecast(BaseModel):
    """A forecast."""

    city: str
    degrees: int = Field(ge=-40, le=50)
    hours: list["Forecast"] = Field(default_factory=list)


class Hour(BaseModel):
    """One hour."""

    at: Literal["noon", "midnight"]
    degrees: float | None


class Report(BaseModel):
    """A report. LangChain has no recursive models."""

    city: str
    hours: list[Hour] = Field(min_length=2)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with dummy(tmp_path_factory.mktemp("agents")) as running:
        yield running


@pytest.fixture
def called() -> list[str]:
    """The names of the tools that were called, in order."""
    return []


def schemas() -> list[dict[str, Any]]:
    """Two tools in the form of chat completions."""
    city = {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}
    parameters = {"type": "object", "properties": city, "required": ["city", "days"]}
    return [
        {"type": "function", "function": {"name": name, "parameters": parameters}}
        for name in ("get_weather", "get_time")
    ]


@pytest.mark.parametrize("choice", ["auto", "required"])
@pytest.mark.parametrize("parallel", [True, False])
def test_a_loop_over_chat_completions_ends(proxy: Proxy, choice: Any, parallel: bool) -> None:
    client, called = OpenAI(), []
    messages: list[Any] = [{"role": "user", "content": PROMPT}]
    for _ in range(10):
        choices = client.chat.completions.create(
            model="gpt-4o",
            messages=messages,
            tools=schemas(),  # type: ignore[arg-type]
            tool_choice=choice,
            parallel_tool_calls=parallel,
        ).choices
        calls = choices[0].message.tool_calls
        if not calls:
            break
        assert choices[0].finish_reason == "tool_calls"
        assert parallel or len(calls) == 1
        messages.append(choices[0].message)
        for call in calls:
            assert call.type == "function"
            called.append(call.function.name)
            assert json.loads(call.function.arguments)["days"] >= 1
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})

    assert called == ["get_weather", "get_time"]
    assert choices[0].message.content == f"{PROMPT}의 응답 내용"


@pytest.mark.parametrize("keeps", [True, False])
def test_a_loop_over_responses_ends(proxy: Proxy, keeps: bool) -> None:
    client, called = OpenAI(), []
    tools: Any = [{"type": "function", **each["function"]} for each in schemas()]
    items: list[Any] = [{"role": "user", "content": PROMPT}]
    previous: str | None = None
    for _ in range(10):
        answer = client.responses.create(
            model="gpt-5",
            input=items,
            tools=tools,
            tool_choice="required",
            previous_response_id=previous,
        )
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            break
        items = [] if keeps else items + answer.output
        previous = answer.id if keeps else None
        for call in calls:
            called.append(call.name)
            items.append(
                {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
            )

    assert called == ["get_weather", "get_time"]
    assert answer.output_text.endswith("의 응답 내용")


def test_legacy_functions_end_too(proxy: Proxy) -> None:
    client, functions = OpenAI(), [each["function"] for each in schemas()]
    messages: list[Any] = [{"role": "user", "content": PROMPT}]
    called = []
    for _ in range(10):
        choice = client.chat.completions.create(
            model="gpt-4",
            messages=messages,
            functions=functions,
        ).choices[0]
        if choice.message.function_call is None:
            break
        assert choice.finish_reason == "function_call"
        name = choice.message.function_call.name
        called.append(name)
        messages += [choice.message, {"role": "function", "name": name, "content": "sunny"}]

    assert called == ["get_weather", "get_time"]


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
def test_an_agent_of_langchain_ends(
    proxy: Proxy, called: list[str], responses: bool, streaming: bool
) -> None:
    @tool
    def get_weather(city: str) -> str:
        """Tell the weather."""
        called.append("get_weather")
        return "sunny"

    @tool
    def get_time(zone: str) -> str:
        """Tell the time."""
        called.append("get_time")
        return "noon"

    model = ChatOpenAI(
        model="gpt-4o", streaming=streaming, use_responses_api=responses, stream_usage=True
    )
    agent: Any = create_agent(model, [get_weather, get_time])
    done = agent.invoke({"messages": [("user", PROMPT)]})

    assert sorted(called) == ["get_time", "get_weather"]
    assert done["messages"][-1].text == f"{PROMPT}의 응답 내용"
    assert done["messages"][-1].usage_metadata["output_tokens"] == len(PROMPT) + 7


@pytest.mark.parametrize("strategy", [ProviderStrategy, ToolStrategy])
def test_an_agent_of_langchain_gets_its_structured_answer(
    proxy: Proxy, called: list[str], strategy: Any
) -> None:
    @tool
    def get_weather(city: str) -> str:
        """Tell the weather."""
        called.append("get_weather")
        return "sunny"

    agent: Any = create_agent(
        ChatOpenAI(model="gpt-4o"), [get_weather], response_format=strategy(Report)
    )
    done = agent.invoke({"messages": [("user", "get_weather")]})

    assert isinstance(done["structured_response"], Report)
    assert called == ["get_weather"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output_of_langchain_is_parsed(proxy: Proxy, method: Any) -> None:
    model = ChatOpenAI(model="gpt-4o").with_structured_output(
        Report if method != "json_mode" else None, method=method
    )

    answer = model.invoke("the weather as JSON")

    assert isinstance(answer, dict if method == "json_mode" else Report)


@pytest.mark.parametrize("kind", [OpenAIChatCompletionsModel, OpenAIResponsesModel])
@pytest.mark.parametrize("streamed", [False, True])
def test_an_agent_of_openai_ends(
    proxy: Proxy, called: list[str], kind: Any, streamed: bool
) -> None:
    @function_tool
    def get_weather(city: str) -> str:
        """Tell the weather."""
        called.append("get_weather")
        return "sunny"

    async def run() -> object:
        async with AsyncOpenAI() as client:
            agent = Agent(
                name="Reporter",
                tools=[get_weather],
                output_type=Forecast,
                model=kind("gpt-4o", openai_client=client),
                model_settings=ModelSettings(tool_choice="required"),
                reset_tool_choice=False,
            )
            config = RunConfig(tracing_disabled=True)
            if not streamed:
                return (await Runner.run(agent, "the weather", run_config=config)).final_output
            result = Runner.run_streamed(agent, "the weather", run_config=config)
            async for _ in result.stream_events():
                pass
            return result.final_output

    assert isinstance(asyncio.run(run()), Forecast)
    assert called == ["get_weather"]


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_the_sdk_parses_a_model_of_pydantic(proxy: Proxy, api: str) -> None:
    client = OpenAI()
    if api == "chat":
        parsed = (
            client.chat.completions.parse(
                model="gpt-4o",
                messages=[{"role": "user", "content": "hi"}],
                response_format=Forecast,
            )
            .choices[0]
            .message.parsed
        )
    else:
        parsed = client.responses.parse(
            model="gpt-4o", input="hi", text_format=Forecast
        ).output_parsed

    assert isinstance(parsed, Forecast)


def test_embeddings_of_langchain_are_alike_for_equal_texts(proxy: Proxy) -> None:
    # It counts tokens with a tokenizer that it would have to download otherwise.
    embeddings = OpenAIEmbeddings(check_embedding_ctx_length=False)

    one, other, again = embeddings.embed_documents(["가", "나", "가"])

    assert one == again != other
    assert embeddings.embed_query("가") == pytest.approx(one)
