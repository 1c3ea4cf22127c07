"""What a recorded stream tells of its time: when its first token came, and the gaps after it.

In here: from an ``Interaction`` to numbers. Not in here: what a fit makes of them (``fit``).

A token is an event with content. The event with nothing but the role, those that open and close a
response, and comments are none.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson

from replay_proxy.answers.parsed import answer
from replay_proxy.cassette import Interaction
from replay_proxy.wire import Request

_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/")
#: A blank line ends an event.
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r){2}")
#: Fields of a delta that a model has no part in.
_OF_THE_FRAME = {"role", "index", "id", "type"}


@dataclass(frozen=True, slots=True)
class Observation:
    """One stream. ``ttft_ms`` counts from the request; there is a gap less than tokens.

    ``prompt_bytes`` is the size of the request's body: about four bytes are a token, and both
    sides of a comparison have it.
    """

    model: str
    prompt_bytes: int
    ttft_ms: float
    gaps_ms: tuple[float, ...]


def observed(interaction: Interaction) -> Observation | None:
    """What a stream tells; None for any other answer, and for a compressed one."""
    read = answer(interaction.status, interaction.headers, interaction.body)
    if read.steps is None or read.body != interaction.body:
        return None
    times_ms = []
    start = 0
    for found in _EVENT_END.finditer(interaction.body):
        event = answer(200, (), interaction.body[start : found.end()].lstrip())
        start = found.end()
        if event.steps and _has_content(event.steps[0].value):
            chunk = bisect_left(interaction.timeline.ends, start)
            times_ms.append(interaction.timeline.offsets_us[chunk] / 1000)
    if not times_ms:
        return None
    return Observation(
        model_of(interaction.request),
        len(interaction.request.body),
        times_ms[0],
        tuple(after - before for before, after in pairwise(times_ms)),
    )


def model_of(request: Request) -> str:
    """The model that a request names, or Azure's deployment; else ``""``."""
    try:
        body = orjson.loads(request.body)
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("model"), str) and body["model"]:
        return str(body["model"])
    deployment = _DEPLOYMENT.search(request.path)
    return deployment[1] if deployment else ""


def _has_content(value: Any) -> bool:
    """Whether an event's JSON has a piece of what the model says, thinks or calls."""
    if not isinstance(value, dict):
        return False
    if str(value.get("type", "")).endswith(".delta"):
        return bool(value.get("delta"))
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            delta = choice.get("delta")
            of_chat = delta if isinstance(delta, dict) else {}
            if choice.get("text") or any(
                each for name, each in of_chat.items() if name not in _OF_THE_FRAME
            ):
                return True
    return False
