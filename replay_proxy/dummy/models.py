"""``GET /v1/models`` and ``GET /v1/models/{model}``: which models there are.

In here: the list and one entry of it. Not in here: what a model answers.
"""

from collections.abc import Mapping

import orjson

from replay_proxy.wire import Request, Response

#: The models that the list names; every other name is answered too.
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-5", "gpt-5-mini")

# Seconds since 1970, the first of January 2025: the same list every time.
_CREATED = 1735689600


def list_models(request: Request, path: Mapping[str, str]) -> Response:
    """List the models."""
    return _answer({"object": "list", "data": [_model(name) for name in MODELS]})


def retrieve_model(request: Request, path: Mapping[str, str]) -> Response:
    """Show one model, by any name: the dummy answers for every model."""
    return _answer(_model(path["model"]))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "replay-proxy"}


def _answer(content: dict[str, object]) -> Response:
    return Response(200, ((b"content-type", b"application/json"),), orjson.dumps(content))
