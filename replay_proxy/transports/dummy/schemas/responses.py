"""The typed request of responses, by its names in OpenAI's OpenAPI description.

In here: which fields there are, their types and bounds, in the order in which faults are reported.
Not in here: other endpoints' bodies.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from replay_proxy.transports.dummy.endpoints.validation import missing
from replay_proxy.transports.dummy.schemas.common import Metadata, Schema, content_tag


class Reasoning(Schema):
    """How much a model thinks before it answers."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ResponseTextParam(Schema):
    """What the text of an answer has to be."""

    format: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class CreateResponse(Schema):
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

    @model_validator(mode="after")
    def _says_something(self) -> "CreateResponse":
        # Raised as it is: pydantic passes on what is no ValueError.
        extra = self.model_extra or {}
        kept = self.previous_response_id or extra.get("prompt") or extra.get("conversation")
        if self.input is None and not kept:
            raise missing("input")
        return self
