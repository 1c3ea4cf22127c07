"""The typed answers of the models' endpoints. Not in here: other endpoints' bodies."""

from typing import Literal

from replay_proxy.transports.dummy.schemas.common import Schema


class Model(Schema):
    """One model. ``created`` is in seconds since 1970."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ListModelsResponse(Schema):
    """The answer of ``GET /v1/models``."""

    object: Literal["list"]
    data: list[Model]
