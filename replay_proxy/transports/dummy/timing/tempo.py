"""The dummy's tempo: when each token of an answer is due.

In here: draws from the distributions in the settings and in a request's headers. Not in here: the
waiting (``deadlines``), the number of answers in progress (``load``), bytes. Times are in
milliseconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Self

from replay_proxy.errors import ConfigurationError, InvalidRequest
from replay_proxy.settings.tempo import TempoSettings
from replay_proxy.transports.dummy.timing.distributions import Constant, Distribution, parse
from replay_proxy.transports.dummy.timing.fit import Fit, ModelFit
from replay_proxy.wire import Headers, header

_NOTHING = Constant(0.0)


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of one answer: the time to its first token, and the gaps before the others."""

    ttft_ms: float
    itl_ms: Distribution
    rng: Random

    def gaps_ms(self) -> Iterator[float]:
        """The gaps, endlessly."""
        while True:
            yield self.itl_ms.sample(self.rng)


@dataclass(frozen=True, slots=True)
class Tempo:
    """The pace of all answers. ``prefill_ms`` is the time per 1,000 tokens of the prompt.

    None means that a time is not set: it comes from the fit and, without a fit, is 0.
    """

    ttft_ms: Distribution | None = None
    itl_ms: Distribution | None = None
    prefill_ms: float = 0.0
    fit: Fit | None = None

    @classmethod
    def of(cls, settings: TempoSettings, fit: Fit | None = None) -> Self:
        """The tempo from the settings. Raises ``ConfigurationError``."""
        itl_ms = _from_setting("DUMMY_ITL_MS", settings.dummy_itl_ms)
        if settings.dummy_tps is not None:
            if itl_ms is not None:
                raise ConfigurationError(
                    f"DUMMY_TPS={settings.dummy_tps:g} and DUMMY_ITL_MS={settings.dummy_itl_ms} "
                    "say the same thing twice. Unset one of them."
                )
            itl_ms = Constant(1000 / settings.dummy_tps)
        return cls(
            ttft_ms=_from_setting("DUMMY_TTFT_MS", settings.dummy_ttft_ms),
            itl_ms=itl_ms,
            prefill_ms=settings.dummy_prefill_ms,
            fit=fit,
        )

    def with_headers(self, headers: Headers) -> Self:
        """The tempo with the times in a request's headers. Raises ``InvalidRequest``."""
        ttft_ms = _from_header(headers, b"x-replay-ttft-ms")
        itl_ms = _from_header(headers, b"x-replay-itl-ms")
        if ttft_ms is None and itl_ms is None:
            return self
        return replace(self, ttft_ms=ttft_ms or self.ttft_ms, itl_ms=itl_ms or self.itl_ms)

    def with_fit(self, fit: ModelFit, prompt_bytes: int) -> Self:
        """The tempo for a model and a prompt. Times that are set take precedence over the fit."""
        return replace(
            self,
            ttft_ms=self.ttft_ms or fit.ttft_ms(prompt_bytes),
            itl_ms=self.itl_ms or fit.gaps_ms,
        )

    @property
    def instant(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.ttft_ms is None and self.itl_ms is None and not self.prefill_ms

    def pace(self, rng: Random, prompt_tokens: int) -> Pace:
        """The pace of an answer to a prompt with this many tokens."""
        ttft_ms = (self.ttft_ms or _NOTHING).sample(rng)
        return Pace(ttft_ms + self.prefill_ms * prompt_tokens / 1000, self.itl_ms or _NOTHING, rng)


def _from_setting(name: str, text: str) -> Distribution | None:
    try:
        return parse(text) if text else None
    except ValueError as error:
        raise ConfigurationError(f"{name}={text} is not valid: {error}.") from None


def _from_header(headers: Headers, name: bytes) -> Distribution | None:
    value = header(headers, name)
    try:
        return None if value is None else parse(value.decode("latin-1"))
    except ValueError as error:
        param = name.decode()
        raise InvalidRequest(f"The header {param} is not valid: {error}.", param=param) from None
