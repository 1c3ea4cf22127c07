"""A request's JSON and its model, each read once. Pure."""

import re
from typing import Any

import orjson

from replay_proxy.matching.content_coding import content
from replay_proxy.wire import Request

#: The JSON of a larger body is read anew each time: it would take the memory of the body again.
SMALL_BYTES = 1 << 16
#: Stands for the JSON of a body that orjson does not read.
NO_JSON: Any = type("NoJson", (), {"__repr__": lambda _: "NO_JSON"})()
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])', re.DOTALL)
#: Their keys in ``Request.memo``. A dict whose first keys are texts is rebuilt for any other key.
_JSON, _MODEL = object(), object()


def request_json(request: Request) -> Any:
    """The JSON of a request's body, or ``NO_JSON``. It is shared and must not be changed."""
    memo = request.memo
    if _JSON in memo:
        return memo[_JSON]
    body = content(request)
    try:
        value = orjson.loads(body)
    except ValueError:
        value = NO_JSON
    if len(body) <= SMALL_BYTES:
        memo[_JSON] = value
    else:
        memo[_MODEL] = _model_in(value)  # Or the JSON would be read again for the model.
    return value


def model_of(request: Request) -> str | None:
    """The model that a JSON body names, if any. The deployment in a path of Azure's is not one."""
    if _MODEL in request.memo:
        return request.memo[_MODEL]  # type: ignore[no-any-return]
    request.memo[_MODEL] = model = _model_in(request_json(request))
    return model


def _model_in(value: Any) -> str | None:
    model = value.get("model") if isinstance(value, dict) else None
    return model if isinstance(model, str) else None


def is_nested_beyond(levels: int, body: bytes) -> bool:
    """Whether objects and arrays of a JSON body are nested deeper than this."""
    if body.count(b"[") + body.count(b"{") <= levels:
        return False
    level = 0
    for bracket in _BRACKETS.finditer(body):
        level += (bracket.lastindex == 1) - (bracket.lastindex == 2)
        if level > levels:
            return True
    return False
