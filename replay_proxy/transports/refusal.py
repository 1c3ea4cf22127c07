"""Transports that refuse requests: not recorded, no readable cassette, a malformed target.

A refusal is raised. None of them can reach the network.
"""

import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any

from replay_proxy.bounds.side_thread import SideThread
from replay_proxy.cassette import Catalogue
from replay_proxy.errors import InvalidTarget, ReplayProxyError
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.matching.miss import explain
from replay_proxy.matching.rules import Rule
from replay_proxy.target import flaw
from replay_proxy.wire import Request, Response, Transport

logger = logging.getLogger("replay_proxy")


class Unopened:
    """Answers every request with the error that keeps its cassette from being opened."""

    def __init__(self, error: ReplayProxyError) -> None:
        self._error = error

    async def handle(self, request: Request) -> Response:
        """Raise the error."""
        # Without its traceback, to which each request would add its frames.
        raise self._error.with_traceback(None)

    async def aclose(self, drain_s: float | None = None) -> None:
        """Nothing is open."""

    def rewind(self) -> None:
        """Raise the error."""
        raise self._error.with_traceback(None)


class WellFormed:
    """Passes on requests whose method, path and query are sound (``target.flaw``)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def handle(self, request: Request) -> Coroutine[Any, Any, Response]:
        """The transport's answer. Raises ``InvalidTarget``."""
        # Not a coroutine itself, since every request passes here.
        if cause := flaw(request.method, request.path, request.query):
            raise InvalidTarget(cause)
        return self._transport.handle(request)

    async def aclose(self, drain_s: float | None = None) -> None:
        """Close what it wraps."""
        await self._transport.aclose(drain_s)

    def rewind(self) -> None:
        """Rewind what it wraps."""
        self._transport.rewind()


class Refusal:
    """Answers every request with a miss: 404 that SDKs do not retry."""

    def __init__(
        self, cassette: Catalogue, *, rule: Rule, aside: SideThread, repeated: int | None = None
    ) -> None:
        self._cassette = cassette
        self._repeated = repeated
        self._rule = rule
        self._aside = aside

    async def handle(self, request: Request) -> Response:
        """Raise the miss, explained."""
        digest = fingerprint(request)
        counts = await self._cassette.counts()
        answers = await self._cassette.answer_count(self._rule.key(request))
        if not answers and (former := self._rule.former_key(request)) is not None:
            answers = await self._cassette.answer_count(former)
        near = [] if answers else await self._cassette.near(request)
        explanation = partial(
            explain,
            request,
            fingerprint=digest,
            cassette=self._cassette.name,
            counts=counts,
            answers=answers,
            candidates=near,
            rule=self._rule,
            repeated=self._repeated,
        )
        size = len(request.body) + sum(len(recorded.request.body) for recorded in near)
        miss = await self._aside.run(explanation, size)
        logger.warning("%s", miss)
        raise miss

    async def aclose(self, drain_s: float | None = None) -> None:
        """Nothing is open."""

    def rewind(self) -> None:
        """Nothing is counted."""
