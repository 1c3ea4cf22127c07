"""The typed request of responses, by its names in OpenAI's OpenAPI description.

In here: the fields, their types and bounds, in the order in which errors are reported. Not in here:
other endpoints' bodies.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from replay_proxy.transports.dummy.endpoints.validation import missing_parameter
from replay_proxy.transports.dummy.schemas.common import Metadata, TypedBody, content_tag


class Reasoning(TypedBody):
    """How much a model reasons before it answers."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ResponseTextParam(TypedBody):
    """The format of an answer's text."""

    format: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class CreateResponse(TypedBody):
    """The body of ``POST /v1/responses``."""

    model: str
    input: (
        Annotated[
            Annotated[str, Tag("<text>")]
            | Annotated[list[dict[str, Any]], Field(fail_fast=True), Tag("<array>")],
            Discriminator(
                content_tag,
                custom_error_type="wrong_type",
                custom_error_message="one of a string or array of objects",
            ),
        ]
        | None
    ) = None
    instructions: str | None = None
    tools: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=16)] | None = None
    previous_response_id: str | None = None
    include: Annotated[list[str], Field(fail_fast=True)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    reasoning: Reasoning | None = None
    text: ResponseTextParam | None = None
    truncation: Literal["auto", "disabled"] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    metadata: Metadata = None
    user: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    ignore_eos: bool | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _has_input(self) -> "CreateResponse":
        # Not wrapped: pydantic lets through what is not a ValueError.
        extra = self.model_extra or {}
        stored = self.previous_response_id or extra.get("prompt") or extra.get("conversation")
        if self.input is None and not stored:
            raise missing_parameter("input")
        return self
