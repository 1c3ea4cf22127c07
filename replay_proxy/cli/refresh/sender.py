"""``Sender``: sends recorded requests to the real API, and compares the answers.

With a cassette it records the new answers into it, as ``MODE=record`` does.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from replay_proxy.answers.drift import Change, Finding, drift
from replay_proxy.answers.errors_inside import loss_inside
from replay_proxy.answers.losses import CREDENTIAL, loss_of_status
from replay_proxy.answers.parsed import answer
from replay_proxy.cassette import Interaction, Recordable, process_number
from replay_proxy.cli.refresh.result import RefreshResult
from replay_proxy.errors import (
    ConfigurationError,
    ReplayProxyError,
    StoreError,
    UpstreamCut,
)
from replay_proxy.matching.miss import summary
from replay_proxy.redaction.storage import stored_request
from replay_proxy.settings import Settings
from replay_proxy.timeline import Arrivals, MonotonicClock, own_offset_us
from replay_proxy.transports.recorder.recorder import Recorder
from replay_proxy.wire import Request, Response, header

#: Maximum number of requests in progress.
AT_ONCE = 4
#: Retries after a missing or transient answer, and the first wait, which doubles each time.
RETRIES, WAIT_S = 3, 1.0
#: Maximum wait that ``retry-after`` can ask for.
MOST_WAIT_S = 60.0


class Sender:
    """Sends recorded requests to the upstream of the settings.

    ``api_key`` is sent in the header that the API of the path expects; None sends no key.
    """

    def __init__(
        self, settings: Settings, api_key: str | None, cassette: Recordable | None
    ) -> None:
        from replay_proxy.transports.upstream import (
            Upstream,  # An HTTP client, which no other tool needs.
        )

        clock = MonotonicClock()
        self._arrivals = Arrivals.since(own_offset_us())
        self._api_key = api_key
        self._reached = False
        self._upstream = Upstream(
            settings.upstream_base_url,
            clock=clock,
            api_key=api_key,
            timeout_s=settings.upstream_timeout_s,
        )
        self._recorder = Recorder(
            self._upstream,
            cassette or _NullCassette(),
            clock=clock,
            process_number=process_number(),
            drain_s=settings.drain_s,
            keep_errors=False,
        )

    async def all(self, recorded: Iterable[Interaction]) -> AsyncIterator[RefreshResult]:
        """The results, in order. Raises ``ConfigurationError`` if the API cannot be reached."""
        waiting: deque[asyncio.Task[RefreshResult]] = deque()
        try:
            for interaction in recorded:
                waiting.append(asyncio.create_task(self._again(interaction)))
                if len(waiting) == AT_ONCE:
                    yield await waiting.popleft()
            while waiting:
                yield await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def aclose(self) -> None:
        """Cancel open requests, and close every connection."""
        await self._recorder.aclose()
        await self._upstream.aclose()

    async def _again(self, interaction: Interaction) -> RefreshResult:
        """Send a request, and repeat it after a failure that may be transient."""
        wait_s = WAIT_S
        for _ in range(RETRIES):
            result, retry_after_s = await self._once(interaction)
            if result.error is None:
                return result
            await asyncio.sleep(max(wait_s, retry_after_s))
            wait_s *= 2
        result, _ = await self._once(interaction)
        if result.error is not None and not self._reached:
            raise ConfigurationError(result.error)
        return result

    async def _once(self, interaction: Interaction) -> tuple[RefreshResult, float]:
        """The result, and the seconds that the API asks to wait.

        Raises ``StoreError`` if the answer cannot be stored: a retry would only cost more.
        """
        request = summary(interaction.request)
        try:
            response = await self._recorder.handle(self._request(interaction.request))
            body, cut = await _read(response)
        except StoreError:
            raise
        except ReplayProxyError as error:
            return RefreshResult(interaction.id, request, error=error.message), 0.0
        self._reached = True
        status = response.status
        if status != interaction.status:
            loss = loss_of_status(status, keep_errors=False)
            if loss is not None and loss.code == CREDENTIAL:
                raise ConfigurationError(
                    f"The upstream answers {status}: it does not accept the key. "
                    "Set OPENAI_API_KEY, or UPSTREAM_API_KEY, to a valid one."
                )
            if loss is not None:
                failed = RefreshResult(
                    interaction.id, request, error=f"The upstream answers {status}."
                )
                return failed, _retry_after_s(response)
        if (loss := loss_inside(interaction.request.method, response, body)) is not None:
            failed = RefreshResult(
                interaction.id, request, error=f"The upstream fails: {loss.cause}."
            )
            return failed, _retry_after_s(response)
        before = answer(interaction.status, interaction.headers, interaction.body)
        now = answer(status, response.headers, body)
        findings = drift(interaction.request, before, now)
        # A stream is stored at its last event, where clients leave, even if the connection breaks.
        cut = cut and not (now.steps is not None and now.ended)
        if cut and not any(finding.path == "end" for finding in findings):
            findings += (Finding(Change.CHANGED, "end", "whole", "cut off"),)
        assert response.provenance is not None
        new_id = None if cut else response.provenance.interaction
        return RefreshResult(interaction.id, request, findings, new_id=new_id), 0.0

    def _request(self, recorded: Request) -> Request:
        """The request to send. The upstream replaces the value of a header that holds a key.

        It has only the headers that a recording keeps; a foreign cassette may have others.
        """
        request = stored_request(recorded)
        if self._api_key and recorded.path.startswith("/openai/deployments/"):
            request = replace(request, headers=(*request.headers, (b"api-key", b"")))
        return replace(request, arrived_us=self._arrivals.next_us())


class _NullCassette:
    """A cassette that stores nothing."""

    async def add(self, interaction: Interaction) -> int:
        """Store nothing."""
        return interaction.id

    def rewind(self) -> None:
        """Do nothing."""


def _retry_after_s(response: Response) -> float:
    """The seconds in ``retry-after``, or 0."""
    value = header(response.headers, b"retry-after") or b""
    return min(float(value), MOST_WAIT_S) if value.isdigit() else 0.0


async def _read(response: Response) -> tuple[bytes, bool]:
    """The body as far as it came, and whether it was cut off."""
    if isinstance(response.body, bytes):
        return response.body, False
    body = bytearray()
    try:
        async for chunk in response.body:
            body += chunk
    except UpstreamCut:
        return bytes(body), True
    finally:
        await response.body.aclose()
    return bytes(body), False
