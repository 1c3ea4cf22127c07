"""The dummy: synthetic answers, and the table of its endpoints.

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
from replay_proxy.matching.content_coding import content as content_of
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.timeline import Clock, MonotonicClock
from replay_proxy.transports.dummy.endpoints.chat_completions import create_chat_completion
from replay_proxy.transports.dummy.endpoints.completions import create_completion
from replay_proxy.transports.dummy.endpoints.embeddings import create_embedding
from replay_proxy.transports.dummy.endpoints.models import list_models, retrieve_model
from replay_proxy.transports.dummy.endpoints.moderations import create_moderation
from replay_proxy.transports.dummy.endpoints.responses import create_response
from replay_proxy.transports.dummy.question import Question
from replay_proxy.transports.dummy.recent import Recent
from replay_proxy.transports.dummy.replies import Reply, StreamReply, WholeReply
from replay_proxy.transports.dummy.sayings.content import Content
from replay_proxy.transports.dummy.timing.chances import Chances
from replay_proxy.transports.dummy.timing.deadlines import timely_body
from replay_proxy.transports.dummy.timing.instant import instant_body
from replay_proxy.transports.dummy.timing.load import Load
from replay_proxy.transports.dummy.timing.tempo import Tempo
from replay_proxy.transports.dummy.work_budget import BudgetSpent, WorkBudget, quick_budget
from replay_proxy.wire import Chunks, Provenance, Request, Response, Source

__all__ = ["ENDPOINTS", "Content", "Dummy", "Endpoint", "Tempo"]


class Endpoint(NamedTuple):
    """One line of the table.

    ``path`` follows the root, and has ``{name}`` for a variable part. ``answer`` raises
    ``InvalidRequest`` for a request that the API would refuse. ``dated`` is whether Azure also
    serves it directly under ``/openai/``, with a date as ``api-version``.
    """

    method: str
    path: str
    answer: Callable[[Question], Reply]
    dated: bool = False


#: Bytes of a request that one step reads, and fewer if its texts are split into tokens or words.
_BYTES_PER_STEP, _SPLIT_BYTES_PER_STEP = 200, 20

#: Every endpoint of the dummy. The functions have the names of OpenAI's OpenAPI operations.
ENDPOINTS = (
    Endpoint("POST", "/chat/completions", create_chat_completion),
    Endpoint("GET", "/models", list_models, dated=True),
    Endpoint("GET", "/models/{model}", retrieve_model, dated=True),
    Endpoint("POST", "/responses", create_response, dated=True),
    Endpoint("POST", "/completions", create_completion),
    Endpoint("POST", "/embeddings", create_embedding),
    Endpoint("POST", "/moderations", create_moderation),
)

# OpenAI's root and Azure's. The deployment stands for the model.
_ROOTS = r"/v1|/openai/v1|/openai/deployments/(?P<deployment>[^/]+)"


def _pattern(endpoint: Endpoint) -> re.Pattern[str]:
    roots = f"(?:{_ROOTS}{'|/openai' if endpoint.dated else ''})"
    # A part may contain slashes: model names such as "org/name" arrive unescaped.
    return re.compile(roots + re.sub(r"\{(\w+)\}", r"(?P<\1>.+)", endpoint.path))


_PATTERNS = tuple((endpoint.method, _pattern(endpoint), endpoint.answer) for endpoint in ENDPOINTS)


@lru_cache(maxsize=64)  # Most requests have one of a few paths.
def _route(method: str, path: str) -> tuple[Callable[[Question], Reply], Mapping[str, str]] | None:
    """The function that answers a request, and the path's variable parts, percent-decoded."""
    method = "GET" if method == "HEAD" else method  # The server leaves the body out.
    for accepted, pattern, answer in _PATTERNS:
        if accepted == method and (match := pattern.fullmatch(path)):
            return answer, {
                name: unquote(part) for name, part in match.groupdict("").items() if part
            }
    return None


