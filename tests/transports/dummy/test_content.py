"""The settings for the dummy's texts: which words, how many, in which pieces."""

import json
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.errors import ConfigurationError
from replay_proxy.settings import Settings
from replay_proxy.transports.dummy import Content
from replay_proxy.transports.dummy.sayings.lorem import sentences
from replay_proxy.transports.dummy.sayings.units import pieces, unit_count
from tests.support.in_process import InProcess, client
from tests.support.servers import Proxy

WORD_MAP = {"type": "object", "additionalProperties": {"type": ["string", "null"]}}
CONVERSATION = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": "세계 안녕"},
]


def content(**fields: Any) -> Content:
    return Content.of(Settings(**{f"dummy_{name}": value for name, value in fields.items()}))


def asked(content: Content, **fields: Any) -> dict[str, Any]:
    transport = InProcess(content)
    body = {"model": "gpt-4o", "messages": CONVERSATION, **fields}
    client(transport).post("/chat/completions", body=body, cast_to=object)
    answer: dict[str, Any] = json.loads(transport.body)
    return answer


def text(content: Content, **fields: Any) -> str:
    return str(asked(content, **fields)["choices"][0]["message"]["content"])


def tokens(content: Content, **fields: Any) -> list[str]:
    """The text of each event of a stream."""
    transport = InProcess(content)
    body = {"model": "gpt-4o", "messages": CONVERSATION, "stream": True, **fields}
    client(transport).post("/chat/completions", body=body, cast_to=object)
    events = [json.loads(event[6:]) for event in transport.body.decode().split("\n\n")[1:-2]]
    return [delta["content"] for e in events if (delta := e["choices"][0]["delta"])]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("echo", "be brief의 응답 내용"),
        ("echo_last", "세계 안녕의 응답 내용"),
        ("fixed:", ""),
        ("fixed:네: 알겠습니다", "네: 알겠습니다"),
    ],
)
def test_a_source_says_its_words(source: str, said: str) -> None:
    assert text(content(text=source)) == said


def test_a_file_is_quoted_whole(tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text("줄 하나\n둘", encoding="utf-8")

    assert text(content(text=f"file:{tmp_path}/said.txt")) == "줄 하나\n둘"


def test_lorem_differs_by_request_and_not_by_time() -> None:
    lorem = content(text="lorem")

    assert text(lorem) == text(lorem)
    assert text(lorem) != text(lorem, user="kim")
    assert text(lorem) != text(content(text="lorem", seed=1))
    assert text(lorem).endswith(".")
    assert len(text(lorem).split()) >= 20


def test_responses_quote_their_input() -> None:
    for source, said in [("echo", "first"), ("echo_last", "세계 안녕")]:
        answered = client(InProcess(content(text=source))).responses.create(
            model="m",
            instructions="be brief",
            input=CONVERSATION[1:],  # type: ignore[arg-type]
        )
        assert answered.output_text == f"{said}의 응답 내용"


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("char", list("be brief의 응답 내용")),
        ("word", ["be", " brief의", " 응답", " 내용"]),
        ("token", ["be", " brie", "f", "의", " 응답", " 내용"]),
        ("5", ["be br", "ief의 ", "응답 내용"]),
    ],
)
def test_a_chunk_holds_one_unit_which_is_one_token(unit: str, expected: list[str]) -> None:
    chunked = content(chunk=unit)

    assert tokens(chunked) == expected
    assert asked(chunked)["usage"]["completion_tokens"] == len(expected)
    assert tokens(chunked, max_tokens=2) == expected[:2]
    cut = asked(chunked, max_tokens=2)
    assert cut["choices"][0]["finish_reason"] == "length"
    prompt = [message["content"] for message in CONVERSATION]
    assert cut["usage"]["prompt_tokens"] == sum(unit_count(text, unit) for text in prompt)


@given(st.text(), st.sampled_from(["char", "token", "word", "1", "4"]))
def test_pieces_are_the_text(said: str, unit: str) -> None:
    assert "".join(pieces(said, unit)) == said
    assert unit_count(said, unit) == len(pieces(said, unit))
    assert all(pieces(said, unit))


