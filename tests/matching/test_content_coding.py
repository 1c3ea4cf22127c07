"""Compressed requests count by their content."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from replay_proxy.cli.commands import app
from replay_proxy.matching.content_coding import MOST_BYTES, content, is_too_large
from replay_proxy.matching.fingerprint import fingerprint, former_fingerprint
from replay_proxy.wire import Request
from tests.support.nursery import Nursery
from tests.support.rawclient import RawAnswer, RawClient
from tests.support.requests import CHAT, JSON, chat_body, post
from tests.support.script import Answer
from tests.support.tape import make, recorded
from tests.support.upstream import Upstream

CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:]),
    "deflate": zlib.compress,
    "Deflate": lambda body: zlib.compress(body)[2:-4],
    "zstd": zstandard.compress,
    "ZSTD": lambda body: zstandard.compress(body[:9]) + zstandard.compress(body[9:]),
    "br": brotli.compress,
    "gzip, br": lambda body: brotli.compress(gzip.compress(body)),
}


def request(body: bytes, coding: str | None = None) -> Request:
    coded = ((b"content-encoding", coding.encode()),) if coding is not None else ()
    return post(body, headers=(*JSON, *coded))


@pytest.mark.parametrize("coding", CODERS)
@given(question=st.text(max_size=50))
def test_a_compressed_request_has_the_key_of_its_content(coding: str, question: str) -> None:
    body = chat_body(question)
    coded = request(CODERS[coding](body), coding)
    assert content(coded) == body
    assert fingerprint(coded) == fingerprint(request(body))


@pytest.mark.parametrize("coding", CODERS)
def test_a_damaged_or_cut_body_counts_as_it_is(coding: str) -> None:
    whole = CODERS[coding](chat_body("q"))
    cut = {whole[:size] for size in range(1, len(whole))}
    if coding in ("x-gzip", "ZSTD"):  # One of these ends where its first part does.
        cut = {each for each in cut if content(request(each, coding)) == each}
        assert len(cut) >= len(whole) - 2
    for body in cut:
        assert content(request(body, coding)) == body
    assert len({fingerprint(request(body, coding)) for body in cut}) == len(cut)


@pytest.mark.parametrize("coding", ["snappy", "gzip, snappy", "gzip, gzip, gzip, gzip", ""])
def test_a_body_of_another_coding_counts_as_it_is(coding: str) -> None:
    body = gzip.compress(chat_body("q"))
    assert content(request(body, coding)) == body


@pytest.mark.parametrize("coding", CODERS)
def test_what_grows_without_end_is_not_read_to_its_end(coding: str) -> None:
    bomb = request(CODERS[coding](bytes(MOST_BYTES + 1)), coding)
    assert is_too_large(bomb)
    assert content(bomb) == bomb.body
    assert not is_too_large(request(CODERS[coding](bytes(1000)), coding))


def test_a_recording_of_an_earlier_version_is_found_by_the_bytes_of_its_body() -> None:
    coded = request(gzip.compress(chat_body("q")), "gzip")
    as_it_was = former_fingerprint(coded)
    assert as_it_was == fingerprint(replace(coded, headers=coded.headers[:1]))
    assert as_it_was != fingerprint(coded)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def send(base_url: str, question: str, coding: str, body: bytes | None = None) -> RawAnswer:
    headers = [*JSON, (b"content-encoding", coding.encode())]
    with RawClient(base_url) as client:
        return client.request("POST", CHAT, headers, body or CODERS[coding](chat_body(question)))


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br", "deflate"])
def test_a_compressed_request_is_sent_as_it_came_and_replayed_by_its_content(
    coding: str, nursery: Nursery, tmp_path: Path
) -> None:
    with Upstream(lambda _: Answer(steps=[b'{"a": 1}'], framing="length")) as upstream:
        child = nursery.start(
            MODE="record", STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url
        )
        sent = CODERS[coding](chat_body("Where?"))
        assert send(child.base_url, "Where?", coding, sent).status == 200
        child.stop()
        (received,) = upstream.requests
    assert received.body == sent
    assert received.header(b"content-encoding") == coding.encode()
    child = nursery.start(MODE="replay", STORE=str(tmp_path))
    for other in ("gzip", "zstd", "br", "deflate"):
        assert send(child.base_url, "Where?", other).body == b'{"a": 1}'
    miss = json.loads(send(child.base_url, "When?", coding).body)["error"]
    child.stop()
    (nearest,) = miss["nearest"]
    assert [each["place"] for each in nearest["differences"]] == ["$.messages[0].content"]
    assert (miss["request"]["model"], miss["request"]["last_message"]) == ("m", "When?")
    child = nursery.start(MODE="replay", STORE=str(tmp_path), MATCH_IGNORE="$.messages[0].content")
    assert send(child.base_url, "When?", coding).status == 200
    child.stop()
    for words, shown in ((["ls"], "Where?"), (["show", "1"], "Where?"), (["verify"], "")):
        command, *more = words
        result = CliRunner().invoke(app, [command, "default", *more, "--store", str(tmp_path)])
        assert (result.exit_code, shown in result.output) == (0, True), result.output


def test_the_dummy_answers_the_content(nursery: Nursery) -> None:
    child = nursery.start(MODE="dummy")
    for coding in ("gzip", "zstd", "br", "deflate"):
        answer = send(child.base_url, "Where?", coding)
        said = json.loads(answer.body)["choices"][0]["message"]["content"]
        assert said == "Where?의 응답 내용"
    child.stop()


def test_a_bomb_is_refused_and_neither_sent_nor_stored(nursery: Nursery, tmp_path: Path) -> None:
    with Upstream(lambda _: Answer(steps=[b"{}"], framing="length")) as upstream:
        child = nursery.start(
            MODE="record", STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url
        )
        headers = [(b"content-encoding", b"gzip")]
        with RawClient(child.base_url) as client:
            bomb = gzip.compress(bytes(MOST_BYTES + 1))
            answer = client.request("POST", CHAT, headers, bomb)
        child.stop()
        assert not upstream.requests
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (413, "request_too_large")
    assert not list(tmp_path.glob("*.sqlite"))


def test_a_recording_of_an_earlier_version_is_replayed(nursery: Nursery, tmp_path: Path) -> None:
    coded = request(gzip.compress(chat_body("q"), mtime=1), "gzip")
    one = recorded("q", b'{"old": 1}')
    former = former_fingerprint(coded)
    assert former is not None
    make(tmp_path / "default.sqlite", [replace(one, request=coded, fingerprint=former)])
    child = nursery.start(MODE="replay", STORE=str(tmp_path))
    with RawClient(child.base_url) as client:
        answer = client.request("POST", CHAT, coded.headers, coded.body)
    child.stop()
    assert answer.body == b'{"old": 1}'
