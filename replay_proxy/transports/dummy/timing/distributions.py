"""Random quantities in the syntax of settings: ``350``, ``normal(350,80)``, ``empirical(1,2,5)``.

In here: from the text to a ``Distribution``, in the unit of the setting. Not in here: what the
values are for. No value is ever negative: a negative draw is 0.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist, fmean

#: The largest value of a draw, and of a number in a setting.
MOST = 1e9
#: The smallest median of a lognormal distribution.
LEAST = 1e-6
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_STANDARD = NormalDist()
#: The largest exponent for which a power of e is a float.
_EXPONENT = 700.0
#: Standard deviations of the logarithm between a median and a 95th percentile.
_Z95 = _STANDARD.inv_cdf(0.95)


class Distribution(ABC):
    """A random quantity of at least 0. A draw is the quantile of one random number."""

    __slots__ = ()

    @property
    @abstractmethod
    def mean(self) -> float:
        """The expected value."""

    @abstractmethod
    def quantile(self, share: float) -> float:
        """The value that a ``share`` of the draws does not exceed; 0 < share < 1."""

    def sample(self, rng: Random) -> float:
        """One draw."""
        # Never exactly 0, for which a normal distribution has no quantile.
        return min(MOST, self.quantile(rng.random() or 0.5))


@dataclass(frozen=True, slots=True)
class Constant(Distribution):
    """Always the same value."""

    value: float

    @property
    def mean(self) -> float:
        """The value."""
        return self.value

    def quantile(self, share: float) -> float:
        """The value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Normal(Distribution):
    """A normal distribution around ``centre``; negative draws are 0."""

    centre: float
    sd: float

    @property
    def mean(self) -> float:
        """A little above ``centre``, if negative draws are likely."""
        if not self.sd:
            return self.centre
        at = self.centre / self.sd
        return self.centre * _STANDARD.cdf(at) + self.sd * _STANDARD.pdf(at)

    def quantile(self, share: float) -> float:
        """The normal distribution's, or 0."""
        return max(0.0, self.centre + self.sd * _STANDARD.inv_cdf(share))


@dataclass(frozen=True, slots=True)
class Lognormal(Distribution):
    """Most values near the median, and a long tail: the usual shape of latencies."""

    median: float
    p95: float

    @property
    def _sigma(self) -> float:
        return math.log(self.p95 / self.median) / _Z95

    @property
    def mean(self) -> float:
        """Above the median."""
        return self.median * math.exp(self._sigma**2 / 2)

    def quantile(self, share: float) -> float:
        """``median`` at 0.5, ``p95`` at 0.95."""
        return self.median * math.exp(min(_EXPONENT, self._sigma * _STANDARD.inv_cdf(share)))


@dataclass(frozen=True, slots=True)
class Uniform(Distribution):
    """Any value from ``low`` to ``high``, equally likely."""

    low: float
    high: float

    @property
    def mean(self) -> float:
        """The middle."""
        return (self.low + self.high) / 2

    def quantile(self, share: float) -> float:
        """Linear from ``low`` to ``high``."""
        return self.low + (self.high - self.low) * share


@dataclass(frozen=True, slots=True)
class Exponential(Distribution):
    """Waiting times between independent events."""

    average: float

    @property
    def mean(self) -> float:
        """``average``."""
        return self.average

    def quantile(self, share: float) -> float:
        """``-mean · ln(1 - share)``."""
        return -self.average * math.log1p(-share)


@dataclass(frozen=True, slots=True)
class Empirical(Distribution):
    """One of these values, each equally likely. They ascend; a repeated value is more likely."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return fmean(self.values)

    def quantile(self, share: float) -> float:
        """One of the values."""
        return self.values[min(len(self.values) - 1, int(share * len(self.values)))]


def empirical(values: Sequence[float]) -> Empirical:
    """The distribution of at least one value, in any order."""
    return Empirical(tuple(sorted(values)))


def _lognormal(median: float, p95: float) -> Lognormal:
    if not LEAST < median <= p95:
        raise ValueError("the median has to be above 0.000001, and p95 at least as large")
    return Lognormal(median, p95)


def _uniform(low: float, high: float) -> Uniform:
    if low > high:
        raise ValueError("the lower end has to come first")
    return Uniform(low, high)


#: Each distribution with the names of its parameters, which may also be given by name.
_FORMS: dict[str, tuple[tuple[str, ...], Callable[..., Distribution]]] = {
    "normal": (("mean", "sd"), Normal),
    "lognormal": (("median", "p95"), _lognormal),
    "uniform": (("low", "high"), _uniform),
    "exponential": (("mean",), Exponential),
}
_REMEDY = (
    "it has to be a number of at least 0, or normal(350,80), lognormal(median=350,p95=900), "
    "uniform(200,500), exponential(300) or empirical(210,340,980), with your own numbers up to 1e9"
)


def parse(text: str) -> Distribution:
    """The distribution that a setting describes. Raises ``ValueError`` with the remedy."""
    text = text.strip()
    form = re.fullmatch(r"(\w+)\s*\((.*)\)", text)
    if form is None:
        return Constant(_number(text))
    name, inside = form[1].lower(), form[2]
    parts = [part.strip() for part in inside.split(",")]
    if name == "empirical":
        return empirical([_number(part) for part in parts])
    if name not in _FORMS:
        raise ValueError(f"there is no distribution {form[1]}: {_REMEDY}")
    parameters, make = _FORMS[name]
    arguments: dict[str, float] = {}
    for position, part in enumerate(parts):
        word, equals, value = part.rpartition("=")
        word = word.strip() if equals else "".join(parameters[position : position + 1])
        if word not in parameters or word in arguments:
            break
        arguments[word] = _number(value)
    if len(arguments) != len(parameters) or len(parts) != len(parameters):
        raise ValueError(f"{name} is written {name}({','.join(parameters)}), with numbers")
    return make(*(arguments[parameter] for parameter in parameters))


def _number(text: str) -> float:
    text = text.strip()
    if text.lower() not in ("inf", "nan") and not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number: {_REMEDY}")
    number = float(text)
    if not 0 <= number <= MOST:
        raise ValueError(f"{text} is out of range: {_REMEDY}")
    return number
