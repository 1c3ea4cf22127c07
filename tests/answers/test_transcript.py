"""What an answer says, of whatever endpoint, streamed or not."""

import gzip
import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replay_proxy.answers.parsed import DEPTH, Answer, answer, parsed
from replay_proxy.answers.transcript import ToolCall, Transcript, Usage, transcript
from replay_proxy.wire import Headers
from tests.sse.test_sse import CORPUS
from tests.support.corpus import Record, load

JSON: Headers = ((b"content-type", b"application/json"),)
STREAM: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"),)
RECORDS = {record.id: record for record in load(CORPUS)}


def stream_of(*values: Any, done: bool = True) -> bytes:
    """An event stream of these JSON values."""
    said = [f"data: {json.dumps(value)}\n\n" for value in values]
    return "".join([*said, "data: [DONE]\n\n"] if done else said).encode()


def said(body: Any, status: int = 200, headers: Headers = JSON) -> Transcript:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return transcript(answer(status, headers, raw))


def streamed(*values: Any, done: bool = True) -> Transcript:
    return said(stream_of(*values, done=done), headers=STREAM)


def read(record: Record) -> Answer:
    headers = tuple((name.lower(), value) for name, value in record.response_headers)
    return answer(record.status, headers, record.response_body)


def chunk(delta: Any, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more}


def call(arguments: str, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **more, "function": {"arguments": arguments}}]}


# --- chat completions ---------------------------------------------------------------------------


def test_a_chat_answer_is_its_text() -> None:
    message = {"role": "assistant", "content": "Paris.", "refusal": None}
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    expected = Transcript("Paris.", "", (), ("stop",), Usage(7, 2, 9), None, False, True)
    assert said(body) == expected


def test_deltas_are_joined() -> None:
    found = streamed(
        {"id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": []},
        chunk({"role": "assistant", "content": ""}),
        chunk({"role": "assistant", "content": "안"}),
        chunk({"content": "녕"}),
        chunk({}, finish="stop"),
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    )
    assert found == Transcript("안녕", "", (), ("stop",), Usage(1, 2, 3), None, True, True)


def test_choices_are_told_apart() -> None:
    found = streamed(
        chunk({"role": "assistant", "content": "y"}, index=1),
        chunk({"content": "x"}),
        chunk({"content": "es"}, index=1),
        chunk({}, index=1, finish="length"),
        chunk({}, finish="stop"),
    )
    assert found.text == "[0] x\n\n[1] yes"
    assert found.finish_reasons == ("stop", "length")


def test_the_arguments_of_interleaved_tool_calls_are_joined() -> None:
    found = streamed(
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [{"index": 0, "type": "function", "function": {"name": "weather"}}]}),
        chunk(call('{"ci')),
        chunk({"tool_calls": [{"index": 1, "function": {"name": "time", "arguments": "{"}}]}),
        chunk(call('ty": 1}')),
        chunk(call("}", 1)),
        chunk({}, finish="tool_calls"),
    )
    assert found.tool_calls == (ToolCall("weather", '{"city": 1}'), ToolCall("time", "{}"))
    assert found.text == ""


def test_a_refusal_and_the_words_of_an_audio_answer_are_text() -> None:
    refused = {"choices": [{"message": {"content": None, "refusal": "No."}}]}
    spoken = {
        "choices": [{"message": {"content": None, "audio": {"transcript": "Hi", "data": "A"}}}]
    }
    assert (said(refused).text, said(spoken).text) == ("No.", "Hi")


def test_reasoning_is_not_text() -> None:
    found = streamed(
        chunk({"reasoning_content": "Hm", "reasoning": "Hm"}),
        chunk({"reasoning_content": "m.", "reasoning": "m."}),
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "So"}]}]}),
        chunk({"content": "4"}),
    )
    assert (found.text, found.reasoning) == ("4", "Hmm.So")


def test_a_character_that_came_in_two_halves_is_whole() -> None:
    halves = (
        rb'{"choices":[{"delta":{"content":"\ud83d"}}]}',
        rb'{"choices":[{"delta":{"content":"\ude00"}}]}',
    )
    body = b"".join(b"data: " + half + b"\n\n" for half in halves)
    assert said(body, headers=STREAM).text == "😀"
    assert said(body.replace(rb"\ude00", b"!"), headers=STREAM).text == "\ufffd!"


