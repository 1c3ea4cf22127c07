"""Calls of tools, ends of answers, and counts of tokens."""

import json
from itertools import chain
from typing import Any

import pytest

from replay_proxy.transports.dummy import Content
from tests.support.in_process import InProcess, client

ANY = {"type": "object"}


def functions(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name, "parameters": ANY}} for name in names]


def posted(path: str, body: dict[str, Any], content: Content | None = None) -> dict[str, Any]:
    transport = InProcess(content)
    client(transport).post(path, body={"model": "gpt-4o", **body}, cast_to=object)
    answer: dict[str, Any] = json.loads(transport.body)
    return answer


def chat(prompt: str, content: Content | None = None, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return posted("/chat/completions", {"messages": messages, **fields}, content)


def called(answer: dict[str, Any]) -> list[str]:
    """The names of the tools that the first choice calls, in either form."""
    if "output" in answer:
        return [item["name"] for item in answer["output"] if item["type"].endswith("_call")]
    calls = answer["choices"][0]["message"].get("tool_calls", ())
    return [call[call["type"]]["name"] for call in calls]


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("hi", []),
        ("get_weather", ["get_weather"]),
        ("please Get Weather now", ["get_weather"]),
        ("get-weather?", ["get_weather"]),
        ("get_weather를 불러줘", ["get_weather"]),
        ("forget_weather", []),
        ("get_weathers", []),
        ("search, then get_weather", ["get_weather", "search"]),
    ],
)
def test_a_prompt_calls_the_tools_that_it_names(prompt: str, names: list[str]) -> None:
    tools = functions("get_weather", "search")

    assert called(chat(prompt, tools=tools)) == names
    flat = [{"type": "function", **each["function"]} for each in tools]
    assert called(posted("/responses", {"input": prompt, "tools": flat})) == names


@pytest.mark.parametrize(
    ("prompt", "choice", "names", "reason"),
    [
        ("b", "none", [], "stop"),
        ("b", "auto", ["b"], "tool_calls"),
        ("hi", "required", ["a"], "tool_calls"),
        ("b", "required", ["b"], "tool_calls"),
        # The API ends a call that was the only choice as it ends a text.
        ("hi", {"type": "function", "function": {"name": "b"}}, ["b"], "stop"),
        ("hi", {"type": "custom", "custom": {"name": "c"}}, ["c"], "stop"),
        ("hi", ("required", "b"), ["b"], "tool_calls"),
        ("a", ("auto", "b"), [], "stop"),
        ("b", ("auto", "b"), ["b"], "tool_calls"),
    ],
)
def test_a_choice_is_heeded(prompt: str, choice: Any, names: list[str], reason: str) -> None:
    if isinstance(choice, tuple):
        allowed = {"mode": choice[0], "tools": functions(choice[1])}
        choice = {"type": "allowed_tools", "allowed_tools": allowed}
    tools = [*functions("a", "b"), {"type": "custom", "custom": {"name": "c"}}]

    answer = chat(prompt, tools=tools, tool_choice=choice)

    assert called(answer) == names
    assert answer["choices"][0]["finish_reason"] == reason
    assert (answer["choices"][0]["message"]["content"] is None) == bool(names)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"type": "function", "name": "b"}, ["b"]),
        ({"type": "custom", "name": "c"}, ["c"]),
        ({"type": "allowed_tools", "mode": "required",
          "tools": [{"type": "function", "name": "b"}]}, ["b"]),
        ({"type": "web_search"}, []),
    ],
)  # fmt: skip
def test_a_choice_of_responses_is_heeded(choice: Any, names: list[str]) -> None:
    tools = [{"type": "function", "name": name, "parameters": ANY} for name in ("a", "b")]
    tools += [{"type": "custom", "name": "c"}, {"type": "web_search"}]

    assert called(posted("/responses", {"input": "x", "tools": tools, "tool_choice": choice})) == (
        names
    )


def test_ids_of_calls_differ_between_choices_and_calls() -> None:
    for content in (Content(), Content(seed=1)):
        answer = chat("a and b", content, tools=functions("a", "b"), n=3)
        ids = [call["id"] for each in answer["choices"] for call in each["message"]["tool_calls"]]
        assert len(set(ids)) == 6


def test_arguments_count_and_are_cut_like_a_text() -> None:
    whole = chat("a and b", tools=functions("a", "b"))
    cut = chat("a and b", tools=functions("a", "b"), max_tokens=3)

    arguments = [
        call["function"]["arguments"] for call in whole["choices"][0]["message"]["tool_calls"]
    ]
    assert arguments == ["{}", "{}"]
    assert whole["usage"]["completion_tokens"] == 4
    choice = cut["choices"][0]
    assert [call["function"]["arguments"] for call in choice["message"]["tool_calls"]] == [
        "{}",
        "{",
    ]
    assert (choice["finish_reason"], cut["usage"]["completion_tokens"]) == ("length", 3)
    one = chat("a and b", tools=functions("a", "b"), max_tokens=2)["choices"][0]
    assert (len(one["message"]["tool_calls"]), one["finish_reason"]) == (1, "length")


