"""The text of an answer: which words, how many, and where they end.

In here: strings in, pieces of strings out. Not in here: JSON, events, HTTP, the form of a request.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from replay_proxy.transports.dummy.question import Question
from replay_proxy.transports.dummy.sayings.bounds import Bounds
from replay_proxy.transports.dummy.sayings.lorem import sentences
from replay_proxy.transports.dummy.sayings.units import pieces


def answer_pieces(question: Question, first: str, last: str, needed: int = 0) -> Sequence[str]:
    """The whole answer. It quotes the first message, or the user's last, or neither.

    A text of fewer than ``needed`` pieces is repeated. Raises ``BudgetSpent``.
    """
    content = question.content
    length = None if content.tokens is None else max(needed, _length(question))
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
        if len(answer) >= needed:
            return answer
        length = needed
    if answer and len(answer) < length:
        times = length // len(answer) + 1
        question.budget.write(times * len(text))
        answer = pieces(" ".join([text] * times), content.unit)
        if len(answer) < length:  # Units that reach from one repetition into the next are fewer.
            more = pieces(f" {text}", content.unit)
            answer = [*answer, *[*more] * (length // len(more) + 1)]
    return answer[:length]


def _length(question: Question) -> int:
    """The number of pieces, drawn for this request; at least one."""
    assert question.content.tokens is not None
    return max(1, round(question.content.tokens.sample(question.random("length"))))


def up_to_end(
    answer: Sequence[str], stop: Iterable[str], bounds: Bounds, unit: str
) -> tuple[Sequence[str], Literal["stop", "length"]]:
    """The pieces of an answer up to its end, and why it ends there (``finish_reason``).

    It ends at its limit, or before the first stop sequence that follows its least number of pieces.
    """
    # An empty sequence is found everywhere: it would leave nothing of any answer.
    if sequences := [sequence for sequence in stop if sequence]:
        text = "".join(answer)
        start = len("".join(answer[: bounds.least]))
        places = [at for sequence in sequences if (at := text.find(sequence, start)) >= 0]
        if places:
            answer = pieces(text[: min(places)], unit)
    limit = bounds.limit
    if limit is None or len(answer) < limit + (not bounds.endless):
        return answer, "stop"
    return answer[:limit], "length"