@pytest.mark.parametrize("source", ["echo", "lorem", "fixed:a b", "fixed:a much longer text"])
@pytest.mark.parametrize("unit", ["char", "token", "word", "3"])
def test_an_answer_is_as_long_as_was_set(source: str, unit: str) -> None:
    set_to = content(text=source, chunk=unit, tokens="120")

    assert len(tokens(set_to)) == 120
    answer = asked(set_to)
    assert answer["usage"]["completion_tokens"] == 120
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_length_can_be_drawn_for_each_request() -> None:
    drawn = content(text="lorem", tokens="uniform(50,150)")
    lengths = [len(text(drawn, user=str(number))) for number in range(60)]

    assert text(drawn, user="1") == text(drawn, user="1")
    assert 50 <= min(lengths) < 70
    assert 130 < max(lengths) <= 150
    assert 85 < median(lengths) < 115


def test_a_length_of_nothing_is_one_token() -> None:
    assert text(content(tokens="0")) == "b"


def test_an_empty_text_cannot_be_made_longer() -> None:
    assert text(content(text="fixed:", tokens="5")) == ""


def test_the_same_request_and_seed_give_the_same_ids_and_others_differ() -> None:
    def ids(seed: int | None, **more: Any) -> tuple[str, str]:
        tool = {"type": "function", "function": {"name": "be"}}
        answer = asked(content(seed=seed), tools=[tool], tool_choice="required", **more)
        return answer["id"], answer["choices"][0]["message"]["tool_calls"][0]["id"]

    assert ids(7) == ids(7)
    assert ids(None) == ids(None)
    assert not set(ids(7)) & set(ids(8))
    assert not set(ids(7)) & set(ids(None))
    assert not set(ids(7)) & set(ids(7, user="another"))
    assert len({each.partition("-")[2] or each.partition("_")[2] for each in ids(7)}) == 2


@pytest.mark.parametrize("written", ["many", "normal(5)", "-1", "uniform(5,2)"])
def test_a_length_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(ConfigurationError, match="DUMMY_TOKENS="):
        content(tokens=written)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"\xff\xd8\xff")

    with pytest.raises(ConfigurationError, match="UTF-8"):
        content(text=f"file:{tmp_path}/image")


def test_two_workers_answer_alike(tmp_path: Path) -> None:
    """In two processes that share only the settings."""
    settings = {"MODE": "dummy", "DUMMY_TEXT": "lorem", "DUMMY_SEED": "3"}
    tool = {"type": "function", "function": {"name": "f", "parameters": WORD_MAP}}
    body: dict[str, Any] = {"model": "gpt-5", "messages": CONVERSATION, "tools": [tool]}
    found = []
    for _ in range(2):
        with Proxy(tmp_path, **settings) as proxy:
            for choice in ("auto", "required"):
                asked = {**body, "tool_choice": choice}
                answer = httpx.post(f"{proxy.base_url}/chat/completions", json=asked).json()
                found.append({**answer, "created": 0})

    assert found[:2] == found[2:]
    assert found[1]["choices"][0]["message"]["tool_calls"]


def test_words_are_drawn_from_the_chance_that_is_given() -> None:
    assert sentences(Random(1), 30) == sentences(Random(1), 30)
    assert len(sentences(Random(1), 30).split()) == 30


def test_a_text_for_coding_agents_quotes_nothing_of_their_prompts_and_ends_by_itself() -> None:
    example = "a.py\n<<<<<<< SEARCH\nx = 1\n=======\nx = 2\n>>>>>>> REPLACE\n"
    messages = [{"role": "system", "content": example * 1_000}, {"role": "user", "content": "go"}]
    (choice,) = asked(content(text="lorem"), messages=messages, max_tokens=8_000)["choices"]
    assert choice["finish_reason"] == "stop"
    assert "SEARCH" not in choice["message"]["content"]
    assert text(content(text="echo"), messages=messages) == example * 1_000 + "의 응답 내용"
