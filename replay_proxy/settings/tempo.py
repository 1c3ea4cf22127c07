"""The settings of the dummy's time: how fast it answers.

In here: fields that ``Settings`` inherits. Not in here: what follows from them for an answer, and
the words of a distribution (``replay_proxy.transports.dummy``).
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from replay_proxy.settings.values import MOST, cassette_name, not_tiny


def latency_source(value: str) -> str:
    """Where a fit comes from. Raises ``ValueError``."""
    kind, _, name = value.partition(":")
    if kind == "cassette":
        cassette_name(name)
    elif value and (kind != "file" or not name):
        raise ValueError("it has to be cassette:NAME or file:PATH")
    return value


class TempoSettings(BaseModel):
    """How fast the dummy answers; without any of them, at once."""

    dummy_ttft_ms: str = Field(
        "",
        description="Milliseconds until the dummy's first token: a number, or a distribution such "
        "as `lognormal(median=350,p95=900)`.",
    )
    dummy_itl_ms: str = Field("", description="Milliseconds between two of its tokens, likewise.")
    dummy_tps: Annotated[float, AfterValidator(not_tiny)] | None = Field(
        None,
        gt=0,
        le=MOST,
        allow_inf_nan=False,
        description="Its tokens per second, instead of `DUMMY_ITL_MS`.",
    )
    dummy_prefill_ms: float = Field(
        0.0,
        ge=0,
        le=MOST,
        allow_inf_nan=False,
        description="Milliseconds that each 1,000 tokens of the prompt add to the first token.",
    )
    dummy_capacity: int | None = Field(
        None,
        gt=0,
        le=MOST,
        description="How many answers the dummy gives at once, for each worker: it slows down "
        "from half of them on, and further requests queue.",
    )
    dummy_latency: Annotated[str, AfterValidator(latency_source)] = Field(
        "",
        description="Recorded latencies, and lengths, for what is not set: `cassette:NAME`, or "
        "`file:PATH` as written by `replay-proxy fit`.",
    )
