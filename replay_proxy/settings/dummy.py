"""The settings of the dummy: what it answers.

In here: fields that ``Settings`` inherits, and the checks of single values. Not in here: making an
answer from them (``replay_proxy.transports.dummy``).
"""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from replay_proxy.settings.values import regular_file


def text_source(value: str) -> str:
    """The source of the text. Raises ``ValueError``."""
    kind, colon, rest = value.partition(":")
    if value in ("echo", "echo_last", "lorem") or (kind == "fixed" and colon):
        return value
    if kind == "file" and rest:
        regular_file(Path(rest))
        return value
    raise ValueError("it has to be echo, echo_last, lorem, fixed:TEXT or file:PATH")


def unit(value: str) -> str:
    """The content of one chunk. Raises ``ValueError``."""
    if value in ("char", "token", "word") or re.fullmatch("[1-9][0-9]{0,8}", value):
        return value
    raise ValueError("it has to be char, token, word or a number of characters")


class DummySettings(BaseModel):
    """What the dummy answers."""

    dummy_text: Annotated[str, AfterValidator(text_source)] = Field(
        "echo",
        description="Text of the dummy's answers: `echo` quotes the first message, `echo_last` the "
        "user's last; or `lorem`, `fixed:TEXT`, `file:PATH`.",
    )
    dummy_tokens: str = Field(
        "",
        description="Length of the dummy's answers in tokens: a number, or a distribution such as "
        "`normal(350,80)`. If it is not set, the length of the text.",
    )
    dummy_chunk: Annotated[str, AfterValidator(unit)] = Field(
        "char",
        description="Content of one streamed chunk, which counts as one token: `char`, `token`, "
        "`word`, or a number of characters.",
    )
    dummy_seed: int | None = Field(
        None,
        description="Seed for everything random in the dummy's answers, ids included. The same "
        "seed gives the same answers.",
    )
