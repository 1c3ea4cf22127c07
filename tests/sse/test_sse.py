"""Whether a stream has told its client that it is over, however it is cut."""

import gzip
import json
import re
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from replay_proxy.answers import parsed as answer
from replay_proxy.sse import terminal as sse
from replay_proxy.sse.terminal import EncodedTerminalEvent, Progress, TerminalEvent
from tests.support.corpus import Record, load
from tests.support.paths import ROOT

RUNNING, ENDING, ENDED = Progress.RUNNING, Progress.ENDING, Progress.ENDED
CORPUS = ROOT / "tests" / "data" / "corpus.jsonl"

DELTA = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"\xec\x95\x88"}}]}'
RESPONSE = b'{"type":"response.%b","response":{"id":"r","output":[]}}'


def progress(pieces: Iterable[bytes], finder: TerminalEvent | None = None) -> Progress:
    """What is said of a stream after the last of its pieces."""
    finder = finder or TerminalEvent()
    said = RUNNING
    for piece in pieces:
        said = finder.feed(piece)
    return said


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """The stream in pieces that end at these places."""
    ends = [*sorted(place for place in {*places} if 0 < place < len(stream)), len(stream)]
    return [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[place : place + 1] for place in range(len(stream))]


# --- terminal events ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Stream:
    """A stream with a terminal event: where its line begins and can be read, and where it ends."""

    body: bytes
    begins: int
    readable: int

    def allowed(self, place: int) -> set[Progress]:
        """What may be said when the first ``place`` bytes have come."""
        if place >= len(self.body):
            return {ENDED}
        if place >= self.readable:
            return {ENDING}
        return {RUNNING, ENDING} if place > self.begins else {RUNNING}


#: What is before the terminal line, the part of it that tells, and the rest of its event.
TERMINAL: dict[str, tuple[list[bytes], bytes, list[bytes]]] = {
    "chat": ([DELTA, b"", DELTA, b""], b"data: [DONE]", []),
    "chat without a space": ([DELTA, b""], b"data:[DONE]", []),
    "chat, nothing before": ([], b"data: [DONE]", []),
    "chat after a comment": ([b": OPENROUTER PROCESSING", b"", DELTA, b""], b"data: [DONE]", []),
    "assistants": (
        [b"event: thread.run.completed", b'data: {"object":"thread.run"}', b""],
        b"event: done",
        [b"data: [DONE]"],
    ),
    "assistants without a space": ([], b"event:done", [b"data:[DONE]"]),
    **{
        f"responses, {end}, by name": (
            [b"event: response.created", b"data: " + RESPONSE % b"created", b""],
            b"event: response." + end.encode(),
            [b"data: " + RESPONSE % end.encode()],
        )
        for end in ("completed", "incomplete", "failed")
    },
    **{
        f"responses, {end}, by type": (
            [b"data: " + RESPONSE % b"created", b""],
            b'data: {"type":"response.%b"' % end.encode(),
            [b',"response":{"id":"r"}}'],
        )
        for end in ("completed", "incomplete", "failed")
    },
    # Some servers sort an event's members: its type is known when its line is at its end.
    **{
        f"responses, {end}, type last": (
            [b'data: {"response":{"type":"x"},"type":"response.created"}', b""],
            b'data: {"response":{"id":"r"},"type":"response.%b"}\n' % end.encode(),
            [],
        )
        for end in ("completed", "incomplete", "failed")
    },
    "responses, type in the middle": (
        [],
        b'data: {"a": [{}, "}"], "type": "response.completed", "z": 1}\n',
        [],
    ),
    "responses, spaced": (
        [],
        b'data: {"type": "response.completed"',
        [b', "response": {"text": "[DONE]"}}'],
    ),
}


def stream(name: str, newline: bytes) -> Stream:
    before, telling, rest = TERMINAL[name]
    head = b"".join(line + newline for line in before)
    if telling.endswith(b"\n"):  # The whole line tells.
        telling = telling[:-1] + newline
        return Stream(head + telling + newline, len(head), len(head) + len(telling))
    # The rest of a data line follows it directly.
    same_line = rest and not rest[0].startswith(b"data")
    tail = rest[0] + newline if same_line else newline + b"".join(r + newline for r in rest)
    return Stream(head + telling + tail + newline, len(head), len(head) + len(telling))


