"""Rate limits on requests and tokens, per API key, as OpenAI keeps them.

A rate is a level that falls steadily: with a limit of 10,000 per minute, 8,554 used and 3,082
requested, the wait is 9.816 s, as OpenAI states it ((8,554 + 3,082 - 10,000) * 60 / 10,000). A
refused request uses nothing, so that a client which waits as long as it is told is served.
Only the hash of a key is kept, and the keys not used for longest are dropped.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from replay_proxy.bounds.lru import LRU
from replay_proxy.bounds.side_process import SideProcess
from replay_proxy.timeline import Clock
from replay_proxy.transports.faults.wording import (
    RATES,
    body_json,
    error_answer,
    error_object,
    model_name,
    rate_headers,
    rate_limit_error,
    retry_after_headers,
)
from replay_proxy.wire import Headers, Request, Response, Transport, header

#: The names of the refusals in ``x-replay-fault``.
RPM, TPM, TOO_LARGE = "rpm", "tpm", "request_too_large"
#: Maximum number of keys that are kept; a dropped key has its whole rate again.
KEPT_KEYS = 10_000
#: OpenAI's estimate for a request before it is tokenised.
CHARACTERS_PER_TOKEN = 4
#: Fields with the texts of a request, and fields that bound the tokens of its answer.
_TEXTS = ("messages", "input", "prompt", "instructions")
_BOUNDS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
#: Less than any wait that a header can state.
_EPSILON = 1e-6


@dataclass(slots=True)
class _Level:
    limit: int
    used: float = 0.0
    at_s: float = 0.0

    def fall(self, now_s: float) -> None:
        self.used = max(0.0, self.used - (now_s - self.at_s) * self.limit / 60)
        self.at_s = now_s

    def wait_s(self, cost: int) -> float:
        return max(0.0, (self.used + cost - self.limit) * 60 / self.limit - _EPSILON)

    def headers(self, unit: str) -> Headers:
        remaining = max(0, math.floor(self.limit - self.used + _EPSILON))
        reset_s = self.used * 60 / self.limit
        return rate_headers(unit, limit=self.limit, remaining=remaining, reset_s=reset_s)


@dataclass(slots=True)
class _Account:
    """What one key has used, by unit."""

    levels: dict[str, _Level] = field(default_factory=dict)

    @property
    def headers(self) -> Headers:
        return tuple(pair for unit, level in self.levels.items() for pair in level.headers(unit))


class Limits:
    """The rates of all keys of a process, over all cassettes. None means no limit."""

    def __init__(self, *, rpm: int | None, tpm: int | None, clock: Clock) -> None:
        self._limits = {"requests": rpm, "tokens": tpm}
        self._clock = clock
        self._apart = SideProcess()
        self._accounts: LRU[bytes, _Account] = LRU(KEPT_KEYS)

    def __bool__(self) -> bool:
        return any(self._limits.values())

    def close(self) -> None:
        """Stop waiting for large requests."""
        self._apart.close()

    def rewind(self) -> None:
        """Reset what every key has used."""
        self._accounts.clear()

    async def admit(self, request: Request) -> tuple[Response | None, Headers]:
        """Charge the request's cost. Returns its refusal, if it has to wait, and the headers."""
        cost = await self._apart.run(tokens, request) if self._limits["tokens"] else 0
        costs = {"requests": 1, "tokens": cost}
        account = self._account(request)
        now_s = self._clock.now_s()
        for level in account.levels.values():
            level.fall(now_s)
        for unit, level in account.levels.items():
            if costs[unit] > level.limit:
                return _too_large(request, level, costs[unit]), account.headers
        waits = {unit: level.wait_s(costs[unit]) for unit, level in account.levels.items()}
        unit = max(waits, key=lambda name: waits[name])
        if waits[unit] > 0:
            level = account.levels[unit]
            error = rate_limit_error(
                request,
                unit,
                limit=level.limit,
                used=math.ceil(level.used - _EPSILON),
                requested=costs[unit],
                wait_s=waits[unit],
            )
            fault = RPM if unit == "requests" else TPM
            wait = retry_after_headers(waits[unit])
            refusal = error_answer(request, 429, error, wait, fault=fault)
            return refusal, account.headers
        for unit, level in account.levels.items():
            level.used += costs[unit]
        return None, account.headers

    def _account(self, request: Request) -> _Account:
        key = header(request.headers, b"authorization") or header(request.headers, b"api-key")
        digest = sha256(key or b"").digest()
        account = self._accounts.get(digest)
        if account is None:
            limits = {unit: limit for unit, limit in self._limits.items() if limit}
            account = _Account({unit: _Level(limit) for unit, limit in limits.items()})
            self._accounts.put(digest, account)
        return account


class Limited:
    """A transport with a rate limit per key; its answers state how much is left."""

    def __init__(self, transport: Transport, limits: Limits) -> None:
        self._transport = transport
        self._limits = limits

    async def handle(self, request: Request) -> Response:
        """The answer with the rate headers, or a 429."""
        refusal, rates = await self._limits.admit(request)
        answer = refusal or await self._transport.handle(request)
        assert answer.provenance is not None
        if refusal is None and answer.provenance.fault and answer.status == 429:
            return answer  # It has rate headers of its own.
        names = {name for name, _ in rates}
        others = tuple(pair for pair in answer.headers if pair[0] not in names)
        return answer._replace(headers=others + rates)

    async def aclose(self, drain_s: float | None = None) -> None:
        """Close the limits, and what it wraps."""
        self._limits.close()
        await self._transport.aclose(drain_s)

    def rewind(self) -> None:
        """Reset what every key has used, and rewind what it wraps."""
        self._limits.rewind()
        self._transport.rewind()


def tokens(request: Request) -> int:
    """The estimated cost of a request before it is answered.

    A quarter of its characters, or its bound on the answer if that is more, as OpenAI's page on
    rate limits describes.
    """
    body = body_json(request)
    if not isinstance(body, dict):
        return 0
    characters = sum(len(text) for name in _TEXTS for text in _texts_in(body.get(name)))
    bounds: list[int] = [body[name] for name in _BOUNDS if type(body.get(name)) is int]
    return max([math.ceil(characters / CHARACTERS_PER_TOKEN), *bounds])


def _texts_in(value: Any) -> Iterator[str]:
    """Every text in a value, except images and files in data URLs."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if not value.startswith("data:"):
                yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _too_large(request: Request, level: _Level, requested: int) -> Response:
    message = (
        f"Request too large for {model_name(request) or 'the model'} on tokens per min (TPM): "
        f"Limit {level.limit}, Requested {requested}. The input or output tokens must be reduced "
        f"in order to run successfully. {RATES}"
    )
    error = error_object(message, "tokens", code="rate_limit_exceeded")
    return error_answer(request, 429, error, fault=TOO_LARGE)
