"""The text of an answer: which words, how many, and where they end.

In here: strings in, pieces of strings out. Not in here: JSON, events, HTTP, the form of a request.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from replay_proxy.transports.dummy.question import Question
from replay_proxy.transports.dummy.sayings.lorem import sentences
from replay_proxy.transports.dummy.sayings.units import pieces


def answer_pieces(question: Question, first: str, last: str) -> Sequence[str]:
    """The whole answer. It quotes the first message, or the user's last, or neither."""
    content = question.content
    length = None if content.tokens is None else _length(question)
    match content.source:
        case "echo":
            text = f"{first}의 응답 내용"
        case "echo_last":
            text = f"{last}의 응답 내용"
        case "lorem":
            chance = question.random("lorem")
            # A unit can be longer than a word. The text is too short then, and repeated below.
            text = sentences(chance, chance.randint(20, 80) if length is None else length)
        case _:
            text = content.fixed_text
    answer = pieces(text, content.unit)
    if length is None:
        return answer
    if answer and len(answer) < length:
        answer = pieces(" ".join([text] * (length // len(answer) + 1)), content.unit)
    return answer[:length]


def _length(question: Question) -> int:
    """The number of pieces, drawn for this request; at least one."""
    assert question.content.tokens is not None
    return max(1, round(question.content.tokens.sample(question.random("length"))))


def up_to_end(
    answer: Sequence[str], stop: Iterable[str], limit: int | None, unit: str
) -> tuple[Sequence[str], Literal["stop", "length"]]:
    """The pieces of an answer up to its end, and why it ends there (``finish_reason``).

    It ends before the first stop sequence, and after ``limit`` pieces.
    """
    # An empty sequence is found everywhere: it would leave nothing of any answer.
    if sequences := [sequence for sequence in stop if sequence]:
        text = "".join(answer)
        places = [at for sequence in sequences if (at := text.find(sequence)) >= 0]
        if places:
            answer = pieces(text[: min(places)], unit)
    if limit is None or len(answer) <= limit:
        return answer, "stop"
    return answer[:limit], "length"
