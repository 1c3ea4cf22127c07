"""The typed models of the dummy on ``/docs``. The data plane answers these paths before FastAPI."""

from fastapi import FastAPI, Response

from replay_proxy.transports.dummy.schemas import (
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    CreateChatCompletionStreamResponse,
    CreateCompletionRequest,
    CreateEmbeddingRequest,
    CreateModerationRequest,
    CreateResponse,
    ListModelsResponse,
)


def document(app: FastAPI) -> None:
    """Add routes that only show the models."""

    async def chat_completions(body: CreateChatCompletionRequest) -> Response:
        raise NotImplementedError("the data plane answers this path")

    async def responses(body: CreateResponse) -> Response:
        raise NotImplementedError("the data plane answers this path")

    async def completions(body: CreateCompletionRequest) -> Response:
        raise NotImplementedError("the data plane answers this path")

    async def embeddings(body: CreateEmbeddingRequest) -> Response:
        raise NotImplementedError("the data plane answers this path")

    async def moderations(body: CreateModerationRequest) -> Response:
        raise NotImplementedError("the data plane answers this path")

    async def models() -> Response:
        raise NotImplementedError("the data plane answers this path")

    app.add_api_route(
        "/v1/chat/completions",
        chat_completions,
        methods=["POST"],
        tags=["dummy"],
        summary="Create a chat completion",
        response_model=CreateChatCompletionResponse | CreateChatCompletionStreamResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    for path, route, summary in (
        ("/v1/responses", responses, "Create a response"),
        ("/v1/completions", completions, "Create a completion"),
        ("/v1/embeddings", embeddings, "Create embeddings"),
        ("/v1/moderations", moderations, "Judge inputs"),
    ):
        app.add_api_route(path, route, methods=["POST"], tags=["dummy"], summary=summary)
    app.add_api_route(
        "/v1/models",
        models,
        tags=["dummy"],
        summary="List models",
        response_model=ListModelsResponse,
    )
