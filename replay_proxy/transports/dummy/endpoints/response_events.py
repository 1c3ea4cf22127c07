"""A response as a stream: its events, each with a name and a number.

In here: which events, in which order. Not in here: the items in them (``response_object``).

A streamed token needs no serialisation of a whole event, as in ``chat_answer``.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count
from typing import Any

from replay_proxy.transports.dummy.endpoints.response_object import (
    Item,
    ResponseObject,
    final_response,
    initial_response,
    text_part,
)
from replay_proxy.transports.dummy.rendering import json_bytes, json_string, line_safe, renderings
from replay_proxy.transports.dummy.replies import EVENTS, StreamReply
from replay_proxy.transports.dummy.sayings.logprobs import logprob


class _ResponseEvents:
    """The events of one stream, numbered in the order in which they are made."""

    def __init__(self) -> None:
        self._number = 0

    def event(self, kind: str, **fields: Any) -> bytes:
        rendered = _unnumbered(kind, fields) + b"%d}\n\n" % self._number
        self._number += 1
        return rendered

    def deltas(self, render: Callable[[str], bytes], pieces: Sequence[str]) -> Iterator[bytes]:
        """One event per piece, rendered when it is read; ``render`` leaves the number out."""
        numbers = count(self._number)
        self._number += len(pieces)
        return (
            b"%b%d}\n\n" % pair for pair in zip(renderings(render, pieces), numbers, strict=False)
        )


def _unnumbered(kind: str, fields: dict[str, Any]) -> bytes:
    """An event up to its number, which is the last field."""
    content = line_safe(json_bytes({"type": kind, **fields, "sequence_number": 0}))
    return b"event: %b\ndata: %b" % (kind.encode(), content.removesuffix(b"0}"))


def _delta(kind: str, place: dict[str, Any]) -> Callable[[str], bytes]:
    """A function that renders deltas, which differ in their text only."""
    # Only the number follows the delta.
    before, _, after = _unnumbered(kind, {**place, "delta": ""}).rpartition(b'""')
    return lambda text: before + json_string(text) + after


def stream_reply(answer: ResponseObject) -> StreamReply:
    """The response as a stream. It has no ``[DONE]``: the type of its last event ends it."""
    write = _ResponseEvents()
    initial = initial_response(answer)
    opening = [
        write.event("response.created", response=initial),
        write.event("response.in_progress", response=initial),
    ]
    if answer.output.reasoning_tokens:
        item = answer.items[0]
        opening.append(write.event("response.output_item.added", output_index=0, item=item))
        opening.append(write.event("response.output_item.done", output_index=0, item=item))
    if answer.output.calls:
        first, tokens, end = _calls(write, answer)
    else:
        first, tokens, end = _message(write, answer, len(answer.items) - 1)
    kind = "response.incomplete" if answer.status == "incomplete" else "response.completed"
    return StreamReply(
        EVENTS,
        opening=b"".join([*opening, first]),
        tokens=tokens,
        closing=end + write.event(kind, response=final_response(answer)),
        count=answer.output.visible_tokens,
        prompt_tokens=answer.prompt_tokens,
    )


def _message(
    write: _ResponseEvents, answer: ResponseObject, index: int
) -> tuple[bytes, Iterator[bytes], bytes]:
    item = answer.items[index]
    top, text = answer.top_logprobs, answer.output.text
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    initial_item = {**item, "status": "in_progress", "content": []}
    opening = write.event("response.output_item.added", output_index=index, item=initial_item)
    opening += write.event("response.content_part.added", **place, part=text_part("", []))
    kind = "response.output_text.delta"

    def likely(piece: str) -> bytes:
        fields = {**place, "logprobs": [logprob(piece, top or 0)], "delta": piece}
        return _unnumbered(kind, fields)

    render = _delta(kind, {**place, "logprobs": []}) if top is None else likely
    tokens = write.deltas(render, answer.output.pieces)
    part = item["content"][0]
    closing = [
        write.event("response.output_text.done", **place, logprobs=part["logprobs"], text=text),
        write.event("response.content_part.done", **place, part=part),
        write.event("response.output_item.done", output_index=index, item=item),
    ]
    return opening, tokens, b"".join(closing)


def _calls(write: _ResponseEvents, answer: ResponseObject) -> tuple[bytes, Iterator[bytes], bytes]:
    """The calls. The events between two calls come with the first token of the second."""
    between = b""
    parts: list[Iterator[bytes]] = []
    opening = b""
    before = len(answer.items) - len(answer.output.calls)
    for index, call in enumerate(answer.output.calls, before):
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
    write: _ResponseEvents, item: Item, index: int, pieces: Sequence[str]
) -> tuple[bytes, Iterator[bytes], bytes]:
    is_function = item["type"] == "function_call"
    field = "arguments" if is_function else "input"
    kind = f"response.{'function_call_arguments' if is_function else 'custom_tool_call_input'}"
    place = {"item_id": item["id"], "output_index": index}
    initial_item = {**item, "status": "in_progress", field: ""}
    opening = write.event("response.output_item.added", output_index=index, item=initial_item)
    tokens = write.deltas(_delta(f"{kind}.delta", place), pieces)
    closing = write.event(f"{kind}.done", **place, **{field: item[field]})
    return (
        opening,
        tokens,
        closing + write.event("response.output_item.done", output_index=index, item=item),
    )


def _after(bridge: bytes, tokens: Iterator[bytes]) -> Iterator[bytes]:
    """Tokens; the first comes together with the bytes before it."""
    for first in tokens:
        yield bridge + first
        break
    yield from tokens