def test_what_hosts_repeat_in_every_chunk_is_not_joined() -> None:
    named = {"index": 0, "id": "a", "type": "function"}
    repeated = [
        {"role": "assistant", "tool_calls": [named | {"function": {"name": "f", "arguments": a}}]}
        for a in "{}"
    ]
    body = stream_of(*map(chunk, repeated), {"id": "", "choices": [], "usage": None})
    value = answer(200, STREAM, body).value
    called = named | {"function": {"name": "f", "arguments": "{}"}}
    assert value["choices"][0]["delta"] == {"role": "assistant", "tool_calls": [called]}
    assert value["id"] == "c"


# --- other endpoints ----------------------------------------------------------------------------


def test_a_legacy_completion_is_its_text() -> None:
    assert said({"choices": [{"index": 0, "text": "abc", "finish_reason": "stop"}]}).text == "abc"
    pieces = [{"choices": [{"index": 0, "text": text}]} for text in "abc"]
    assert streamed(*pieces).text == "abc"


OUTPUT = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": t} for t in "AB"]},
    {"type": "function_call", "name": "f", "arguments": "{}"},
    {"type": "web_search_call", "action": {"query": "q"}},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
]
RESPONSE = {
    "object": "response",
    "status": "completed",
    "error": None,
    "output": OUTPUT,
    "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    "text": {"format": {"type": "text"}},
}
OF_RESPONSE = Transcript(
    "Hi",
    "A\n\nB",
    (ToolCall("f", "{}"), ToolCall("web_search", '{"query": "q"}')),
    ("completed",),
    Usage(1, 2, 3),
    None,
    False,
    True,
)


def test_a_response_is_the_text_of_its_messages() -> None:
    assert said(RESPONSE) == OF_RESPONSE
    ended = streamed(
        {"type": "response.created", "response": RESPONSE | {"output": [], "status": "queued"}},
        {"type": "response.output_text.delta", "output_index": 3, "content_index": 0, "delta": "H"},
        # Some hosts put the type last, and none of these streams has a [DONE].
        {"response": RESPONSE, "type": "response.completed"},
        done=False,
    )
    assert ended.ended
    assert ended.text == "Hi"
    assert ended.tool_calls == OF_RESPONSE.tool_calls


def test_of_a_response_that_was_cut_the_deltas_are_read() -> None:
    found = streamed(
        {"type": "response.created", "response": RESPONSE | {"output": []}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "Th"},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "en"},
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": {"type": "function_call", "name": "f", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}"},
        {"type": "response.output_text.delta", "output_index": 2, "content_index": 1, "delta": "H"},
        {"type": "response.output_text.delta", "output_index": 2, "content_index": 1, "delta": "o"},
        done=False,
    )
    assert not found.ended
    assert (found.text, found.tool_calls) == ("Ho", (ToolCall("f", "{}"),))


def test_a_place_that_no_answer_has_costs_nothing() -> None:
    far = {"type": "response.output_text.delta", "content_index": 10**12, "delta": "Hi"}
    assert streamed(far).text == "Hi"


