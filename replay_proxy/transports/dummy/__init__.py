"""The dummy: synthetic answers, and the table of the endpoints that it has.

Not in here: what an answer looks like (``endpoints``), what it says (``sayings``), when it is sent
(``timing``), and how errors are rendered.

To add an endpoint, write its file and add its line to ``ENDPOINTS``.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from replay_proxy.errors import NotImplementedByDummy
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.timeline import Clock, MonotonicClock
from replay_proxy.transports.dummy.budget import Budget, BudgetSpent, quick
from replay_proxy.transports.dummy.call import Call
from replay_proxy.transports.dummy.endpoints.chat_completions import create_chat_completion
from replay_proxy.transports.dummy.endpoints.completions import create_completion
from replay_proxy.transports.dummy.endpoints.embeddings import create_embedding
from replay_proxy.transports.dummy.endpoints.models import list_models, retrieve_model
from replay_proxy.transports.dummy.endpoints.moderations import create_moderation
from replay_proxy.transports.dummy.endpoints.responses import create_response
from replay_proxy.transports.dummy.recent import Recent
from replay_proxy.transports.dummy.replies import Reply, Streamed, Whole
from replay_proxy.transports.dummy.sayings.content import Content
from replay_proxy.transports.dummy.timing.chances import Chances
from replay_proxy.transports.dummy.timing.instant import instantly
from replay_proxy.transports.dummy.timing.load import Load
from replay_proxy.transports.dummy.timing.observed import model_of
from replay_proxy.transports.dummy.timing.tempo import Tempo
from replay_proxy.transports.dummy.timing.timed import timely
from replay_proxy.wire import Chunks, Provenance, Request, Response, Source

__all__ = ["ENDPOINTS", "Content", "Dummy", "Endpoint", "Tempo"]


class Endpoint(NamedTuple):
    """One line of the table.

    ``path`` is what follows the root, with ``{name}`` for a part that varies. ``answer`` raises
    ``InvalidRequest`` for what the API would refuse.
    """

    method: str
    path: str
    answer: Callable[[Call], Reply]


#: So many bytes of a request are read in a step, or so many where its texts are cut into tokens.
_READ, _CUT = 200, 20

#: Every endpoint of the dummy, by the name that the OpenAPI description gives its operation.
ENDPOINTS = (
    Endpoint("POST", "/chat/completions", create_chat_completion),
    Endpoint("GET", "/models", list_models),
    Endpoint("GET", "/models/{model}", retrieve_model),
    Endpoint("POST", "/responses", create_response),
    Endpoint("POST", "/completions", create_completion),
    Endpoint("POST", "/embeddings", create_embedding),
    Endpoint("POST", "/moderations", create_moderation),
)

# OpenAI's root, then Azure's two: the deployment stands for the model there.
_ROOT = r"(?:/v1|/openai/v1|/openai/deployments/(?P<deployment>[^/]+))"


def _pattern(path: str) -> re.Pattern[str]:
    # A part takes slashes too: model names such as "org/name" arrive unescaped.
    return re.compile(_ROOT + re.sub(r"\{(\w+)\}", r"(?P<\1>.+)", path))


_PATTERNS = tuple((each.method, _pattern(each.path), each.answer) for each in ENDPOINTS)


@lru_cache(maxsize=64)  # Most requests are for one of a few paths.
def _route(method: str, path: str) -> tuple[Callable[[Call], Reply], Mapping[str, str]] | None:
    """What answers a request, and the parts of its path that vary, percent-decoded."""
    for known, pattern, answer in _PATTERNS:
        if known == method and (match := pattern.fullmatch(path)):
            return answer, {
                name: unquote(part) for name, part in match.groupdict("").items() if part
            }
    return None


class Dummy:
    """A ``Transport`` that answers without a network, a key or a recording."""

    def __init__(
        self,
        content: Content | None = None,
        tempo: Tempo | None = None,
        *,
        capacity: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._content = content or Content()
        self._tempo = tempo or Tempo()
        self._clock = clock or MonotonicClock()
        self._load = Load(capacity)
        self._recent = Recent()
        self._chances = Chances(self._content.seed)
        # One thread for all: what takes long waits for its like, and shares with everything else.
        self._slow = ThreadPoolExecutor(1, "dummy")

    async def handle(self, request: Request) -> Response:
        """Answer the request.

        Raises ``NotImplementedByDummy`` for an endpoint that is not in the table, and
        ``InvalidRequest`` for a request that OpenAI would refuse.
        """
        arrived_s = self._clock.now_s()
        tempo = self._tempo.asked(request.headers)
        instant = tempo.instant and tempo.fit is None
        if instant and (recent := self._recent.get(request)) is not None:
            return recent
        if (route := _route(request.method, request.path)) is not None:
            answer, parts = route
            name = fingerprint(request)
            content = self._content
            if tempo.fit is not None:
                model = tempo.fit.of(model_of(request))
                tempo = tempo.fitted(model, len(request.body))
                content = replace(content, tokens=content.tokens or model.tokens)
            call = Call(request, parts, content, name, quick())
            try:
                reply = _paid(answer, call)
            except BudgetSpent:
                reply = await self._beside_others(answer, replace(call, budget=Budget()))
            if instant and isinstance(reply, Whole):
                body: bytes | Chunks = reply.body
            else:
                body = await self._body(reply, tempo, name, arrived_s)
            response = _response(reply, body, name)
            if instant:
                self._recent.put(request, response)
            return response
        has = ", ".join(f"{endpoint.method} /v1{endpoint.path}" for endpoint in ENDPOINTS)
        raise NotImplementedByDummy(
            f"The dummy has no answer for {request.method} {request.path}: it implements {has}. "
            "Record this endpoint and replay it instead: a recording needs no dummy."
        )

    async def aclose(self, drain_s: float | None = None) -> None:
        """Let go of the thread."""
        self._slow.shutdown(wait=False, cancel_futures=True)

    def rewind(self) -> None:
        """Nothing is counted."""

    async def _beside_others(self, answer: Callable[[Call], Reply], call: Call) -> Reply:
        """The reply to a call, made in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._slow, _paid, answer, call)

    async def _body(
        self, reply: Reply, tempo: Tempo, fingerprint: str, arrived_s: float
    ) -> bytes | Chunks:
        """The reply's bytes, when they are due; what no model works on is due at once."""
        if tempo.instant or (isinstance(reply, Whole) and not reply.tokens + reply.prompt_tokens):
            return instantly(reply) if isinstance(reply, Streamed) else reply.body
        pace = tempo.pace(self._chances.of(fingerprint), reply.prompt_tokens)
        return await timely(reply, pace, arrived_s, clock=self._clock, load=self._load)


def _paid(answer: Callable[[Call], Reply], call: Call) -> Reply:
    """The reply to a call, its request's size paid for. Raises ``BudgetSpent``."""
    size = len(call.request.body)
    call.budget.step(size // (_READ if call.content.unit == "char" else _CUT))
    return answer(call)


def _response(reply: Reply, body: bytes | Chunks, fingerprint: str) -> Response:
    """The reply and, unless it streams, its length."""
    provenance = Provenance(Source.DUMMY, fingerprint)
    if isinstance(reply, Streamed):
        return Response(200, reply.headers, body, provenance=provenance)
    headers = (*reply.headers, (b"content-length", str(len(reply.body)).encode()))
    return Response(reply.status, headers, body, provenance=provenance)
