"""Latencies fitted to recordings: a small, robust description of each model's times.

In here: from observations to distributions, and to JSON and back. Not in here: reading a cassette
(``latencies``).

TTFT is ``base + per_kb · (bytes of the request's body / 1,000)``, by the Theil-Sen estimator (the
median slope of pairs: Sen 1968), plus one of the recorded residuals. Gaps and lengths are as
recorded. All draws are independent: the fit does not know that a slow stream stays slow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from statistics import median
from typing import Any, Self

from replay_proxy.transports.dummy.timing.distributions import (
    MOST,
    Distribution,
    Empirical,
    empirical,
)
from replay_proxy.transports.dummy.timing.observations import Observation

#: The name for the fit to all models together, used for models that were not recorded.
ANY = "*"
#: Version of the JSON document.
VERSION = 2
#: Maximum number of values of a distribution. A larger sample is reduced to its quantiles.
VALUES = 200
#: Minimum number of streams, and of different lengths, for a slope.
_STREAMS, _LENGTHS = 10, 3
#: Maximum number of pairs of streams for a slope.
_PAIRS = 20_000


@dataclass(frozen=True, slots=True)
class Shifted(Distribution):
    """Another distribution shifted by ``by``, and never below 0."""

    by: float
    around: Distribution

    @property
    def mean(self) -> float:
        """The shifted mean, exact if no value is raised to 0."""
        return self.by + self.around.mean

    def quantile(self, share: float) -> float:
        """The other's, shifted."""
        return max(0.0, self.by + self.around.quantile(share))


@dataclass(frozen=True, slots=True)
class ModelFit:
    """The times and lengths of one model's answers, in milliseconds and in tokens."""

    streams: int
    base_ms: float
    per_kb_ms: float
    residuals_ms: Empirical
    gaps_ms: Empirical
    tokens: Empirical

    def ttft_ms(self, prompt_bytes: int) -> Distribution:
        """The time to the first token, for a prompt of this length."""
        return Shifted(self.base_ms + self.per_kb_ms * prompt_bytes / 1000, self.residuals_ms)


@dataclass(frozen=True, slots=True)
class Fit:
    """The fit of every recorded model, and ``*`` for all others."""

    models: Mapping[str, ModelFit]

    def of(self, model: str) -> ModelFit:
        """The fit of a model, or the fit to all models."""
        return self.models.get(model) or self.models[ANY]

    def to_json(self) -> dict[str, Any]:
        """The fit as a document for JSON."""
        return {
            "version": VERSION,
            "models": {
                name: {
                    "streams_total": fit.streams,
                    "ttft_ms": {
                        "base": round(fit.base_ms, 3),
                        "per_kb": round(fit.per_kb_ms, 3),
                        "residuals": _rounded(fit.residuals_ms),
                    },
                    "gaps_ms": _rounded(fit.gaps_ms),
                    "answer_tokens": _rounded(fit.tokens),
                }
                for name, fit in self.models.items()
            },
        }

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """The fit from the document of ``to_json``, or of version 1. Raises ``ValueError``."""
        try:
            version = document["version"]
            if version not in (1, VERSION) or ANY not in document["models"]:
                raise ValueError("it has another version")
            return cls(
                {
                    name: ModelFit(
                        int(model["streams" if version == 1 else "streams_total"]),
                        _finite(model["ttft_ms"]["base"]),
                        _finite(model["ttft_ms"]["per_kb"]),
                        *(
                            empirical([_finite(value) for value in values] or [0.0])
                            for values in (
                                model["ttft_ms"]["residuals"],
                                model["gaps_ms"],
                                model["tokens" if version == 1 else "answer_tokens"],
                            )
                        ),
                    )
                    for name, model in document["models"].items()
                }
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"it is not a fit: {type(error).__name__} {error}") from None


def _finite(value: Any) -> float:
    number = float(value)
    if not abs(number) <= MOST:
        raise ValueError(f"{value} is out of range")
    return number


def fit_to(observations: Sequence[Observation]) -> Fit:
    """The fit to streams. Raises ``ValueError`` if there are none."""
    if not observations:
        raise ValueError("it holds no streamed answer with content")
    names = sorted({stream.model for stream in observations if stream.model})
    by_model: dict[str, Sequence[Observation]] = {
        name: [stream for stream in observations if stream.model == name] for name in names
    }
    by_model[ANY] = observations
    return Fit({name: _model_fit(streams) for name, streams in by_model.items()})


def _model_fit(observations: Sequence[Observation]) -> ModelFit:
    lengths = [stream.prompt_bytes / 1000 for stream in observations]
    times = [stream.ttft_ms for stream in observations]
    slope = _slope(lengths, times)
    residuals = [time - slope * length for length, time in zip(lengths, times, strict=True)]
    base = median(residuals)
    return ModelFit(
        streams=len(observations),
        base_ms=base,
        per_kb_ms=slope,
        residuals_ms=_sample([residual - base for residual in residuals]),
        gaps_ms=_sample([gap for stream in observations for gap in stream.gaps_ms]),
        tokens=_sample([len(stream.gaps_ms) + 1.0 for stream in observations]),
    )


def _slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Median slope between pairs of points; 0 if it is negative or there are too few points."""
    if len(xs) < _STREAMS or len(set(xs)) < _LENGTHS:
        return 0.0
    numbers = range(len(xs))
    pairs = list(combinations(numbers, 2))
    if len(pairs) > _PAIRS:
        pairs = Random(0).sample(pairs, _PAIRS)  # noqa: S311
    slopes = [(ys[b] - ys[a]) / (xs[b] - xs[a]) for a, b in pairs if xs[a] != xs[b]]
    return max(0.0, median(slopes)) if slopes else 0.0


def _sample(values: Sequence[float]) -> Empirical:
    """At most ``VALUES`` values with the same distribution; 0 if there are none."""
    whole = empirical(values or [0.0])
    if len(whole.values) <= VALUES:
        return whole
    return Empirical(tuple(whole.quantile((n + 0.5) / VALUES) for n in range(VALUES)))


def _rounded(distribution: Empirical) -> list[float]:
    return [round(value, 3) for value in distribution.values]
