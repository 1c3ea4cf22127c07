"""A cassette as text: lossless, the same every time, readable, and strict about its lines."""

import io
import itertools
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay_proxy.cassette import Interaction, Take, interaction_id
from replay_proxy.errors import ImportRefused
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.store import twin
from replay_proxy.store.twin import head, interaction_lines, read, reader, take_line
from replay_proxy.store.twin.lines import MOST_LINE_BYTES
from replay_proxy.target import path_flaw
from replay_proxy.timeline import Timeline
from replay_proxy.wire import Headers, Request
from tests.corpus import DATA
from tests.support.corpus import load
from tests.support.requests import EMBEDDINGS, JSON, post
from tests.twins import survive

TAKE = Take(7, "run", 1_763_000_000_000_000)
EVENTS = ((b"content-type", b"text/event-stream; charset=utf-8"),)


def recorded(
    chunks: list[bytes],
    *,
    request: Request | None = None,
    headers: Headers = EVENTS,
    status: int = 200,
) -> Interaction:
    request = request or post(b'{"model":"m"}', headers=JSON, arrived_us=12)
    ends = [len(b"".join(chunks[: number + 1])) for number in range(len(chunks))]
    return Interaction(
        id=interaction_id(request.arrived_us, 3),
        fingerprint=fingerprint(request),
        request=request,
        status=status,
        headers=headers,
        body=b"".join(chunks),
        timeline=Timeline(5, tuple(10 * number for number in range(len(chunks))), tuple(ends), 99),
    )


def text_of(*interactions: Interaction) -> bytes:
    lines = b"".join(interaction_lines(TAKE.id, each) for each in interactions)
    return head() + take_line(TAKE) + lines


