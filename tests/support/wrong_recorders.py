"""Recorders that are wrong on purpose, each in a way that occurs in real projects.

``uvicorn tests.support.wrong_recorders:tee`` serves the proxy with the recorder of that name. The
traps have to catch each of them: a test that no wrong recorder fails proves nothing.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from replay_proxy import assembly
from replay_proxy.cassette import Interaction, interaction_id
from replay_proxy.errors import UpstreamError
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.serving.app import ReplayProxy
from replay_proxy.settings import load
from replay_proxy.timeline import Arrivals, Timeline
from replay_proxy.transports.recorder.recorder import Recorder
from replay_proxy.wire import Request, Response

FINISHED = Arrivals()


class Tee(Recorder):
    """Records inside the client's stream, and stores when that reaches its end."""

    shielded = False
    keeps_cut = False
    stores_late_s = 0.0
    orders_by_end = False

    async def handle(self, request: Request) -> Response:
        answer = await self.upstream.handle(request)
        return Response(answer.status, answer.headers, self._tee(request, answer))

    async def aclose(self, drain_s: float | None = None) -> None:
        """Nothing runs outside the clients' streams."""

    async def _tee(self, request: Request, answer: Response) -> AsyncGenerator[bytes]:
        chunks: list[bytes] = []
        offsets: list[int] = []
        assert not isinstance(answer.body, bytes)
        whole = False
        try:
            async for chunk in answer.body:
                chunks.append(chunk)
                yield chunk
                offsets.append(int((self.clock.now_s() - answer.sent_s) * 1e6))
            whole = True
        except UpstreamError:
            whole = self.keeps_cut
            if not self.keeps_cut:
                raise
        finally:
            offsets += offsets[-1:] * (len(chunks) - len(offsets)) or [0] * len(chunks)
            if self.shielded or whole:
                keeping = asyncio.ensure_future(self._store(request, answer, chunks, offsets))
                if not self.stores_late_s:
                    await asyncio.shield(keeping)

    async def _store(
        self, request: Request, answer: Response, chunks: list[bytes], offsets: list[int]
    ) -> None:
        await asyncio.sleep(self.stores_late_s)
        arrived = FINISHED.next_us() if self.orders_by_end else request.arrived_us
        ends = [sum(map(len, chunks[: number + 1])) for number in range(len(chunks))]
        await self.cassette.add(
            Interaction(
                id=interaction_id(arrived, self.process_number),
                fingerprint=fingerprint(request),
                request=request,
                status=answer.status,
                headers=answer.headers,
                body=b"".join(chunks),
                timeline=Timeline(0, tuple(offsets[: len(chunks)]), tuple(ends), 0),
            )
        )


class ShieldedTee(Tee):
    """Stores what has arrived, under a shield, when its stream is closed."""

    shielded = True


class TeeThatKeepsCuts(Tee):
    """Takes the end of a broken connection for the end of the answer."""

    keeps_cut = True


class LateTee(Tee):
    """Stores after the client has seen the end."""

    stores_late_s = 0.03


class TeeByEnd(Tee):
    """Orders answers by their end instead of their arrival."""

    orders_by_end = True


_NAMES = {
    "tee": Tee,
    "shielded_tee": ShieldedTee,
    "tee_that_keeps_cuts": TeeThatKeepsCuts,
    "late_tee": LateTee,
    "tee_by_end": TeeByEnd,
}


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(name)
    vars(assembly)["Recorder"] = _NAMES[name]
    return ReplayProxy(load())
