"""Parts of several typed bodies. Not in here: the fields of one endpoint."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from replay_proxy.errors import InvalidRequest

#: Maximum number of pairs in an object's metadata.
_PAIRS = 16


class TypedBody(BaseModel):
    """A body with strict types that accepts unknown fields."""

    model_config = ConfigDict(strict=True, extra="allow")


# Tags are in angle brackets: they are part of the path to an error, and no field has brackets.
def content_tag(value: object) -> str | None:
    """The tag of a content that is a text or an array; None for any other value."""
    return "<text>" if isinstance(value, str) else "<array>" if isinstance(value, list) else None


#: The stop sequences: an answer ends before the first of them.
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
    # Before the pairs are checked: a million wrong ones would be a million errors.
    if isinstance(value, dict) and len(value) > _PAIRS:
        raise InvalidRequest(
            f"Invalid 'metadata': too many properties. Expected an object with at most {_PAIRS} "
            f"properties, but got an object with {len(value)} properties instead.",
            param="metadata",
            code="object_above_max_properties",
        )
    return value


#: A client's own notes on a request.
Metadata = Annotated[dict[str, str], BeforeValidator(_few_pairs)] | None
