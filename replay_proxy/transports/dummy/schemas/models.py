"""The typed answers of the endpoints for models. Not in here: other endpoints' bodies."""

from typing import Literal

from replay_proxy.transports.dummy.schemas.common import TypedBody


class Model(TypedBody):
    """One model. ``created`` is in seconds since 1970."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ListModelsResponse(TypedBody):
    """The answer of ``GET /v1/models``."""

    object: Literal["list"]
    data: list[Model]
