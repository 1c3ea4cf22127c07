"""What the dummy says, as plain text: which words, and where they end.

In here: strings in, strings out. Not in here: JSON, events, HTTP.

One character, that is one Unicode code point, counts as one token.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from replay_proxy.dummy.schemas import (
    ChatCompletionRequestMessage,
    ChatCompletionRequestMessageContentPartText,
)


def text_of(message: ChatCompletionRequestMessage) -> str:
    """Text of a message: its content, or its text parts joined; ``""`` without any."""
    if isinstance(message.content, str):
        return message.content
    return "".join(
        part.text
        for part in message.content or ()
        if isinstance(part, ChatCompletionRequestMessageContentPartText)
    )


def answer_to(messages: Sequence[ChatCompletionRequestMessage]) -> str:
    """Whole answer of the dummy, which quotes the first message."""
    return f"{text_of(messages[0])}의 응답 내용"


def ended(
    text: str, stop: Iterable[str], max_tokens: int | None
) -> tuple[str, Literal["stop", "length"]]:
    """Text up to its end, and why it ends there (``finish_reason``).

    It ends before the first stop sequence, and after ``max_tokens`` characters.
    """
    # An empty sequence stands everywhere: heeding it would silence every answer.
    found = [at for sequence in stop if sequence and (at := text.find(sequence)) >= 0]
    text = text[: min(found, default=None)]
    if max_tokens is None or len(text) <= max_tokens:
        return text, "stop"
    return text[:max_tokens], "length"
