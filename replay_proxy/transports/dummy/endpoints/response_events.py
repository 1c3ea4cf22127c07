"""A response written down as a stream: its events, each with a name and a number.

In here: which events, in which order. Not in here: the items in them (``response_object``).

A streamed token costs no serialisation of its own, as in ``chat_answer``.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count
from typing import Any

from replay_proxy.transports.dummy.endpoints.response_object import (
    Answer,
    Item,
    begun,
    ended,
    text_part,
)
from replay_proxy.transports.dummy.events import escaped, json_bytes, json_string, rendered_once
from replay_proxy.transports.dummy.replies import EVENTS, Streamed
from replay_proxy.transports.dummy.sayings.logprobs import logprob


class _Writer:
    """Numbers the events of one stream as they are planned."""

    def __init__(self) -> None:
        self._number = 0

    def event(self, kind: str, **fields: Any) -> bytes:
        rendered = _unnumbered(kind, fields) + b"%d}\n\n" % self._number
        self._number += 1
        return rendered

    def deltas(self, render: Callable[[str], bytes], pieces: Sequence[str]) -> Iterator[bytes]:
        """One event a piece, rendered when it is read; ``render`` leaves the number out."""
        numbers = count(self._number)
        self._number += len(pieces)
        return (
            b"%b%d}\n\n" % pair
            for pair in zip(rendered_once(render, pieces), numbers, strict=False)
        )


def _unnumbered(kind: str, fields: dict[str, Any]) -> bytes:
    """An event up to its number, which comes last."""
    content = escaped(json_bytes({"type": kind, **fields, "sequence_number": 0}))
    return b"event: %b\ndata: %b" % (kind.encode(), content.removesuffix(b"0}"))


def _framed(kind: str, place: dict[str, Any]) -> Callable[[str], bytes]:
    """Render deltas that differ in their text only."""
    # Behind the delta, only the number follows.
    before, _, after = _unnumbered(kind, {**place, "delta": ""}).rpartition(b'""')
    return lambda text: before + json_string(text) + after


def streamed(answer: Answer) -> Streamed:
    """The response as a stream. It has no ``[DONE]``: its last event says that it is the last."""
    write = _Writer()
    started = begun(answer)
    opening = [
        write.event("response.created", response=started),
        write.event("response.in_progress", response=started),
    ]
    if answer.turn.reasoning_tokens:
        item = answer.items[0]
        opening.append(write.event("response.output_item.added", output_index=0, item=item))
        opening.append(write.event("response.output_item.done", output_index=0, item=item))
    if answer.turn.calls:
        first, tokens, end = _calls(write, answer)
    else:
        first, tokens, end = _message(write, answer, len(answer.items) - 1)
    kind = "response.incomplete" if answer.status == "incomplete" else "response.completed"
    return Streamed(
        EVENTS,
        opening=b"".join([*opening, first]),
        tokens=tokens,
        closing=end + write.event(kind, response=ended(answer)),
        count=answer.turn.shown,
        prompt_tokens=answer.prompt_tokens,
    )


def _message(write: _Writer, answer: Answer, index: int) -> tuple[bytes, Iterator[bytes], bytes]:
    item = answer.items[index]
    top, text = answer.top_logprobs, answer.turn.text
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    begun = {**item, "status": "in_progress", "content": []}
    opening = write.event("response.output_item.added", output_index=index, item=begun)
    opening += write.event("response.content_part.added", **place, part=text_part("", []))
    kind = "response.output_text.delta"

    def likely(piece: str) -> bytes:
        fields = {**place, "logprobs": [logprob(piece, top or 0)], "delta": piece}
        return _unnumbered(kind, fields)

    render = _framed(kind, {**place, "logprobs": []}) if top is None else likely
    tokens = write.deltas(render, answer.turn.pieces)
    part = item["content"][0]
    closing = [
        write.event("response.output_text.done", **place, logprobs=part["logprobs"], text=text),
        write.event("response.content_part.done", **place, part=part),
        write.event("response.output_item.done", output_index=index, item=item),
    ]
    return opening, tokens, b"".join(closing)


def _calls(write: _Writer, answer: Answer) -> tuple[bytes, Iterator[bytes], bytes]:
    """The calls; what lies between two of them comes with the first token of the second."""
    between = b""
    parts: list[Iterator[bytes]] = []
    opening = b""
    before = len(answer.items) - len(answer.turn.calls)
    for index, call in enumerate(answer.turn.calls, before):
        item = answer.items[index]
        opened, tokens, closed = _call(write, item, index, call.pieces)
        if parts:
            parts.append(_after(between + opened, tokens))
        else:
            opening = opened
            parts.append(tokens)
        between = closed
    return opening, chain.from_iterable(parts), between


def _call(
    write: _Writer, item: Item, index: int, pieces: Sequence[str]
) -> tuple[bytes, Iterator[bytes], bytes]:
    is_function = item["type"] == "function_call"
    field = "arguments" if is_function else "input"
    kind = f"response.{'function_call_arguments' if is_function else 'custom_tool_call_input'}"
    place = {"item_id": item["id"], "output_index": index}
    begun = {**item, "status": "in_progress", field: ""}
    opening = write.event("response.output_item.added", output_index=index, item=begun)
    tokens = write.deltas(_framed(f"{kind}.delta", place), pieces)
    closing = write.event(f"{kind}.done", **place, **{field: item[field]})
    return (
        opening,
        tokens,
        closing + write.event("response.output_item.done", output_index=index, item=item),
    )


def _after(bridge: bytes, tokens: Iterator[bytes]) -> Iterator[bytes]:
    """Tokens, the first of which comes with what stands before it."""
    for first in tokens:
        yield bridge + first
        break
    yield from tokens
