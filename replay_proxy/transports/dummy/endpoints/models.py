"""``GET /v1/models`` and ``GET /v1/models/{model}``: the models.

In here: the list and its entries. Not in here: what a model answers.
"""

import orjson

from replay_proxy.transports.dummy.question import Question
from replay_proxy.transports.dummy.replies import JSON, WholeReply

#: The models in the list. Requests for any other model are answered too.
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-5", "gpt-5-mini")

# 1 January 2025, in seconds since 1970. The list is always the same.
_CREATED = 1735689600


def list_models(question: Question) -> WholeReply:
    """List the models."""
    return _answer({"object": "list", "data": [_model(name) for name in MODELS]})


def retrieve_model(question: Question) -> WholeReply:
    """Show one model, by any name: the dummy answers for every model."""
    return _answer(_model(question.path["model"]))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "replay-proxy"}


def _answer(content: dict[str, object]) -> WholeReply:
    return WholeReply(JSON, orjson.dumps(content))