def values(text: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def back(text: bytes) -> list[Interaction]:
    found = list(read(text.splitlines(keepends=True)))
    assert found[0] == TAKE
    return [each[1] for each in found[1:] if not isinstance(each, Take) and each[0] == TAKE.id]


VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#")
headers_of_any_bytes = st.lists(
    st.tuples(
        st.text("aB-_~", min_size=1, max_size=9).map(str.encode),
        st.binary(max_size=9).map(lambda value: value.translate(None, b"\0\r\n")),
    ),
    max_size=3,
).map(tuple)
chunks_of_any_bytes = st.lists(
    st.binary(max_size=30)
    | st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace"))
    | st.sampled_from(
        [b"data: x\n\n", b"data: y\r\n\r\n", b"\n", b"\r", b'{"a":1,"b":2}', b"\xed\x95"]
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=300)
@given(
    chunks=chunks_of_any_bytes,
    body=st.binary(max_size=60) | st.sampled_from([b'{"a":[1,{"b":",\\"x"}]}', b"\n\n", b""]),
    request_headers=headers_of_any_bytes,
    headers=headers_of_any_bytes | st.sampled_from([EVENTS, JSON]),
    path=st.text(VISIBLE, max_size=9).map("/v1/{}".format).filter(lambda path: not path_flaw(path)),
    query=st.text(VISIBLE, max_size=9),
    status=st.integers(200, 599),
)
def test_any_bytes_in_any_chunks_survive_and_give_the_same_lines_again(
    chunks: list[bytes],
    body: bytes,
    request_headers: Headers,
    headers: Headers,
    path: str,
    query: str,
    status: int,
) -> None:
    if status in (204, 304):
        chunks = []
    request = post(body, path, request_headers, query=query, arrived_us=12)
    one = recorded(chunks, request=request, headers=headers, status=status)
    text = text_of(one)
    assert back(text) == [one]
    assert text_of(*back(text)) == text


def test_each_event_of_a_stream_is_a_line_with_its_offset() -> None:
    text = text_of(recorded([b"data: 1\n\ndata: 2\n\n", b"data: 3\n\n"]))
    assert values(text)[-3:] == [
        {"at_us": 0, "answer": "data: 1\n\n"},
        {"answer": "data: 2\n\n"},
        {"at_us": 10, "answer": "data: 3\n\n"},
    ]


def test_each_line_of_pretty_json_and_each_member_of_compact_json_is_a_line() -> None:
    request = post(b'{"model":"m","input":"a, b"}', EMBEDDINGS, JSON, arrived_us=12)
    text = text_of(recorded([b'{\n  "id": 1\n}\n'], request=request, headers=JSON))
    assert [line["request"] for line in values(text) if "request" in line] == [
        '{"model":"m",',
        '"input":"a, b"}',
    ]
    assert [line["answer"] for line in values(text) if "answer" in line] == [
        "{\n",
        '  "id": 1\n',
        "}\n",
    ]


def test_what_is_no_text_is_base64_and_only_that() -> None:
    korean = "data: 한\n\n".encode()
    cut = [b"data: a\n\n" + korean[:8], korean[8:] + b"data: b\n\n"]
    (_, _, _, _, _, _, *answers) = values(text_of(recorded(cut)))
    assert [next(reversed(line)) for line in answers] == [
        "answer",
        "answer_base64",
        "answer_base64",
        "answer",
    ]


def test_a_line_is_text_that_a_person_can_read() -> None:
    request = post('{"q":"한국의 수도는?"}'.encode(), "/v1/x", JSON, arrived_us=12)
    assert (
        '{"request":"{\\"q\\":\\"한국의 수도는?\\"}"}'
        in text_of(recorded([b""], request=request)).decode()
    )


def test_an_edited_request_gets_the_fingerprint_that_it_has_now() -> None:
    text = text_of(recorded([b"x"])).replace(b'\\"m\\"', b'\\"other\\"')
    (edited,) = back(text)
    assert edited.request.body == b'{"model":"other"}'
    assert edited.fingerprint == fingerprint(edited.request)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b"", "Line 3"),
        (b"{", "Line 3"),
        (b"[]", "belongs to no interaction"),
        (b'{"answer":"x"}', "belongs to no interaction"),
        (b'{"take":"9"}', "belongs to no interaction"),
        (b'{"take":"x","run":"r","started_us":1}', "'x' is not an id"),
        (b'{"take":"9223372036854775808","run":"r","started_us":1}', "is not an id"),
        (b'{"take":"9","run":"r","started_us":18446744073709551615}', "not a whole number"),
        (b'{"take":"9","run":"r","started_us":true}', "not a whole number"),
        (b'{"take":"9","run":"r","started_us":1,"more":1}', "belongs to no interaction"),
        (b'{"cassette":1}', "belongs to no interaction"),
    ],
)
def test_a_line_that_says_nothing_is_refused_with_its_number(line: bytes, cause: str) -> None:
    with pytest.raises(ImportRefused, match=cause) as refusal:
        list(read([head(), take_line(TAKE), line + b"\n"]))
    assert "Line 3" in refusal.value.message


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b'{"answer":"no offset"}', "has no at_us"),
        (b'{"at_us":"1","answer":"x"}', "not a whole number"),
        (b'{"at_us":-1,"answer":"x"}', "not a whole number"),
        (b'{"at_us":1,"answer":5}', "is not a text"),
        (b'{"at_us":1,"answer_base64":"*"}', "not base64"),
        (b'{"at_us":1,"answer":"x","more":1}', "more does not belong here"),
        (b'{"request":"x","at_us":1}', "at_us does not belong here"),
        (b'{"header":["a"]}', "header has no meaning here"),
        ('{"header":["a","한"]}'.encode(), "latin-1"),
        (b'{"surprise":1}', "surprise has no meaning here"),
    ],
)
def test_a_line_of_an_interaction_that_is_none_is_refused(line: bytes, cause: str) -> None:
    first = interaction_lines(TAKE.id, recorded([])).splitlines(keepends=True)
    with pytest.raises(ImportRefused, match=cause):
        list(read([head(), take_line(TAKE), *first, line + b"\n"]))


def test_a_member_that_is_missing_is_named() -> None:
    text = text_of(recorded([b"x"])).replace(b'"total_us":99', b'"total":99')
    with pytest.raises(ImportRefused, match="'total_us' is missing"):
        back(text)


@pytest.mark.parametrize(
    ("member", "value", "cause"),
    [
        ("interaction", "-5", "is not an id"),
        ("interaction", "9223372036854775808", "is not an id"),
        ("interaction", 5, "is not a text"),
        ("take", "8", "no line above defines its take"),
        ("arrived_us", 2**62, "not a whole number"),
        ("head_us", 1.0, "not a whole number"),
        ("status", 1000, "not a status"),
        ("status", True, "not a status"),
        ("stauts", 200, "stauts does not belong here"),
    ],
)
def test_what_no_cassette_can_hold_is_refused_with_the_line_that_says_it(
    member: str, value: object, cause: str
) -> None:
    lines = text_of(recorded([b"x"])).splitlines(keepends=True)
    lines[2] = json.dumps(json.loads(lines[2]) | {member: value}).encode() + b"\n"
    with pytest.raises(ImportRefused, match=f"Line 3: .*{cause}"):
        list(read(lines))


def test_an_interaction_that_is_there_twice_is_refused() -> None:
    text = text_of(recorded([b"x"]))
    with pytest.raises(ImportRefused, match="appears twice"):
        back(text + b"".join(text.splitlines(keepends=True)[2:]).replace(b'"x"', b'"y"'))


