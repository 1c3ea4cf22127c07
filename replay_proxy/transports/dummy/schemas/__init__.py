"""The typed bodies of the dummy's endpoints, by their names in OpenAI's OpenAPI description.

The endpoints check requests with these, and /docs shows them. Answers are made without them, for
speed, and tested against them. Types are strict, as the API's are (``"2"`` is not an integer), and
unknown fields are accepted.

Not in here: error messages (``endpoints.validation``).

Source: https://github.com/openai/openai-openapi
"""

from replay_proxy.transports.dummy.schemas.chat_completions import (
    ChatCompletionRequestMessage,
    ChatCompletionRequestMessageContentPartText,
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    CreateChatCompletionStreamResponse,
)
from replay_proxy.transports.dummy.schemas.inputs import (
    CreateCompletionRequest,
    CreateEmbeddingRequest,
    CreateModerationRequest,
)
from replay_proxy.transports.dummy.schemas.models import ListModelsResponse, Model
from replay_proxy.transports.dummy.schemas.responses import CreateResponse

__all__ = [
    "ChatCompletionRequestMessage",
    "ChatCompletionRequestMessageContentPartText",
    "CreateChatCompletionRequest",
    "CreateChatCompletionResponse",
    "CreateChatCompletionStreamResponse",
    "CreateCompletionRequest",
    "CreateEmbeddingRequest",
    "CreateModerationRequest",
    "CreateResponse",
    "ListModelsResponse",
    "Model",
]
