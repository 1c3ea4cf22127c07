"""Random quantities: the syntax of settings, and that draws have the stated distribution."""

import math
from random import Random
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.transports.dummy.timing.distributions import Distribution, empirical, parse

EVERY = (
    "350",
    "0",
    "normal(350,80)",
    "normal(1,3)",
    "lognormal(median=350,p95=900)",
    "uniform(200,500)",
    "exponential(300)",
    "empirical(210,340,980)",
)
every = pytest.mark.parametrize("text", EVERY)


def draws(distribution: Distribution, count: int = 20_000) -> list[float]:
    rng = Random(7)
    return sorted(distribution.sample(rng) for _ in range(count))


@every
def test_what_is_drawn_has_the_stated_mean_and_quantiles(text: str) -> None:
    distribution = parse(text)
    drawn = draws(distribution)
    assert drawn[0] >= 0
    error = 4 * stdev(drawn) / math.sqrt(len(drawn))
    assert fmean(drawn) == pytest.approx(distribution.mean, abs=error + 1e-9)
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        below = sum(value <= distribution.quantile(share) for value in drawn) / len(drawn)
        assert below >= share - 0.015


@pytest.mark.parametrize(
    ("text", "share", "value"),
    [
        ("350", 0.95, 350),
        ("normal(350,80)", 0.5, 350),
        ("normal(350,80)", 0.841345, 430),
        ("normal(1,3)", 0.1, 0),
        ("lognormal(median=350,p95=900)", 0.5, 350),
        ("lognormal(median=350,p95=900)", 0.95, 900),
        ("uniform(200,500)", 0.1, 230),
        ("exponential(300)", 1 - math.exp(-1), 300),
        ("empirical(980,210,340)", 0.5, 340),
        ("empirical(980,210,340)", 0.99, 980),
    ],
)
def test_its_parameters_are_what_their_names_say(text: str, share: float, value: float) -> None:
    assert parse(text).quantile(share) == pytest.approx(value, rel=1e-4)


@every
def test_the_same_seed_draws_the_same(text: str) -> None:
    distribution = parse(text)
    assert draws(distribution, 100) == draws(distribution, 100)


@given(st.sampled_from(EVERY), st.floats(1e-9, 1 - 1e-9), st.floats(1e-9, 1 - 1e-9))
def test_quantiles_never_decrease(text: str, one: float, other: float) -> None:
    distribution = parse(text)
    low, high = sorted((one, other))
    assert distribution.quantile(low) <= distribution.quantile(high)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_only_recorded_values_are_drawn(values: list[float]) -> None:
    assert set(draws(empirical(values), 50)) <= set(values)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("normal(mean=350,sd=80)", "normal(350,80)"),
        (" Normal ( 350 , 80 ) ", "normal(350,80)"),
        ("normal(sd=80,mean=350)", "normal(350,80)"),
        ("lognormal(350,900)", "lognormal(median=350,p95=900)"),
        ("empirical(3,1,2)", "empirical(1,2,3)"),
        ("3.5e2", "350"),
    ],
)
def test_one_distribution_may_be_written_in_several_ways(one: str, other: str) -> None:
    assert parse(one) == parse(other)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a number: it has to be a number of at least 0, or normal"),
        ("fast", "'fast' is not a number: it has to be"),
        ("-1", "-1 is out of range: it has to be"),
        ("nan", "out of range"),
        ("inf", "out of range"),
        ("gamma(1,2)", r"no distribution gamma: it has to be a number .* lognormal\(median=350"),
        ("normal(350)", r"normal is written normal\(mean,sd\)"),
        ("normal(350,80,1)", r"normal is written normal\(mean,sd\)"),
        ("normal(350,mean=80)", r"normal is written normal\(mean,sd\)"),
        ("normal(350,σ=80)", r"normal is written normal\(mean,sd\)"),
        ("normal(350,-80)", "-80 is out of range"),
        ("normal(350,80", "is not a number"),
        ("lognormal(0,900)", "median has to be above 0"),
        ("lognormal(900,350)", "p95 at least as large"),
        ("uniform(500,200)", "lower end has to come first"),
        ("empirical()", "'' is not a number"),
        ("exponential()", "'' is not a number"),
    ],
)
def test_anything_else_is_refused_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)
