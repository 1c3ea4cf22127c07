"""The typed bodies of chat completions, by their names in OpenAI's OpenAPI description.

In here: the fields, their types and bounds. Not in here: other endpoints' bodies, parts of several
bodies (``common``). The fields of a request are in the order in which the API reports errors.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy.schemas.common import Metadata, Stop, TypedBody, content_tag


def _part_tag(value: object) -> str:
    return "<text>" if isinstance(value, dict) and value.get("type") == "text" else "<other>"


class ChatCompletionRequestMessageContentPartText(TypedBody):
    """A piece of text within a message."""

    type: Literal["text"]
    text: str


class ChatCompletionRequestMessageContentPart(TypedBody):
    """A piece of a message that is not text: an image, a file, or a future type."""

    type: Annotated[str, Field(json_schema_extra={"not": {"const": "text"}})]


ContentPart = Annotated[
    Annotated[ChatCompletionRequestMessageContentPartText, Tag("<text>")]
    | Annotated[ChatCompletionRequestMessageContentPart, Tag("<other>")],
    Discriminator(_part_tag),
]


class ChatCompletionRequestMessage(TypedBody):
    """One message of a conversation. Its content may be absent, whatever its role."""

    role: Literal["system", "assistant", "user", "function", "tool", "developer"]
    content: (
        Annotated[
            Annotated[str, Tag("<text>")]
            | Annotated[list[ContentPart], Field(fail_fast=True), Tag("<array>")],
            Discriminator(
                content_tag,
                custom_error_type="wrong_type",
                custom_error_message="one of a string or array of objects",
            ),
        ]
        | None
    ) = None
    name: str | None = None


class ChatCompletionStreamOptions(TypedBody):
    """Additional content of a stream."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class CreateChatCompletionRequest(TypedBody):
    """The body of ``POST /v1/chat/completions``."""

    model: str
    messages: Annotated[list[ChatCompletionRequestMessage], Field(min_length=1, fail_fast=True)]
    tools: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    user: str | None = None
    seed: int | None = None
    response_format: dict[str, Any] | None = None
    service_tier: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    reasoning_effort: str | None = None
    logit_bias: dict[str, Any] | None = None
    stop: Stop = None
    stream: bool | None = None
    stream_options: ChatCompletionStreamOptions | None = None
    store: bool | None = None
    metadata: Metadata = None
    functions: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = None
    function_call: Any = None
    ignore_eos: bool | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _fields_agree(self) -> "CreateChatCompletionRequest":
        # Not wrapped: pydantic lets through what is not a ValueError.
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise InvalidRequest(
                "Setting 'max_tokens' and 'max_completion_tokens' at the same time "
                "is not supported.",
                param="max_tokens",
                code="invalid_parameter_combination",
            )
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequest(
                "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
                param="top_logprobs",
            )
        if self.stream_options is not None and not self.stream:
            raise InvalidRequest(
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
                param="stream_options",
            )
        return self


class CompletionTokensDetails(TypedBody):
    """The parts of an answer's tokens."""

    reasoning_tokens: int


class CompletionUsage(TypedBody):
    """The number of tokens of a request, in the unit of ``DUMMY_CHUNK``."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    completion_tokens_details: CompletionTokensDetails | None = None


class ChatCompletionResponseMessage(TypedBody):
    """The message of an answer."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, str] | None = None


class ChatCompletionChoice(TypedBody):
    """One of the ``n`` answers to a request."""

    index: int
    message: ChatCompletionResponseMessage
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length", "tool_calls", "function_call"]


class CreateChatCompletionResponse(TypedBody):
    """The whole answer of ``POST /v1/chat/completions``. ``created`` is in seconds since 1970."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    service_tier: str | None = None
    choices: list[ChatCompletionChoice]
    usage: CompletionUsage


class ChatCompletionStreamResponseDelta(TypedBody):
    """What one event adds to an answer: the role, a piece of text, or nothing at the end."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, str] | None = None


class ChatCompletionStreamChoice(TypedBody):
    """One of the ``n`` answers within one event."""

    index: int
    delta: ChatCompletionStreamResponseDelta
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length", "tool_calls", "function_call"] | None


class CreateChatCompletionStreamResponse(TypedBody):
    """One event of a streamed answer.

    ``usage`` is there if the request asks for it: null except in the last event, without choices.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    service_tier: str | None = None
    choices: list[ChatCompletionStreamChoice]
    usage: CompletionUsage | None = None
