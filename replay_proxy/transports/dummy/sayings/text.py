"""What the dummy says, as plain text: which words, how many, and where they end.

In here: strings in, pieces of strings out. Not in here: JSON, events, HTTP, a request's form.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from replay_proxy.transports.dummy.call import Call
from replay_proxy.transports.dummy.sayings.lorem import sentences
from replay_proxy.transports.dummy.sayings.units import pieces


def said(call: Call, first: str, last: str) -> Sequence[str]:
    """Whole answer, in pieces: it quotes the first message, or the user's last, or neither."""
    content = call.content
    length = None if content.tokens is None else _length(call)
    match content.source:
        case "echo":
            text = f"{first}의 응답 내용"
        case "echo_last":
            text = f"{last}의 응답 내용"
        case "lorem":
            chance = call.random("lorem")
            # No unit is longer than a word, but for sizes that the repetition below makes up for.
            text = sentences(chance, chance.randint(20, 80) if length is None else length)
        case _:
            text = content.said
    found = pieces(text, content.unit)
    if length is None:
        return found
    if found and len(found) < length:
        found = pieces(" ".join([text] * (length // len(found) + 1)), content.unit)
    return found[:length]


def _length(call: Call) -> int:
    """How many pieces an answer has, drawn for this request; at least one."""
    assert call.content.tokens is not None
    return max(1, round(call.content.tokens.sample(call.random("length"))))


def ended(
    found: Sequence[str], stop: Iterable[str], limit: int | None, unit: str
) -> tuple[Sequence[str], Literal["stop", "length"]]:
    """Pieces up to the end of an answer, and why it ends there (``finish_reason``).

    It ends before the first stop sequence, and after ``limit`` pieces.
    """
    # An empty sequence stands everywhere: heeding it would silence every answer.
    if sequences := [sequence for sequence in stop if sequence]:
        text = "".join(found)
        places = [at for sequence in sequences if (at := text.find(sequence)) >= 0]
        if places:
            found = pieces(text[: min(places)], unit)
    if limit is None or len(found) <= limit:
        return found, "stop"
    return found[:limit], "length"