def test_chunks_that_go_back_in_time_are_refused() -> None:
    text = text_of(recorded([b"x", b"y"])).replace(b'"at_us":10', b'"at_us":0')
    assert len(back(text)) == 1
    with pytest.raises(ImportRefused, match="0 is earlier than the chunk above"):
        back(text.replace(b'"at_us":0', b'"at_us":7', 1))


def test_what_editors_do_to_the_ends_of_lines_and_of_the_file_changes_nothing() -> None:
    one = recorded([b"data: x\n\n"])
    text = text_of(one)
    for edited in (text.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + text, text.rstrip()):
        assert back(edited) == [one]


BEGUN = (
    b'{"interaction":"3","take":"7","arrived_us":1,"method":"POST","path":"/v1/x","query":"",'
    b'"status":200,"head_us":1,"total_us":2}\n'
)
LARGE = 5_000_000


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b'{"take":%b}' % (b"9" * LARGE), "longer than 4 MiB"),
        (b'{"take":"%b","run":"r","started_us":1}' % (b"9" * 1_000_000), "is not an id"),
        (b'{"started_us":%b,"take":"7","run":"r"}' % (b"9" * 1_000_000), "whole|number"),
        (b"[" * 1_000_000, "depth"),
        (b'{"a":' * 600_000, "depth"),
        (b"[" * LARGE, "longer than 4 MiB"),
        (b'{"request":"","x":[%b[]]}' % (b"[]," * LARGE), "longer than 4 MiB"),
        (b'{"request":"%b' % (b"\\n" * LARGE), "longer than 4 MiB"),
        (b"x" * (MOST_LINE_BYTES + 7), "longer than 128 MiB"),
    ],
    ids=range(9),
)
def test_a_line_that_would_fill_the_memory_is_refused_by_its_number(
    line: bytes, cause: str
) -> None:
    text = head() + take_line(TAKE) + BEGUN + line
    tracemalloc.start()
    try:
        with pytest.raises(ImportRefused, match=f"Line 4: .*({cause})") as refused:
            list(read(io.BytesIO(text)))
        assert len(str(refused.value)) < 500
        assert tracemalloc.get_traced_memory()[1] < MOST_LINE_BYTES + 100 * len(BEGUN) + 2**26
    finally:
        tracemalloc.stop()


def test_an_interaction_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(line: bytes) -> Iterator[bytes]:
        yield from (head(), take_line(TAKE), BEGUN, b'{"at_us":1,"answer":""}')
        yield from itertools.repeat(line)

    monkeypatch.setattr(reader, "_MOST_BYTES", 100_000)
    for line in (b'{"answer":""}', b'{"header":["a","b"]}', b'{"request":"%b"}' % (b"a" * 999)):
        with pytest.raises(ImportRefused, match="interaction is larger than"):
            list(read(endless(line)))


def test_an_interaction_that_cannot_be_is_refused_by_the_line_where_it_begins() -> None:
    text = text_of(recorded([b"x"])).replace(b'"status":200', b'"status":204')
    with pytest.raises(ImportRefused, match=r"Line 3: .*its status is 204, and it has a body"):
        back(text)


def test_a_large_body_is_cut_between_its_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin, "PIECE_BYTES", 5)
    one = recorded(["aé한글🙂 and so on".encode() * 3, b"\xff" * 23, b"\x80" * 9])
    text = text_of(one)
    assert max(map(len, text.splitlines()[5:])) < 80
    assert back(text) == [one]
    assert b"answer_base64" not in text.partition(b'"at_us":10')[0]


def test_another_version_and_another_file_are_refused() -> None:
    with pytest.raises(ImportRefused, match="version 2"):
        list(read([b'{"cassette":2}\n']))
    with pytest.raises(ImportRefused, match="a text twin begins with"):
        list(read([b'{"role":"user"}\n']))
    with pytest.raises(ImportRefused, match="empty"):
        list(read([]))


def test_real_traffic_in_any_chunks_and_takes_survives_and_replays_the_same() -> None:
    tally = survive(load(DATA / "corpus.jsonl"), takes=2, seed=5)
    assert tally.differences == 0
    assert tally.interactions > 120
    assert tally.replayed > 120
    assert tally.chunks > 1000


def test_lines_may_come_from_a_file(tmp_path: Path) -> None:
    one = recorded(["data: \u2028\x85 is no end of a line\n\n".encode()])
    path = tmp_path / "cassette.jsonl"
    path.write_bytes(text_of(one))
    with path.open("rb") as lines:
        assert [each[1] for each in read(lines) if not isinstance(each, Take)] == [one]
