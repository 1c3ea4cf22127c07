"""Faults that replace an answer: by the error that the API would send, or by no answer at all.

Each is a function of the request and the arguments that a script gives; no transport is asked. The
first paragraph of its docstring says what the fault does, and the last one what a user of the
OpenAI SDK sees; docs/faults.md shows both, and tests/transports/faults/test_sdk.py checks the
latter.
"""

import http
from typing import Annotated

from replay_proxy.errors import ConnectionDropped
from replay_proxy.transports.faults.wording import (
    error_answer,
    error_object,
    rate_headers,
    rate_limit_error,
    retry_after_headers,
)
from replay_proxy.wire import Request, Response

#: A status from 400 to 599.
ErrorStatus = Annotated[int, "error status"]


def status(
    request: Request,
    /,
    code: ErrorStatus,
    message: str = "",
    type: str = "",  # noqa: A002 - the name that OpenAI's error object has
    error_code: str = "",
) -> Response:
    """Any error status, 400 to 599, with an error object that has these fields.

    `InternalServerError` after 3 requests for a 500; other statuses have other exceptions.
    """
    try:
        phrase = http.HTTPStatus(code).phrase
    except ValueError:
        phrase = "Error"
    type = type or ("server_error" if code >= 500 else "invalid_request_error")  # noqa: A001
    error = error_object(message or f"{phrase}.", type, code=error_code or None)
    return error_answer(request, code, error)


def rate_limit(request: Request, /, retry_after: float = 1.0, limit: int = 60) -> Response:
    """429 `rate_limit_exceeded`, with `retry-after`, `retry-after-ms` and `x-ratelimit-*`.

    `RateLimitError` after 3 requests, `retry_after` seconds apart.
    """
    error = rate_limit_error(
        request, "requests", limit=limit, used=limit, requested=1, wait_s=retry_after
    )
    rates = rate_headers("requests", limit=limit, remaining=0, reset_s=retry_after)
    return error_answer(request, 429, error, retry_after_headers(retry_after) + rates)


def quota(request: Request, /) -> Response:
    """429 `insufficient_quota`: a retry cannot help, although the status says that it can.

    `RateLimitError` after 3 requests.
    """
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more "
        "information on this error, read the docs: "
        "https://platform.openai.com/docs/guides/error-codes/api-errors."
    )
    error = error_object(message, "insufficient_quota", code="insufficient_quota")
    return error_answer(request, 429, error)


def server_error(request: Request, /) -> Response:
    """500 `server_error`.

    `InternalServerError` after 3 requests, with growing gaps.
    """
    message = "The server had an error while processing your request. Sorry about that!"
    return error_answer(request, 500, error_object(message, "server_error"))


def overloaded(request: Request, /) -> Response:
    """503 `server_error`: the model is overloaded.

    `InternalServerError` after 3 requests, with growing gaps.
    """
    message = (
        "That model is currently overloaded with other requests. You can retry your request, or "
        "contact us through our help center at help.openai.com if the error persists."
    )
    return error_answer(request, 503, error_object(message, "server_error"))


def unauthorized(request: Request, /) -> Response:
    """401 `invalid_api_key`; the key is not repeated.

    `AuthenticationError` after 1 request.
    """
    message = (
        "Incorrect API key provided: [redacted]. You can find your API key at "
        "https://platform.openai.com/account/api-keys."
    )
    error = error_object(message, "invalid_request_error", code="invalid_api_key")
    return error_answer(request, 401, error)


def context_length(request: Request, /, limit: int = 128000) -> Response:
    """400 `context_length_exceeded`, for a model of `limit` tokens.

    `BadRequestError` after 1 request.
    """
    message = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted "
        f"in {limit + 1} tokens. Please reduce the length of the messages."
    )
    error = error_object(
        message, "invalid_request_error", param="messages", code="context_length_exceeded"
    )
    return error_answer(request, 400, error)


def refuse(request: Request, /) -> Response:
    """The connection is closed before any byte of an answer.

    A server that has accepted a connection can do no more; for ECONNREFUSED itself, stop the proxy.

    `APIConnectionError` after 3 requests, with growing gaps.
    """
    raise ConnectionDropped("A fault closes the connection.", fault="refuse", reset=False)


def reset(request: Request, /) -> Response:
    """The connection is reset (TCP RST) before any byte of an answer.

    `APIConnectionError` after 3 requests, with growing gaps.
    """
    raise ConnectionDropped("A fault resets the connection.", fault="reset", reset=True)
