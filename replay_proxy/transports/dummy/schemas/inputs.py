"""The typed requests of completions, embeddings and moderations, whose input comes in batches.

In here: the fields, their types and bounds, in the order in which errors are reported. Not in here:
other endpoints' bodies.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy.schemas.common import Stop, TypedBody


class StreamOptions(TypedBody):
    """Additional content of a stream."""

    include_usage: bool | None = None


class CreateCompletionRequest(TypedBody):
    """The body of ``POST /v1/completions``."""

    model: str
    prompt: Any = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    best_of: Annotated[int, Field(ge=1, le=20)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    logit_bias: dict[str, Any] | None = None
    user: str | None = None
    seed: int | None = None
    stop: Stop = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ignore_eos: bool | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _fields_agree(self) -> "CreateCompletionRequest":
        # Not wrapped: pydantic lets through what is not a ValueError.
        if self.stream_options is not None and not self.stream:
            raise InvalidRequest(
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
                param="stream_options",
            )
        return self


class CreateEmbeddingRequest(TypedBody):
    """The body of ``POST /v1/embeddings``."""

    model: str
    input: Any
    dimensions: Annotated[int, Field(ge=1, le=16384)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class CreateModerationRequest(TypedBody):
    """The body of ``POST /v1/moderations``."""

    input: Any
    model: str | None = None
