"""GETs for ranges, and of clients that have a copy, recorded and replayed on real sockets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from replay_proxy.cassette import Interaction, interaction_id
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.timeline import Timeline
from replay_proxy.wire import Headers
from tests.support import requests
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawAnswer, RawClient
from tests.support.script import Answer, Received
from tests.support.tape import ARRIVALS, make
from tests.support.upstream import Upstream

FILE = "/v1/files/file-1/content"
BODY = b"0123456789"
TAG = (b"etag", b'"v2"')


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def file_server(request: Received) -> Answer:
    """As an API serves a file."""
    if request.header(b"if-none-match") == TAG[1]:
        return Answer(status=304, headers=(TAG,), steps=[], framing="length")
    span = request.header(b"range")
    if span is None:
        return Answer(headers=(TAG,), steps=[BODY], framing="length")
    first, last = (int(each) for each in span.removeprefix(b"bytes=").split(b"-"))
    about = (b"content-range", b"bytes %d-%d/10" % (first, last))
    return Answer(
        status=206, headers=(TAG, about), steps=[BODY[first : last + 1]], framing="length"
    )


def get(proxy: Child, *fields: tuple[bytes, bytes], method: str = "GET") -> RawAnswer:
    with RawClient(proxy.base_url) as client:
        answer = client.request(method, FILE, fields)
    assert answer.clean
    return answer


def span(first: int, last: int) -> tuple[bytes, bytes]:
    return b"Range", b"bytes=%d-%d" % (first, last)


def record(nursery: Nursery, store: Path, *requests: Headers) -> list[RawAnswer]:
    with Upstream(file_server) as upstream:
        proxy = nursery.start(MODE="record", STORE=str(store), UPSTREAM_BASE_URL=upstream.base_url)
        answers = [get(proxy, *fields) for fields in requests]
        proxy.stop()
    return answers


def test_each_range_has_its_own_recording(nursery: Nursery, tmp_path: Path) -> None:
    recorded = record(nursery, tmp_path, (span(0, 3),), (span(4, 7),), (span(8, 9),))
    assert [answer.body for answer in recorded] == [b"0123", b"4567", b"89"]
    proxy = nursery.start(STORE=str(tmp_path))
    for first, last in [(8, 9), (4, 7), (0, 3), (4, 7)]:
        answer = get(proxy, span(first, last))
        assert (answer.status, answer.body) == (206, BODY[first : last + 1])
        assert answer.header(b"content-range") == b"bytes %d-%d/10" % (first, last)
        assert answer.header(b"x-replay-match") == b"exact"
    for fields in ((span(0, 4),), ()):
        missed = get(proxy, *fields)
        assert missed.status == 404
        assert b"header range" in missed.body


def test_a_copy_is_only_confirmed_to_who_has_it(nursery: Nursery, tmp_path: Path) -> None:
    copy = (b"If-None-Match", TAG[1])
    (recorded,) = record(nursery, tmp_path, (copy,))
    proxy = nursery.start(STORE=str(tmp_path))
    same = get(proxy, copy)
    assert (same.status, same.body) == (recorded.status, recorded.body) == (304, b"")
    assert get(proxy).status == 404
    assert get(proxy, (b"If-None-Match", b'"v1"')).status == 404


def test_a_whole_recording_answers_for_its_parts(nursery: Nursery, tmp_path: Path) -> None:
    record(nursery, tmp_path, ())
    proxy = nursery.start(STORE=str(tmp_path))
    part = get(proxy, span(2, 4))
    assert (part.status, part.body, part.header(b"content-length")) == (206, b"234", b"3")
    assert part.header(b"x-replay-match") == b"exact; without=range"
    outside = get(proxy, span(10, 12))
    assert (outside.status, outside.header(b"content-range")) == (416, b"bytes */10")
    current = get(proxy, (b"If-None-Match", TAG[1]))
    assert (current.status, current.body) == (304, b"")
    assert current.header(b"x-replay-match") == b"exact; without=if-none-match"
    older = get(proxy, (b"If-None-Match", b'"v1"'))
    assert (older.status, older.body) == (200, BODY)
    assert get(proxy).body == BODY


def test_rules_and_ranges_go_together(nursery: Nursery, tmp_path: Path) -> None:
    record(nursery, tmp_path, (span(0, 3),), (), (span(4, 7),))
    proxy = nursery.start(STORE=str(tmp_path), MATCH_IGNORE="$.user")
    assert get(proxy, span(4, 7)).body == b"4567"
    assert get(proxy, span(0, 3)).body == b"0123"
    part = get(proxy, span(1, 1))
    assert part.body == b"1"
    assert part.header(b"x-replay-match") == b"ignore=$.user; without=range"


def former(status: int, headers: Headers, body: bytes) -> Interaction:
    """A recording of an earlier version, which kept none of these fields."""
    request = requests.get(FILE, arrived_us=ARRIVALS.next_us())
    ends = (len(body),) if body else ()
    timeline = Timeline(1, (2,) * len(ends), ends, 3)
    number = interaction_id(request.arrived_us, 7)
    return Interaction(number, fingerprint(request), request, status, headers, body, timeline)


def test_former_cassettes_replay_to_the_same_client_and_to_no_other(
    nursery: Nursery, tmp_path: Path
) -> None:
    about = (b"content-range", b"bytes 4-7/10")
    make(tmp_path / "part.sqlite", [former(206, (TAG, about), b"4567")])
    make(tmp_path / "copy.sqlite", [former(304, (TAG,), b"")])
    make(tmp_path / "whole.sqlite", [former(200, (TAG,), BODY)])
    proxy = nursery.start(STORE=str(tmp_path))
    part, copy, whole = ((b"x-replay-cassette", name) for name in (b"part", b"copy", b"whole"))
    has_copy = (b"If-None-Match", TAG[1])
    assert get(proxy, part, span(4, 7)).body == b"4567"
    assert [get(proxy, part, *each).status for each in ((), (span(0, 3),))] == [404, 404]
    assert get(proxy, copy, has_copy).status == 304
    assert get(proxy, copy).status == 404
    assert get(proxy, whole).body == BODY
    assert get(proxy, whole, has_copy).status == 304


def test_former_recordings_of_several_ranges_are_found_in_any_order(
    nursery: Nursery, tmp_path: Path
) -> None:
    def part(first: int, last: int) -> Interaction:
        about = (b"content-range", b"bytes %d-%d/10" % (first, last))
        return former(206, (TAG, about), BODY[first : last + 1])

    parts = [part(0, 3), part(4, 7), part(8, 9)]
    make(tmp_path / "default.sqlite", [*parts, former(200, (TAG,), BODY)])
    proxy = nursery.start(STORE=str(tmp_path))
    for first, last in [(8, 9), (0, 3), (4, 7), (8, 9), (1, 2)]:
        assert get(proxy, span(first, last)).body == BODY[first : last + 1]
    assert (get(proxy).status, get(proxy).body) == (200, BODY)


@pytest.mark.parametrize("repeats", ["last", "cycle", "fail"])
def test_all_ranges_are_of_one_recording_of_the_whole(
    repeats: str, nursery: Nursery, tmp_path: Path
) -> None:
    newer = bytes(reversed(BODY))
    make(tmp_path / "default.sqlite", [former(200, (TAG,), BODY), former(200, (TAG,), newer)])
    proxy = nursery.start(STORE=str(tmp_path), REPEATS=repeats)
    for body in (BODY, newer):
        for first, last in [(0, 3), (4, 7), (8, 9)]:
            assert get(proxy, span(first, last)).body == body[first : last + 1]
        assert get(proxy).body == body


def test_what_is_not_recorded_is_recorded_for_that_range(nursery: Nursery, tmp_path: Path) -> None:
    with Upstream(file_server) as upstream:
        proxy = nursery.start(
            MODE="replay",
            ON_MISS="record",
            STORE=str(tmp_path),
            UPSTREAM_BASE_URL=upstream.base_url,
        )
        for first, last in [(0, 3), (4, 7), (0, 3)]:
            assert get(proxy, span(first, last)).body == BODY[first : last + 1]
        assert len(upstream.requests) == 2
        proxy.stop()
