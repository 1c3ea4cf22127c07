"""The settings of the dummy's time: how fast it answers.

In here: fields that ``Settings`` inherits. Not in here: the times of an answer, and the syntax of
a distribution (``replay_proxy.transports.dummy``).
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from replay_proxy.settings.values import MOST, cassette_name, not_tiny


def latency_source(value: str) -> str:
    """The source of a fit. Raises ``ValueError``."""
    kind, _, name = value.partition(":")
    if kind == "cassette":
        cassette_name(name)
    elif value and (kind != "file" or not name):
        raise ValueError("it has to be cassette:NAME or file:PATH")
    return value


class TempoSettings(BaseModel):
    """How fast the dummy answers. If none is set, it answers at once."""

    dummy_ttft_ms: str = Field(
        "",
        description="Milliseconds to the dummy's first token: a number, or a distribution such as "
        "`lognormal(median=350,p95=900)`.",
    )
    dummy_itl_ms: str = Field(
        "",
        description="Milliseconds between two tokens of the dummy: a number, or a distribution.",
    )
    dummy_tps: Annotated[float, AfterValidator(not_tiny)] | None = Field(
        None,
        gt=0,
        le=MOST,
        allow_inf_nan=False,
        description="Tokens per second of the dummy, instead of `DUMMY_ITL_MS`.",
    )
    dummy_prefill_ms: float = Field(
        0.0,
        ge=0,
        le=MOST,
        allow_inf_nan=False,
        description="Milliseconds that each 1,000 tokens of the prompt add to `DUMMY_TTFT_MS`.",
    )
    dummy_capacity: int | None = Field(
        None,
        gt=0,
        le=MOST,
        description="Most answers of the dummy at the same time, per worker. It slows down from "
        "half of them on; further requests wait.",
    )
    dummy_latency: Annotated[str, AfterValidator(latency_source)] = Field(
        "",
        description="Source of the dummy's times and lengths that are not set: `cassette:NAME`, or "
        "`file:PATH` as written by `replay-proxy fit`.",
    )