#: Digits of a fingerprint in a request id.
_ID_DIGITS = 32


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
        # One thread for all: long work waits for other long work, and never blocks the rest.
        self._slow = ThreadPoolExecutor(1, "dummy")

    async def handle(self, request: Request) -> Response:
        """Answer the request.

        Raises ``NotImplementedByDummy`` for an endpoint that is not in the table, and
        ``InvalidRequest`` for a request that OpenAI would refuse.
        """
        arrived_s = self._clock.now_s()
        tempo = self._tempo.with_headers(request.headers)
        instant = tempo.instant and tempo.fit is None
        if instant and (recent := self._recent.get(request)) is not None:
            return recent
        if (route := _route(request.method, request.path)) is None:
            raise _not_implemented(request)
        answer, parts = route
        name = fingerprint(request)
        question = Question(request, parts, self._content, name, quick_budget())
        if tempo.fit is not None:
            fit = tempo.fit.of(question.model)
            tempo = tempo.with_fit(fit, len(request.body))
            question.content = replace(self._content, tokens=self._content.tokens or fit.tokens)
        try:
            reply = _paid_reply(answer, question)
        except BudgetSpent:
            question.budget = WorkBudget()
            reply = await self._reply_from_thread(answer, question)
        if instant and isinstance(reply, WholeReply):
            body: bytes | Chunks = reply.body
        else:
            body = await self._body(reply, tempo, name, arrived_s)
        took_s = 0.0 if instant else self._clock.now_s() - arrived_s
        response = _response(reply, body, name, took_s)
        if instant:
            self._recent.put(request, response)
        return response

    async def aclose(self, drain_s: float | None = None) -> None:
        """Release the thread."""
        self._slow.shutdown(wait=False, cancel_futures=True)

    def rewind(self) -> None:
        """Do nothing: the dummy keeps no position."""

    async def _reply_from_thread(
        self, answer: Callable[[Question], Reply], question: Question
    ) -> Reply:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._slow, _paid_reply, answer, question)

    async def _body(
        self, reply: Reply, tempo: Tempo, fingerprint: str, arrived_s: float
    ) -> bytes | Chunks:
        """The reply's bytes when they are due. A reply without any tokens is due at once."""
        no_tokens = isinstance(reply, WholeReply) and not reply.tokens + reply.prompt_tokens
        if tempo.instant or no_tokens:
            return instant_body(reply) if isinstance(reply, StreamReply) else reply.body
        pace = tempo.pace(self._chances.of(fingerprint), reply.prompt_tokens)
        return await timely_body(reply, pace, arrived_s, clock=self._clock, load=self._load)


def _paid_reply(answer: Callable[[Question], Reply], question: Question) -> Reply:
    """The reply; the size of the request is paid for first. Raises ``BudgetSpent``."""
    by_character = question.content.unit == "char"
    size = len(content_of(question.request))
    question.budget.step(size // (_BYTES_PER_STEP if by_character else _SPLIT_BYTES_PER_STEP))
    return answer(question)


def _response(reply: Reply, body: bytes | Chunks, fingerprint: str, took_s: float) -> Response:
    """The response for a reply, with its length unless it streams."""
    provenance = Provenance(Source.DUMMY, fingerprint)
    headers = (
        *reply.headers,
        (b"x-request-id", b"req_" + fingerprint[-_ID_DIGITS:].encode()),
        (b"openai-processing-ms", b"%d" % round(took_s * 1000) if took_s else b"0"),
    )
    if isinstance(reply, StreamReply):
        return Response(200, headers, body, provenance=provenance)
    headers += ((b"content-length", str(len(reply.body)).encode()),)
    return Response(reply.status, headers, body, provenance=provenance)


def _not_implemented(request: Request) -> NotImplementedByDummy:
    endpoints = ", ".join(f"{endpoint.method} /v1{endpoint.path}" for endpoint in ENDPOINTS)
    return NotImplementedByDummy(
        f"The dummy has no answer for {request.method} {request.path}: it implements {endpoints}. "
        "Record this endpoint and replay it instead: a recording needs no dummy."
    )