@pytest.mark.parametrize(
    ("model", "effort", "limit", "thought"),
    [
        ("gpt-4o", None, None, None),
        ("gpt-4o", "low", None, 64),
        ("gpt-5-chat-latest", None, None, None),
        ("gpt-5-mini", None, None, 256),
        ("o3", "high", None, 1024),
        ("openai/o1", "xhigh", None, 4096),
        ("o4-mini", "minimal", None, 0),
        ("gpt-5", "none", None, 0),
        ("gpt-5", "high", 30, 30 - len("hi의 응답 내용")),
        ("gpt-5", "high", 16, 16 - len("hi의 응답 내용")),
    ],
)
def test_a_reasoning_model_tells_its_thoughts(
    model: str, effort: str | None, limit: int | None, thought: int | None
) -> None:
    spent = len("hi의 응답 내용") + (thought or 0)
    limits: dict[str, Any] = {} if limit is None else {"max_completion_tokens": limit}
    efforts: dict[str, Any] = {} if effort is None else {"reasoning_effort": effort}
    usage = chat("hi", model=model, **limits, **efforts)["usage"]
    assert usage["completion_tokens"] == spent
    assert usage["total_tokens"] == spent + 2
    details = usage.get("completion_tokens_details", {})
    assert details.get("reasoning_tokens") == thought

    fields: dict[str, Any] = {"input": "hi", "model": model}
    fields |= {} if limit is None else {"max_output_tokens": limit}
    fields |= {} if effort is None else {"reasoning": {"effort": effort}}
    answer = posted("/responses", fields)
    assert answer["usage"]["output_tokens"] == spent
    assert answer["usage"]["output_tokens_details"] == {"reasoning_tokens": thought or 0}
    kinds = [item["type"] for item in answer["output"]]
    assert kinds == (["reasoning", "message"] if thought else ["message"])


def test_the_thoughts_of_every_choice_count() -> None:
    usage = chat("hi", model="o3", n=2)["usage"]

    assert usage["completion_tokens"] == 2 * (9 + 256)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2 * 256


@pytest.mark.parametrize(
    ("asked", "served"),
    [("auto", "default"), ("default", "default"), ("flex", "flex"), ("priority", "priority")],
)
def test_the_tier_that_serves_is_told(asked: str, served: str) -> None:
    assert chat("hi", service_tier=asked)["service_tier"] == served
    assert posted("/responses", {"input": "a", "service_tier": asked})["service_tier"] == served


def test_responses_that_are_cut_are_incomplete() -> None:
    answer = posted("/responses", {"input": "x" * 20, "max_output_tokens": 16})

    assert answer["status"] == answer["output"][0]["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    assert answer["output"][0]["content"][0]["text"] == "x" * 16


@pytest.mark.parametrize("top", [0, 1, 5, 20])
def test_log_probabilities_are_those_of_each_token(top: int) -> None:
    answer = chat("hi", Content(unit="word"), logprobs=True, top_logprobs=top)

    told = answer["choices"][0]["logprobs"]
    assert told["refusal"] is None
    assert [each["token"] for each in told["content"]] == ["hi의", " 응답", " 내용"]
    for each in told["content"]:
        assert bytes(each["bytes"]).decode() == each["token"]
        likely = each["top_logprobs"]
        assert len({other["token"] for other in likely}) == len(likely) == top
        assert likely == sorted(likely, key=lambda other: -other["logprob"])
        assert each["logprob"] <= 0
        assert not top or likely[0]["token"] == each["token"]


def test_log_probabilities_of_completions_tell_where_a_token_begins() -> None:
    body = {"prompt": "a b", "logprobs": 2, "echo": True, "model": "m"}
    transport = InProcess(Content(unit="word"))
    client(transport).post("/completions", body=body, cast_to=object)
    whole = json.loads(transport.body)["choices"][0]
    client(transport).post("/completions", body={**body, "stream": True}, cast_to=object)
    events = [json.loads(event[6:]) for event in transport.body.decode().split("\n\n")[:-2]]
    told = [logprobs for event in events if (logprobs := event["choices"][0]["logprobs"])]

    assert whole["text"] == "a ba b의 응답 내용"
    assert whole["logprobs"]["tokens"] == ["a", " b", "a", " b의", " 응답", " 내용"]
    assert whole["logprobs"]["text_offset"] == [0, 1, 3, 4, 7, 10]
    for field in ("tokens", "text_offset", "token_logprobs", "top_logprobs"):
        assert list(chain.from_iterable(each[field] for each in told)) == whole["logprobs"][field]


def test_json_that_is_asked_for_is_an_object() -> None:
    text = chat("hi", response_format={"type": "json_object"})["choices"][0]["message"]["content"]

    assert isinstance(json.loads(text), dict)
