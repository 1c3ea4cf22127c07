"""Long streams of many small events: what is four times as long takes about four times as long."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from replay_proxy.answers.parsed import answer
from replay_proxy.answers.transcript import transcript
from tests.support.tape import EVENTS

#: A quadratic reader takes 16 times as long for four times the events; a linear one about 4 times.
MOST = 8.0
#: Long deltas, so that a reader which copies all that came before has much to copy.
WORDS = "word " * 400


def chat(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, **more}]}


def response(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "delta": WORDS, **more}


#: The event of each number, for every form in which an answer grows.
FORMS: dict[str, Callable[[int], Any]] = {
    "text": lambda _: chat({"content": WORDS}),
    "log probabilities": lambda _: chat({"content": "x"}, logprobs={"content": [{"token": "x"}]}),
    "arguments": lambda _: chat({"tool_calls": [{"index": 0, "function": {"arguments": WORDS}}]}),
    "tool calls": lambda n: chat({"tool_calls": [{"index": n, "function": {"name": "f"}}]}),
    "completion": lambda _: {"choices": [{"index": 0, "text": WORDS}]},
    "response": lambda _: response("output_text", output_index=0, content_index=0),
    "arguments of a response": lambda _: response("function_call_arguments", output_index=0),
    "assistant": lambda _: {
        "id": "m",
        "object": "thread.message.delta",
        "type": "thread.message.delta",
        "delta": {"content": [{"index": 0, "type": "text", "text": {"value": WORDS}}]},
    },
}
FEW = 500


def events(form: str, count: int) -> list[bytes]:
    made = (json.dumps(FORMS[form](number)) for number in range(count))
    return [*(f"data: {each}\n\n".encode() for each in made), b"data: [DONE]\n\n"]


def growth(work: Callable[[int], object]) -> float:
    """How many times as long the work takes for four times as many events: the least of two."""

    def taken_s(count: int) -> float:
        start_s = time.process_time()
        work(count)
        return time.process_time() - start_s

    taken_s(FEW)  # Imports, and what is compiled once.
    few_s = min(taken_s(FEW) for _ in range(2))
    return min(taken_s(4 * FEW) for _ in range(2)) / few_s


@pytest.mark.parametrize("form", FORMS)
def test_a_long_stream_is_read_in_linear_time(form: str) -> None:
    bodies = {count: b"".join(events(form, count)) for count in (FEW, 4 * FEW)}
    assert growth(lambda count: transcript(answer(200, EVENTS, bodies[count]))) < MOST