def test_an_incomplete_response_says_why() -> None:
    cut = RESPONSE | {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    assert said(cut).finish_reasons == ("incomplete (content_filter)",)


def test_assistants_are_read() -> None:
    def text(value: str) -> list[Any]:
        return [{"index": 0, "type": "text", "text": {"value": value, "annotations": []}}]

    message = {"id": "m", "object": "thread.message", "role": "assistant", "content": []}
    called = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    run = {
        "id": "r",
        "object": "thread.run",
        "status": "requires_action",
        "required_action": {"submit_tool_outputs": {"tool_calls": [called]}},
    }
    events = [
        ("thread.message.created", message),
        *(("thread.message.delta", {"id": "m", "delta": {"content": text(t)}}) for t in "Hi"),
        ("thread.run.requires_action", run),
    ]
    body = "".join(f"event: {name}\ndata: {json.dumps(value)}\n\n" for name, value in events)
    found = said(body.encode() + b"event: done\ndata: [DONE]\n\n", headers=STREAM)
    assert (found.text, found.finish_reasons, found.ended) == ("Hi", ("requires_action",), True)
    assert found.tool_calls == (ToolCall("f", "{}"),)
    whole = {"object": "list", "data": [message | {"content": text("Hi")}]}
    assert said(whole).text == "Hi"
    assert said(run).tool_calls == found.tool_calls


def test_a_transcription_is_its_text() -> None:
    assert said({"text": "Hello friend."}).text == "Hello friend."
    deltas = [{"type": "transcript.text.delta", "delta": text} for text in ("Hello ", "friend.")]
    assert streamed(*deltas).text == "Hello friend."
    end = {"type": "transcript.text.done", "text": "Hello friend.", "usage": {"total_tokens": 3}}
    assert streamed(*deltas, end).text == "Hello friend."
    assert said(b"Hello friend.\n", headers=((b"content-type", b"text/plain"),)).text[0] == "H"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"object": "list", "data": [{"embedding": [0.5] * 1536}] * 3}, "3 vectors of 1,536"),
        ({"object": "list", "data": [{"embedding": "AACAPwAAAAA="}]}, "1 vector of 2"),
        ({"data": [{"b64_json": "AAAA"}], "output_format": "png"}, "3 bytes of image/png"),
        ({"data": [{"url": "https://x/i.png?sig=1", "revised_prompt": "A"}]}, "https://x/i.png: A"),
        ({"results": [{"flagged": True, "categories": {"a": True, "b": False}}]}, "flagged: a"),
        ({"results": [{"flagged": False}]}, "not flagged"),
        ({"object": "list", "data": [{"object": "model"}] * 2}, "2 × model"),
        ({"object": "batch", "status": "failed"}, "batch, failed"),
        ({"a": "안"}, '{"a": "안"}'),
        ([1], "[1]"),
    ],
)
def test_what_has_no_words_is_described(body: Any, text: str) -> None:
    assert said(body).text == text


def test_bytes_are_counted() -> None:
    audio: Headers = ((b"content-type", b"audio/mpeg"),)
    assert said(b"\xff\xf3" * 6000, headers=audio).text == "12,000 bytes of audio/mpeg"
    assert said(b"\0", headers=()).text == "1 byte of an unknown type"
    assert said(b"", 204, headers=()) == Transcript("", "", (), (), None, None, False, True)


# --- errors and ends ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "No such model.", "type": "t", "code": None}},
        {"error": "No such model."},
        {"message": "No such model."},
        b"No such model.",
    ],
)
def test_an_error_is_its_message(error: Any) -> None:
    found = said(error, 404, () if isinstance(error, bytes) else JSON)
    assert (found.text, found.error) == ("No such model.",) * 2


def test_an_error_inside_a_stream_is_told_beside_the_text() -> None:
    body = stream_of(chunk({"content": "Hm"}), done=False)
    body += b'event: error\ndata: {"error": {"message": "Broken"}}\n\n'
    found = said(body, headers=STREAM)
    assert (found.text, found.error, found.ended) == ("Hm", "Broken", False)
    assert streamed({"type": "error", "message": "Broken"}, done=False).error == "Broken"


def test_a_stream_without_its_end_has_not_ended() -> None:
    assert not streamed(chunk({}, finish="stop"), done=False).ended
    assert streamed(chunk({}, finish="stop")).ended
    assert not said(b"data: [DONE]", headers=STREAM).ended
    # What only speaks of an end is none.
    assert not streamed(chunk({"content": "[DONE]"}), done=False).ended


def test_json_that_does_not_parse_has_not_ended() -> None:
    assert not said(b'{"choices": [').ended
    assert not said(b'{"choices": [', headers=()).ended
    assert not said(b"").ended


def test_an_encoded_answer_is_read() -> None:
    body = gzip.compress(json.dumps(RESPONSE).encode())
    assert said(body) == OF_RESPONSE
    assert not said(body[:-9]).ended
    plain = said(RESPONSE, headers=(*JSON, (b"content-encoding", b"gzip")))
    assert plain == OF_RESPONSE, "recordings name encodings that are already undone"


