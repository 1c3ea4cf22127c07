"""The settings of the dummy: what it answers.

In here: fields that ``Settings`` inherits, and what their values may be as far as one value
tells. Not in here: what an answer is made of (``replay_proxy.transports.dummy``).
"""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from replay_proxy.settings.values import regular_file


def text_source(value: str) -> str:
    """A source of text. Raises ``ValueError``."""
    kind, colon, rest = value.partition(":")
    if value in ("echo", "echo_last", "lorem") or (kind == "fixed" and colon):
        return value
    if kind == "file" and rest:
        regular_file(Path(rest))
        return value
    raise ValueError("it has to be echo, echo_last, lorem, fixed:TEXT or file:PATH")


def unit(value: str) -> str:
    """What one chunk holds. Raises ``ValueError``."""
    if value in ("char", "token", "word") or re.fullmatch("[1-9][0-9]{0,8}", value):
        return value
    raise ValueError("it has to be char, token, word or a number of characters")


class DummySettings(BaseModel):
    """What the dummy answers."""

    dummy_text: Annotated[str, AfterValidator(text_source)] = Field(
        "echo",
        description="What the dummy says: `echo` quotes the first message, `echo_last` the user's "
        "last, `lorem`, `fixed:TEXT` or `file:PATH`.",
    )
    dummy_tokens: str = Field(
        "",
        description="How many tokens long: a number, or a distribution such as `normal(350,80)`; "
        "without it as long as the text.",
    )
    dummy_chunk: Annotated[str, AfterValidator(unit)] = Field(
        "char",
        description="What one streamed chunk holds, and counts as one token: `char`, `token`, "
        "`word`, or a number of characters.",
    )
    dummy_seed: int | None = Field(
        None, description="What the dummy draws by chance, ids included, is another for each seed."
    )
