"""The made-up requests of ``benchmarks.matching``, the same in every run.

Most bodies have 1 to 4 kB; every 250th has 200 kB, of one of four kinds: a document of its own, a
document that forty requests ask about, a conversation that grows, and many tools. ``changed``
returns a request with one changed field, and the path of that field.
"""

import json
import random
from itertools import accumulate
from typing import Any

from replay_proxy.wire import Request

LONG_EVERY = 250
#: The kinds of long prompts, in turn.
KINDS = ("own document", "shared document", "conversation", "tools")
#: The fields that ``changed`` changes, in turn.
FIELDS = ("word", "temperature", "tool", "question")

_LONG_BYTES = 200_000
_WORDS = [f"{random.Random(n).choice('bdfgklmnprst')}{n:x}ing" for n in range(20_000)]
#: Weights of words: as in real texts, the n-th word is n times as rare as the first.
_WEIGHTS = list(accumulate(1 / (n + 1) for n in range(len(_WORDS))))


def is_long(number: int) -> bool:
    return number % LONG_EVERY == 0


def kind(number: int) -> str:
    return KINDS[number // LONG_EVERY % len(KINDS)] if is_long(number) else "short"


def request(number: int, body: dict[str, Any] | None = None) -> Request:
    """The recorded request of this number, or the same with another body."""
    encoded = json.dumps(recorded(number) if body is None else body).encode()
    arrived_us = 1_700_000_000_000_000 + number
    headers = ((b"content-type", b"application/json"),)
    return Request("POST", "/v1/chat/completions", "", headers, encoded, arrived_us)


def recorded(number: int) -> dict[str, Any]:
    """The body of the recorded request of this number."""
    rng = random.Random(number)
    make = {
        "short": _short,
        "own document": _own_document,
        "shared document": _shared_document,
        "conversation": _conversation,
        "tools": _many_tools,
    }[kind(number)]
    messages, tools = make(rng, number)
    return {
        "model": rng.choice(["gpt-4o", "gpt-4o-mini", "gpt-5"]),
        "temperature": rng.choice([0, 0.2, 0.7, 1]),
        "user": f"user-{number % 50}",
        "messages": [_message("system", _text(random.Random(number % 40), 500)), *messages],
        "tools": tools,
    }


def changed(number: int, field: str) -> tuple[Request, str]:
    """The request with one field changed, and its path."""
    body = recorded(number)
    if field == "temperature":
        body["temperature"] += 0.05
        return request(number, body), "$.temperature"
    if field == "tool":
        at = len(body["tools"]) // 2
        body["tools"][at]["function"]["parameters"]["properties"]["one"]["type"] = "null"
        return request(number, body), f"$.tools[{at}].function.parameters.properties.one.type"
    if field == "question":
        body["messages"][-1]["content"] += " please"
        return request(number, body), f"$.messages[{len(body['messages']) - 1}].content"
    at = 1 if len(body["messages"]) < 10 else len(body["messages"]) // 2
    words = body["messages"][at]["content"].split(" ")
    words[len(words) // 2] = "changed"
    body["messages"][at]["content"] = " ".join(words)
    return request(number, body), f"$.messages[{at}].content"


def _short(rng: random.Random, number: int) -> tuple[list[Any], list[Any]]:
    turns = rng.choice([1, 1, 3, 5])
    return _turns(rng, turns, rng.randrange(300, 2400) // turns), _tools(number % 20, 2)


def _own_document(rng: random.Random, number: int) -> tuple[list[Any], list[Any]]:
    document = _message("user", _text(rng, _LONG_BYTES))
    return [document, *_turns(rng, 1, 80)], _tools(number % 20, 2)


def _shared_document(rng: random.Random, number: int) -> tuple[list[Any], list[Any]]:
    document = _text(random.Random(number // LONG_EVERY // len(KINDS) // 40), _LONG_BYTES)
    return [_message("user", f"{document}\n\n{_text(rng, 80)}")], _tools(number % 20, 2)


def _conversation(_: random.Random, number: int) -> tuple[list[Any], list[Any]]:
    which, step = divmod(number // LONG_EVERY // len(KINDS), 20)
    return _turns(random.Random(which), 61 + 2 * step, 2_000), _tools(which, 2)


def _many_tools(rng: random.Random, number: int) -> tuple[list[Any], list[Any]]:
    return _turns(rng, 1, 80), _tools(number // LONG_EVERY // len(KINDS) // 40, 330)


def _turns(rng: random.Random, count: int, size: int) -> list[Any]:
    return [_message(("user", "assistant")[n % 2], _text(rng, size)) for n in range(count)]


def _tools(which: int, count: int) -> list[Any]:
    """Tools of some 600 bytes and 14 leaves each, the same for the same ``which``."""
    rng = random.Random(which)
    tools = []
    for number in range(count):
        properties = {
            name: {"type": "string", "description": _text(rng, 60)}
            for name in ("one", "two", "three", "four")
        }
        parameters = {"type": "object", "properties": properties, "required": ["one", "two"]}
        function = {
            "name": f"tool_{which}_{number}",
            "description": _text(rng, 80),
            "parameters": parameters,
        }
        tools.append({"type": "function", "function": function})
    return tools


def _message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _text(rng: random.Random, size: int) -> str:
    words = rng.choices(_WORDS, cum_weights=_WEIGHTS, k=max(8, size // 7))
    return " ".join(words)[:size]
