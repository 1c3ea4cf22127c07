"""A stand-in for the real API, for pages that show drift.

It answers the requests of the demo cassette with the recorded answers, except for ``CHANGES``. Its
answers about capitals are worded differently each time. ``tests.support.upstream`` serves it.
"""

import json
from collections import Counter

from tests.demo import DATA
from tests.support.corpus import Record, load
from tests.support.script import JSON, Answer, Received

#: Changes to the demo's answers, by a text in the request: one of wording, and two drifts.
CHANGES = {
    b"What is the capital of France?": (b'"content": "Paris."', b'"content": "It is Paris."'),
    b"What's the weather in Boston?": (rb"{\"location\":", rb"{\"city\":"),
    b"This is a safe message": (b'"flagged": false,', b""),
}
CAPITALS = {"Peru": "Lima", "Chile": "Santiago"}
WORDINGS = ("{}.", "It is {}.", "{}, of course.", "The capital is {}.")


class StandIn:
    """The script of an upstream."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, bytes], Record] = {}
        for record in load(DATA):
            self._records.setdefault((record.target, record.request_body), record)
        self._asked: Counter[bytes] = Counter()

    def __call__(self, request: Received) -> Answer:
        """The answer to a request."""
        record = self._records.get((request.target, request.body))
        if record is None:
            self._asked[request.body] += 1
            return _capital(request.body, self._asked[request.body] - 1)
        steps = list(record.pieces())
        for words, change in CHANGES.items():
            if words in request.body:
                steps = [b"".join(steps).replace(*change)]
        framing = "chunked" if record.framing == "none" else record.framing
        return Answer(record.status, record.sent_headers, steps, framing)


def _capital(body: bytes, times: int) -> Answer:
    asked = json.loads(body)
    question = asked["messages"][-1]["content"]
    (capital,) = (name for country, name in CAPITALS.items() if country in question)
    text = WORDINGS[times % len(WORDINGS)].format(capital)
    answer = {
        "id": f"chatcmpl-{capital}-{times}",
        "object": "chat.completion",
        "created": 1795000000 + times,
        "model": asked["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 14, "completion_tokens": 2, "total_tokens": 16},
    }
    return Answer(headers=JSON, steps=[json.dumps(answer, indent=2).encode()], framing="length")
