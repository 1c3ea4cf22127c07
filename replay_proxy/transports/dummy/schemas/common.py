"""What the typed bodies have in common. Not in here: any endpoint's fields."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from replay_proxy.errors import InvalidRequest

#: The pairs that the API keeps of an object's metadata.
_PAIRS = 16


class Schema(BaseModel):
    """A body whose types are strict and whose further fields pass."""

    model_config = ConfigDict(strict=True, extra="allow")


# Tags stand in angle brackets: they show up in the path to a fault, where no field has them.
def content_tag(value: object) -> str | None:
    """Which of the two forms of a content this is; None for neither."""
    return "<text>" if isinstance(value, str) else "<array>" if isinstance(value, list) else None


#: The sequences before which an answer ends.
Stop = (
    Annotated[
        Annotated[str, Tag("<text>")]
        | Annotated[list[str], Field(max_length=4, fail_fast=True), Tag("<array>")],
        Discriminator(
            content_tag,
            custom_error_type="wrong_type",
            custom_error_message="one of a string or array of strings",
        ),
    ]
    | None
)


def _few_pairs(value: object) -> object:
    # Before the pairs are looked at: each wrong one of a million would be a fault of its own.
    if isinstance(value, dict) and len(value) > _PAIRS:
        raise InvalidRequest(
            f"Invalid 'metadata': too many properties. Expected an object with at most {_PAIRS} "
            f"properties, but got an object with {len(value)} properties instead.",
            param="metadata",
            code="object_above_max_properties",
        )
    return value


#: What a client notes about a request for itself.
Metadata = Annotated[dict[str, str], BeforeValidator(_few_pairs)] | None