NEWLINES = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}
STREAMS = [
    pytest.param(stream(name, newline), id=f"{name}, {shown}")
    for name in TERMINAL
    for shown, newline in NEWLINES.items()
]


@pytest.mark.parametrize("it", STREAMS)
def test_the_end_is_seen_when_it_is_there_and_no_sooner(it: Stream) -> None:
    for place in range(len(it.body) + 1):
        assert progress([it.body[:place]]) in it.allowed(place), it.body[:place]


@pytest.mark.parametrize("it", STREAMS)
def test_the_end_is_seen_in_single_bytes(it: Stream) -> None:
    finder = TerminalEvent()
    for place, byte in enumerate(bytewise(it.body), 1):
        assert finder.feed(byte) in it.allowed(place), it.body[:place]


@pytest.mark.parametrize("it", STREAMS)
def test_the_end_is_seen_wherever_the_stream_is_cut(it: Stream) -> None:
    for first in range(len(it.body) + 1):
        finder = TerminalEvent()
        assert finder.feed(it.body[:first]) in it.allowed(first)
        assert finder.feed(it.body[first:]) is ENDED, it.body[:first]


@given(
    st.sampled_from([param.values[0] for param in STREAMS]),
    st.sets(st.integers(0, 300)),
)
def test_the_end_is_seen_however_the_stream_is_cut(it: object, places: set[int]) -> None:
    assert isinstance(it, Stream)
    finder, place = TerminalEvent(), 0
    for piece in cut(it.body, places):
        place += len(piece)
        assert finder.feed(piece) in it.allowed(place), it.body[:place]


def test_the_end_is_final() -> None:
    finder = TerminalEvent()
    assert progress([b"data: [DONE]\n\n"], finder) is ENDED
    for piece in (b"", b"data: 1\n\n", DELTA + b"\n\n", b"\xff\x00"):
        assert finder.feed(piece) is ENDED


def test_the_end_of_an_event_is_no_end_of_the_next_one() -> None:
    # The blank line of the event before the terminal one may come in the same chunk.
    assert progress([DELTA + b"\n\ndata: [DONE]"]) is ENDING
    assert progress([DELTA + b"\n\ndata: [DONE]\n"]) is ENDING
    assert progress([DELTA + b"\n\n", b"event: response.completed\ndata: {}\n"]) is ENDING


def test_the_end_is_seen_behind_json_in_the_same_chunk_whatever_ends_its_line() -> None:
    for newline in (b"\r", b"\n", b"\r\n"):
        stream = TerminalEvent()
        chunk = b'data: {"a":1}' + newline + b"data: [DONE]" + newline
        assert stream.feed(chunk + b"\n") is not Progress.RUNNING


def test_a_stream_that_never_says_its_end_is_running() -> None:
    assert progress([DELTA + b"\n\n"] * 100) is RUNNING
    assert progress([]) is RUNNING
    assert progress([b"", b""]) is RUNNING


# --- ordinary events ----------------------------------------------------------------------------

LONG = "and so on, for more bytes than any terminal line has: " * 3
ORDINARY = [
    DELTA,
    # Text of an answer is JSON: a line in it begins only as \n, and quotes are escaped.
    b"data: " + json.dumps({"content": f"say data: [DONE] {LONG}"}).encode(),
    b"data: " + json.dumps({"content": f"\n\ndata: [DONE]\n\n{LONG}"}).encode(),
    b"data: " + json.dumps({"content": f"event: done, event: response.completed {LONG}"}).encode(),
    b"data: " + json.dumps({"content": f'data: {{"type":"response.failed"}} {LONG}'}).encode(),
    b"data: " + json.dumps({"delta": "x" * 64 + "data: [DONE]" + "y" * 64}).encode(),
    b'data: {"content":"[DONE]"}',
    b'data: "[DONE]"',
    b"data: [DONE",
    b"data: DONE",
    b"data:",
    b"data",
    b"data: done",
    b"data: response.completed",
    b'data: {"type":"response.output_text.delta","delta":"response.completed"}',
    b'data: {"type":"response.output_text.done","text":"event: done"}',
    b'data: {"type":"response.created","response":{"status":"completed"}}',
    b'data: {"type":"response.image_generation_call.completed"}',
    b'data: {"response":{"type":"response.completed"}}',
    b'data: {"response":{"type":"response.completed"},"type":"response.created"}',
    b'data: {"text":"\\"type\\":\\"response.completed\\""}',
    b'data: {"a":1,"type":"response.completed"',
    b'data: ["type","response.completed",{"type":"response.completed"}]',
    b': data: {"a":1,"type":"response.completed"}',
    b'note: data: {"a":1,"type":"response.completed"}',
    b"event: response.output_text.done",
    b"event: response.content_part.done",
    b"event: response.web_search_call.completed",
    b"event: response.in_progress",
    b"event: thread.run.completed",
    b"event: thread.run.failed",
    b"event: thread.message.incomplete",
    b"event: undone",
    b": data: [DONE]",
    b":data: [DONE]",
    b": event: done",
    b":" + b"x" * 100 + b"event: done",
    b" data: [DONE]",
    b"\tevent: done",
    b"id: [DONE]",
    b"id: data: [DONE]",
    b"retry: 1000",
    b"metadata: [DONE]",
    b"DATA: [DONE]",
    b"Event: done",
]