def test_a_stream_is_known_without_a_media_type() -> None:
    assert said(stream_of(chunk({"content": "Hi"})), headers=()).text == "Hi"
    assert said(b": PROCESSING\n\n" + stream_of(chunk({"content": "Hi"})), headers=()).streams


# --- whatever the bytes -------------------------------------------------------------------------

NAMES = [
    *("choices", "delta", "message", "content", "text", "value", "type", "object", "data", "id"),
    *("index", "tool_calls", "function", "name", "arguments", "output", "summary", "item"),
    *("response", "output_index", "content_index", "error", "status", "usage", "logprobs"),
    *("embedding", "results", "flagged", "categories", "b64_json", "url", "required_action"),
    *("audio", "reasoning"),
]
KINDS = [
    *("response.output_text.delta", "response.output_item.added", "response.completed", "error"),
    *("reasoning", "thread.message.delta", "function_call", "list", "message", "summary_text"),
    *("stop", "1"),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(KINDS),
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(NAMES), below, max_size=6)
    ),
    max_leaves=25,
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)


@given(st.sampled_from([JSON, STREAM, ()]), st.integers(100, 599), st.binary())
@example((*JSON, (b"content-encoding", b"deflate")), 200, b"\x78\x9c\x00")
@example(JSON, 200, b"[" * 5000)
@example(STREAM, 200, b"data: " + b"[" * 500 + b"]" * 500 + b"\n\n")
@example(JSON, 200, b'{"choices": ' * 90 + b"1" + b"}" * 90)
def test_no_bytes_are_an_error(headers: Headers, status: int, body: bytes) -> None:
    transcript(answer(status, headers, body)).text.encode()


@given(st.lists(OBJECTS, max_size=6))
def test_no_stream_of_json_is_an_error(values: Sequence[Any]) -> None:
    streamed(*values)


@given(OBJECTS, st.sampled_from([200, 500]))
def test_no_json_is_an_error(value: Any, status: int) -> None:
    said(value, status)


@pytest.mark.parametrize("damage", [bytes.upper, lambda body: body[::-1], lambda body: body[1:]])
def test_no_damage_of_a_real_answer_is_an_error(damage: Callable[[bytes], bytes]) -> None:
    for record in RECORDS.values():
        transcript(answer(200, STREAM, damage(record.response_body)))
        transcript(answer(200, JSON, damage(record.response_body)))


def test_deep_json_is_left_unread() -> None:
    assert parsed("[" * DEPTH + "]" * DEPTH) is not None
    assert parsed("[" * (DEPTH + 1) + "]" * (DEPTH + 1)) is None


# --- real traffic -------------------------------------------------------------------------------


def test_real_streams_say_what_their_events_say() -> None:
    """Counted independently: every text delta of a stream, in order, is the text."""
    checked = 0
    for record in RECORDS.values():
        deltas: list[str] = []
        for line in record.response_body.decode("utf-8", "replace").splitlines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            if event.get("type") == "response.output_text.delta":
                deltas.append(event["delta"])
            elif event.get("object") == "chat.completion.chunk" and event["choices"]:
                content = event["choices"][0]["delta"].get("content") or ""
                deltas += [content] if isinstance(content, str) else []
        found = transcript(read(record))
        if record.is_stream and any(deltas) and "[1] " not in found.text:
            messages = found.text.replace("\n\n", "")
            assert messages == "".join(deltas).strip("\n").replace("\n\n", ""), record.id
            checked += 1
    assert checked == 19


def test_real_answers_say_something() -> None:
    rng = random.Random(1)
    for record in RECORDS.values():
        found = transcript(read(record))
        cut_short = {"length", "incomplete (max_output_tokens)", "content_filter"}
        silent = record.status == 204 or cut_short & {*found.finish_reasons}
        assert found.text or found.tool_calls or silent, record.id
        assert found.streams == record.is_stream
        assert found.error is None or record.status >= 400 or record.is_stream
        if record.is_stream and found.ended:
            body = record.response_body
            cut = body[: rng.randrange(len(body) - 20)]
            shorter = transcript(answer(200, STREAM, cut))
            assert not shorter.ended
            wordless = re.match(r"[\d,]+ (?:event|× thread)|.*^\[1\] ", shorter.text, re.M | re.S)
            assert wordless or found.text.startswith(shorter.text), record.id
