"""``GET /v1/models`` and ``GET /v1/models/{model}``: which models there are.

In here: the list and one entry of it. Not in here: what a model answers.
"""

import orjson

from replay_proxy.transports.dummy.call import Call
from replay_proxy.transports.dummy.replies import JSON, Whole

#: The models that the list names; every other name is answered too.
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-5", "gpt-5-mini")

# Seconds since 1970, the first of January 2025: the same list every time.
_CREATED = 1735689600


def list_models(call: Call) -> Whole:
    """List the models."""
    return _answer({"object": "list", "data": [_model(name) for name in MODELS]})


def retrieve_model(call: Call) -> Whole:
    """Show one model, by any name: the dummy answers for every model."""
    return _answer(_model(call.path["model"]))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "replay-proxy"}


def _answer(content: dict[str, object]) -> Whole:
    return Whole(JSON, orjson.dumps(content))
