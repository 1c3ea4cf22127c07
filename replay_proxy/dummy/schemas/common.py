"""What the typed bodies have in common. Not in here: any endpoint's fields."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


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
