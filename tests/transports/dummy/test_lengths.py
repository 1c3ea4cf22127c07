"""Texts of exact length, as load generators ask for them."""

import asyncio
import json
from typing import Any

import pytest

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy import Content, Dummy
from replay_proxy.transports.dummy.timing.distributions import parse
from replay_proxy.wire import Request
from tests.support.requests import CHAT, post

UNITS = ["char", "token", "word", "3", "100"]
LIMITS = {
    CHAT: "max_tokens",
    "/v1/completions": "max_tokens",
    "/v1/responses": "max_output_tokens",
}


def asked(path: str, fields: dict[str, Any], prompt: str = "hi") -> Request:
    fields = {"model": "m", **fields}
    if "limit" in fields:
        fields[LIMITS[path]] = fields.pop("limit")
    if path.endswith("chat/completions"):
        fields["messages"] = [{"role": "user", "content": prompt}]
    else:
        fields["input" if path.endswith("responses") else "prompt"] = prompt
    return post(fields, path)


def whole(request: Request, content: Content | None = None) -> tuple[str, int, str]:
    """The text of an answer, its tokens, and why it ends."""
    answer = asyncio.run(Dummy(content).handle(request))
    assert isinstance(answer.body, bytes)
    body = json.loads(answer.body)
    if "choices" not in body:
        (item,) = body["output"]
        reason = "length" if body["status"] == "incomplete" else "stop"
        return item["content"][0]["text"], body["usage"]["output_tokens"], reason
    (choice,) = body["choices"]
    text = choice["text"] if "text" in choice else choice["message"]["content"]
    return text, body["usage"]["completion_tokens"], choice["finish_reason"]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("path", LIMITS)
@pytest.mark.parametrize("limit", [16, 500])
def test_with_ignore_eos_a_text_goes_on_to_its_limit(path: str, unit: str, limit: int) -> None:
    for source in ("echo", "lorem"):
        content = Content(source=source, unit=unit)
        text, tokens, reason = whole(asked(path, {"limit": limit, "ignore_eos": True}), content)
        assert (tokens, reason) == (limit, "length")
        assert source == "lorem" or text.startswith("hi의 응답 내용"[:5])


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("path", LIMITS)
def test_a_text_has_at_least_min_tokens(path: str, unit: str) -> None:
    text, tokens, reason = whole(asked(path, {"min_tokens": 400}), Content(unit=unit))
    assert (tokens, reason) == (400, "stop")
    assert text.startswith("hi의 응답 내용")
    fields = {"min_tokens": 2, "limit": 4000}
    assert whole(asked(path, fields))[0] == "hi의 응답 내용"


def test_a_stream_has_as_many_tokens() -> None:
    fields = {"limit": 300, "ignore_eos": True, "min_tokens": 300, "stream": True}
    answer = asyncio.run(Dummy().handle(asked(CHAT, fields)))
    assert isinstance(answer.body, bytes)
    lines = [line[6:] for line in answer.body.splitlines() if line.startswith(b"data: {")]
    choices = [json.loads(line)["choices"][0] for line in lines]
    assert sum(bool(choice["delta"].get("content")) for choice in choices) == 300
    assert choices[-1]["finish_reason"] == "length"


@pytest.mark.parametrize("text", [" ", "a ", "\n\n", "."])
def test_any_text_can_be_that_long(text: str) -> None:
    for unit in UNITS:
        content = Content(source="fixed", fixed_text=text, unit=unit)
        fields = {"limit": 1000, "ignore_eos": True}
        assert whole(asked(CHAT, fields), content)[1] == 1000


def test_the_request_counts_more_than_the_settings() -> None:
    content = Content(tokens=parse("50"))
    path = CHAT
    assert whole(asked(path, {"min_tokens": 80}), content)[1] == 80
    assert whole(asked(path, {"min_tokens": 20}), content)[1] == 50
    assert whole(asked(path, {"ignore_eos": True, "limit": 70}), content)[1] == 70
    assert whole(asked(path, {"ignore_eos": True}), content)[1] == 50


def test_a_stop_sequence_is_looked_for_after_min_tokens() -> None:
    path = CHAT
    assert whole(asked(path, {"stop": "응답"}))[0] == "hi의 "
    text, tokens, reason = whole(asked(path, {"stop": "응답", "min_tokens": 5}))
    assert (text, tokens, reason) == ("hi의 응답 내용", 9, "stop")
    long, _, _ = whole(asked(path, {"stop": "응답", "min_tokens": 8, "limit": 30}))
    assert long == "hi의 응답 내용"


def test_reasoning_leaves_the_text_its_length() -> None:
    path = CHAT
    fields = {"limit": 500, "ignore_eos": True, "model": "o3"}
    text, tokens, _ = whole(asked(path, fields))
    assert (len(text), tokens) == (500, 500)


def test_json_ends_where_it_ends() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"const": "x"}}}
    fields = {"response_format": form, "ignore_eos": True, "min_tokens": 50, "limit": 90}
    assert whole(asked(CHAT, fields)) == ('"x"', 3, "stop")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"min_tokens": 21, "limit": 20}, "min_tokens"),
        ({"min_tokens": -1}, "min_tokens"),
        ({"min_tokens": "9"}, "min_tokens"),
        ({"ignore_eos": 1}, "ignore_eos"),
        ({"min_tokens": 10**12}, "messages"),
        ({"ignore_eos": True, "limit": 10**12}, "messages"),
    ],
)
def test_bounds_that_cannot_hold_are_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        whole(asked(CHAT, fields))
    assert refused.value.status == 400
    assert refused.value.param in (param, "body")