@pytest.mark.parametrize("line", ORDINARY)
@pytest.mark.parametrize("newline", NEWLINES.values(), ids=NEWLINES)
def test_an_ordinary_event_is_no_end_wherever_it_is_cut(line: bytes, newline: bytes) -> None:
    body = DELTA + newline * 2 + line + newline * 2 + DELTA + newline * 2
    for place in range(len(body)):
        finder = TerminalEvent()
        assert finder.feed(body[:place]) is RUNNING, body[:place]
        assert finder.feed(body[place:]) is RUNNING, body[:place]


@pytest.mark.parametrize("line", ORDINARY)
def test_an_ordinary_event_is_no_end_in_small_pieces(line: bytes) -> None:
    body = DELTA + b"\n\n" + line + b"\n\n" + DELTA + b"\n\n"
    for size in (1, 2, 3, 7, 16, 64, 65):
        finder = TerminalEvent()
        for place in range(0, len(body), size):
            assert finder.feed(body[place : place + size]) is RUNNING, body[: place + size]


phrases = st.sampled_from(
    [
        "data: [DONE]",
        "data:[DONE]",
        "event: done",
        "event: response.completed",
        'data: {"type":"response.completed"',
        "\n\n",
        "\r",
        "안녕",
    ]
)


@given(
    st.lists(st.text(max_size=80) | phrases, max_size=8).map("".join),
    st.booleans(),
    st.integers(1, 80),
    st.integers(0, 79),
)
@example("say data: [DONE]" + "x" * 100, True, 64, 0)
def test_no_text_of_an_answer_ends_its_stream(
    text: str, ascii_only: bool, size: int, first: int
) -> None:
    event = {"choices": [{"delta": {"content": text}}]}
    written = json.dumps(event, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    finder = TerminalEvent()
    for piece in cut(b"data: " + written + b"\n\n", range(first, len(written), size)):
        assert finder.feed(piece) is RUNNING


@pytest.mark.parametrize("line", [b"event: done_thinking", b"event: response.completed.part"])
def test_a_name_that_begins_like_a_terminal_one_is_no_end(line: bytes) -> None:
    body = line + b"\ndata: {}\n\n" + DELTA + b"\n\n"
    for place in range(len(body)):
        # Where it is cut inside the name, the rest of the name has to take the guess back.
        assert progress([body[:place], body[place:]]) is RUNNING, body[:place]


# --- any stream, against a plain reading of the specification -----------------------------------

LINES = [
    b"data: [DONE]",
    b"data:[DONE]",
    b"event: done",
    b"event: response.completed",
    b"event: response.failed",
    b'data: {"type":"response.incomplete"}',
    b'data: {"a":{"type":"b"},"type":"response.failed"}',
    b'data: {"a":{"type":"response.failed"},"type":"b"}',
    DELTA,
    b"data: {}",
    b": comment",
    b"event: response.output_text.delta",
    b"",
    b"",
    b"",
]


def end_of_stream(lines: list[bytes], newline: bytes) -> int | None:
    """The length of the stream up to the blank line that ends its first terminal event."""
    place, terminal = 0, False
    for line in lines:
        place += len(line) + len(newline)
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line and terminal:
            return place
        if field == b"data" and value.startswith(b"{"):
            value = str(json.loads(value).get("type")).encode()
        terminal |= (field == b"data" and value == b"[DONE]") or (
            field in (b"data", b"event")
            and value
            in (b"done", b"response.completed", b"response.incomplete", b"response.failed")
        )
    return None


@given(
    st.lists(st.sampled_from(LINES), max_size=12),
    st.sampled_from(list(NEWLINES.values())),
    st.sets(st.integers(0, 400)),
)
def test_any_stream_ends_with_its_first_terminal_event(
    lines: list[bytes], newline: bytes, places: set[int]
) -> None:
    body = b"".join(line + newline for line in lines)
    end = end_of_stream(lines, newline)
    finder, place = TerminalEvent(), 0
    for piece in cut(body, {*places, end or 0}):
        place += len(piece)
        assert (finder.feed(piece) is ENDED) == (end is not None and place >= end)


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_no_bytes_make_it_raise(pieces: list[bytes]) -> None:
    progress(pieces)
    progress(pieces, EncodedTerminalEvent())


# --- time ---------------------------------------------------------------------------------------


def seconds_for(megabytes: float, before: bytes) -> float:
    """The CPU time for one event of this size in pieces of 50 bytes, the best of five."""
    piece = b"say [DONE], done, completed and failed" + b"x" * 12
    count = int(megabytes * 1e6 / len(piece))
    times = []
    for _ in range(5):
        finder = TerminalEvent()
        finder.feed(before)
        begun = time.process_time()
        for _ in range(count):
            finder.feed(piece)
        times.append(time.process_time() - begun)
    return min(times)


@pytest.mark.parametrize("before", [b'data: {"content":"', b"event: response.completed\ndata: "])
def test_time_grows_with_the_length_of_an_event_and_not_with_its_square(before: bytes) -> None:
    # Four times as long takes four times as long; with the square it would be sixteen times.
    # The small pair is measured first: with the square, the large one would take an hour.
    assert seconds_for(0.4, before) < 9 * seconds_for(0.1, before)
    assert seconds_for(5, before) < 9 * seconds_for(1.25, before)


# --- compressed streams -------------------------------------------------------------------------

ENCODERS: dict[str, Callable[[], "zlib._Compress"]] = {
    "gzip": lambda: zlib.compressobj(wbits=31),
    "deflate": lambda: zlib.compressobj(wbits=15),
}


def encoded(events: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Each event compressed and flushed at once, as a server that streams does it."""
    encoder = ENCODERS[encoding]()
    for event in events:
        yield encoder.compress(event) + encoder.flush(zlib.Z_SYNC_FLUSH)
    yield encoder.flush()


CHAT = [DELTA + b"\n\n"] * 3 + [b"data: [DONE]\n\n"]


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_compressed_stream_ends_with_its_terminal_event(encoding: str) -> None:
    finder = EncodedTerminalEvent()
    *deltas, done, end = encoded(CHAT, encoding)
    assert [finder.feed(piece) for piece in deltas] == [RUNNING] * 3
    assert finder.feed(done) is ENDED
    assert finder.feed(end) is ENDED


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_compressed_stream_can_be_cut_anywhere(encoding: str) -> None:
    *deltas, done, end = encoded(CHAT, encoding)
    body, before = b"".join([*deltas, done]), len(b"".join(deltas))
    for place in range(len(body)):
        finder = EncodedTerminalEvent()
        first = finder.feed(body[:place])
        assert first is RUNNING if place <= before else first in (RUNNING, ENDING, ENDED)
        assert finder.feed(body[place:] + end) is ENDED
    assert progress(bytewise(body), EncodedTerminalEvent()) is ENDED


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_compressed_stream_without_terminal_event_is_running(encoding: str) -> None:
    assert progress(encoded(CHAT[:-1], encoding), EncodedTerminalEvent()) is RUNNING


@given(st.binary(max_size=200), st.integers(0, 300), st.binary(min_size=1, max_size=5))
def test_a_stream_that_does_not_decode_never_ends_and_never_raises(
    wrong: bytes, place: int, patch: bytes
) -> None:
    assume(not wrong.startswith((b"\x1f\x8b", b"\x78")))
    assert progress([wrong, b"data: [DONE]\n\n"], EncodedTerminalEvent()) is RUNNING
    body = gzip.compress(b"".join(CHAT), mtime=0)
    progress(bytewise(body[:place] + patch + body[place:]), EncodedTerminalEvent())


def test_a_plain_stream_called_compressed_never_ends() -> None:
    # Its bytes reach the client all the same; only the early end is not seen.
    assert progress(CHAT, EncodedTerminalEvent()) is RUNNING


@pytest.mark.parametrize("encoding", ENCODERS)
def test_the_end_of_a_compressed_stream_is_final(encoding: str) -> None:
    finder = EncodedTerminalEvent()
    assert progress([*encoded(CHAT, encoding)][:-1], finder) is ENDED
    for garbage in (b"\xff\xff\xff", b"data: 1\n\n", b""):
        assert finder.feed(garbage) is ENDED


# --- real streams -------------------------------------------------------------------------------

STREAMED = [
    record
    for record in (load(CORPUS) if CORPUS.exists() else [])
    if record.is_stream and record.status == 200
]
needs_corpus = pytest.mark.skipif(not STREAMED, reason="the corpus is not here")


def events(record: Record) -> list[bytes]:
    return re.findall(rb".*?(?:\r\n\r\n|\n\n|\Z)", record.response_body, re.DOTALL)[:-1]


def is_terminal(event: bytes) -> bool:
    """By its JSON and its lines, as a client reads it."""
    fields = [line.partition(b":")[::2] for line in event.splitlines()]
    data = b"\n".join(value.removeprefix(b" ") for name, value in fields if name == b"data")
    if data == b"[DONE]" or (b"event", b" done") in fields:
        return True
    try:
        kind = json.loads(data)["type"]
    except (ValueError, KeyError, TypeError):
        return False
    return kind in ("response.completed", "response.incomplete", "response.failed")


@needs_corpus
def test_every_real_stream_ends_with_its_first_terminal_event() -> None:
    for record in STREAMED:
        said = [False]
        finder = TerminalEvent()
        for event in events(record):
            assert (finder.feed(event) is ENDED) == (said[-1] or is_terminal(event)), record.id
            said.append(said[-1] or is_terminal(event))


@needs_corpus
def test_every_real_stream_ends_at_the_same_byte_in_small_pieces() -> None:
    for record in STREAMED:
        body, place = record.response_body, 0
        for event in events(record):
            place += len(event)
            if is_terminal(event):
                break
        else:
            place = len(body) + 1
        for size in (1, 13, 64):
            finder = TerminalEvent()
            last = (place - 1) // size * size
            before = progress((body[at : at + size] for at in range(0, last, size)), finder)
            assert before is not ENDED, record.id
            ended = finder.feed(body[last:place]) is ENDED
            assert ended == (place <= len(body)), record.id


@needs_corpus
def test_real_chat_and_responses_streams_end_on_their_last_event() -> None:
    whole = [
        record
        for record in STREAMED
        if record.url.startswith("https://api.openai.com/v1/")
        and record.url.endswith(("/chat/completions", "/responses"))
    ]
    assert whole
    for record in whole:
        *before, last = events(record)
        finder = TerminalEvent()
        assert progress(before, finder) is RUNNING, record.id
        assert finder.feed(last) is ENDED, record.id


# --- little data that holds much ----------------------------------------------------------------


def test_a_compressed_stream_is_inflated_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_INFLATED_IN_ALL_BYTES", 1 << 22)
    bomb = gzip.compress(bytes(1 << 26) + b"\n\ndata: [DONE]\n\n")
    tracemalloc.start()
    stream = EncodedTerminalEvent()
    assert stream.feed(bomb) is Progress.RUNNING, "nobody looks so far"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 24
    assert stream.feed(bomb) is Progress.RUNNING


def test_a_compressed_end_is_found_behind_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_INFLATED_BYTES", 100)
    stream = EncodedTerminalEvent()
    whole = gzip.compress(b": much\n\n" * 1_000 + b"data: [DONE]\n\n")
    assert stream.feed(whole[:30]) is Progress.RUNNING
    assert stream.feed(whole[30:]) is Progress.ENDED


def test_a_line_without_an_end_is_not_kept() -> None:
    stream = TerminalEvent()
    tracemalloc.start()
    for _ in range(100):
        assert stream.feed(b"x" * (1 << 20)) is Progress.RUNNING
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 40 << 20
    assert stream.feed(b"\ndata: [DONE]\n\n") is Progress.ENDED


def test_a_compressed_answer_is_read_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(answer, "INFLATED_BYTES", 1 << 20)
    bomb = gzip.compress(bytes(1 << 26))
    read = answer.answer(200, ((b"content-encoding", b"gzip"),), bomb)
    assert (len(read.body), read.ended) == (1 << 20, False)
