"""Errors and rates in OpenAI's wording: the error object, ``x-ratelimit-*``, durations. Pure.

Source: the error codes page of platform.openai.com, and errors that users have quoted:
"Limit 10000, Used 8554, Requested 3082. Please try again in 9.816s".
"""

import json
import math
from typing import Any

from replay_proxy.answers.parsed import parsed
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.matching.request_json import NO_JSON, model_of, request_json
from replay_proxy.wire import Headers, Provenance, Request, Response, Source

RATES = "Visit https://platform.openai.com/account/rate-limits to learn more."


def error_object(
    message: str, type_: str, *, param: str | None = None, code: str | None = None
) -> dict[str, object]:
    """OpenAI's error object with all of its four fields."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def error_answer(
    request: Request,
    status: int,
    error: dict[str, object],
    headers: Headers = (),
    *,
    fault: str | None = None,
) -> Response:
    """An error answer as the API sends it."""
    content = json.dumps(error, indent=4, ensure_ascii=False).encode()
    digest = fingerprint(request)
    return Response(
        status,
        (
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"x-request-id", f"req_{digest.partition(':')[2][:32]}".encode()),
            *headers,
        ),
        content,
        provenance=Provenance(Source.FAULT, digest, fault=fault),
    )


def rate_limit_error(
    request: Request, unit: str, *, limit: int, used: int, requested: int, wait_s: float
) -> dict[str, object]:
    """The error of a 429; ``unit`` is ``requests`` or ``tokens``."""
    short = {"requests": "RPM", "tokens": "TPM"}[unit]
    return error_object(
        f"Rate limit reached for {model_name(request) or 'the model'} on {unit} per min ({short}): "
        f"Limit {limit}, Used {used}, Requested {requested}. "
        f"Please try again in {duration(wait_s)}. {RATES}",
        unit,
        code="rate_limit_exceeded",
    )


def retry_after_headers(wait_s: float) -> Headers:
    """``retry-after`` in whole seconds and ``retry-after-ms``, both rounded up."""
    ms = math.ceil(wait_s * 1000)
    return (
        (b"retry-after", str(math.ceil(ms / 1000)).encode()),
        (b"retry-after-ms", str(ms).encode()),
    )


def rate_headers(unit: str, *, limit: int, remaining: int, reset_s: float) -> Headers:
    """The three ``x-ratelimit-*`` headers of a unit; ``reset_s`` is the time until all is free."""
    return (
        (f"x-ratelimit-limit-{unit}".encode(), str(limit).encode()),
        (f"x-ratelimit-remaining-{unit}".encode(), str(remaining).encode()),
        (f"x-ratelimit-reset-{unit}".encode(), duration(reset_s).encode()),
    )


def duration(seconds: float) -> str:
    """A time as OpenAI writes it: ``0s``, ``174ms``, ``9.816s``, ``6m0s``, rounded up."""
    ms = math.ceil(seconds * 1000 - 1e-6)
    if 0 < ms < 1000:
        return f"{ms}ms"
    minutes, rest_ms = divmod(ms, 60_000)
    return f"{minutes}m{rest_ms / 1000:g}s" if minutes else f"{rest_ms / 1000:g}s"


def body_json(request: Request) -> Any:
    """A request's JSON, also if only the standard library can read it; None if it is not JSON."""
    value = request_json(request)
    return parsed(request.body) if value is NO_JSON else value


def model_name(request: Request) -> str:
    """The model that a JSON body names, read like ``body_json``; empty without one."""
    model = model_of(request)
    if model is None and isinstance(body := body_json(request), dict):
        model = body.get("model")
    return model if isinstance(model, str) else ""
