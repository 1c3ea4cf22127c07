"""One proxy, many cassettes: a request names its own by path or by header."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawAnswer, RawClient
from tests.support.script import JSON, Answer, Received
from tests.support.upstream import Upstream

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def ask(proxy: Child, path: str = CHAT, *, cassette: str | None = None) -> RawAnswer:
    headers = ((b"x-replay-cassette", cassette.encode()),) if cassette is not None else ()
    with RawClient(proxy.base_url) as client:
        return client.request("POST", path, headers, b"{}")


def counting() -> Upstream:
    calls: list[Received] = []

    def script(request: Received) -> Answer:
        calls.append(request)
        return Answer(headers=JSON, steps=[b"%d" % len(calls)], framing="length")

    return Upstream(script)


def test_a_path_or_a_header_names_the_cassette(nursery: Nursery, tmp_path: Path) -> None:
    with counting() as upstream:
        proxy = nursery.start(
            MODE="record", STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url
        )
        recorded = [
            ask(proxy).body,
            ask(proxy, f"/cassettes/one{CHAT}").body,
            ask(proxy, cassette="two").body,
        ]
        assert [request.target for request in upstream.requests] == [CHAT] * 3
        assert not any(name.startswith(b"x-replay") for name, _ in upstream.requests[2].headers)
        proxy.kill()
    assert recorded == [b"1", b"2", b"3"]

    proxy = nursery.start(MODE="replay", STORE=str(tmp_path))
    assert ask(proxy).body == b"1"
    assert ask(proxy, cassette="one").body == b"2", "recorded by path, replayed by header"
    assert ask(proxy, f"/cassettes/two{CHAT}").body == b"3"
    assert ask(proxy, f"/cassettes/two{CHAT}", cassette="one").body == b"3", "the path wins"
    missing = ask(proxy, cassette="three")
    proxy.kill()
    error = json.loads(missing.body)["error"]
    assert (missing.status, error["code"], error["cassette"]) == (404, "no_cassette", "three")


@pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden", "", "x" * 201, "-x"])
def test_a_name_that_could_leave_the_store_is_refused(
    name: str, nursery: Nursery, tmp_path: Path
) -> None:
    with counting() as upstream:
        proxy = nursery.start(
            MODE="record", STORE=str(tmp_path / "store"), UPSTREAM_BASE_URL=upstream.base_url
        )
        quoted = name.replace("/", "%2F")
        for seen in (ask(proxy, cassette=name), ask(proxy, f"/cassettes/{quoted}{CHAT}")):
            assert seen.status in (400, 404)
            assert json.loads(seen.body)["error"]["code"] in (
                "invalid_cassette_name",
                "unknown_url",
            )
        proxy.kill()
        assert upstream.requests == []
    assert list((tmp_path / "store").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_hundreds_of_cassettes_need_few_open_files(nursery: Nursery, tmp_path: Path) -> None:
    with counting() as upstream:
        proxy = nursery.start(
            MODE="replay",
            ON_MISS="record",
            STORE=str(tmp_path),
            UPSTREAM_BASE_URL=upstream.base_url,
        )
        recorded = [ask(proxy, cassette=f"c{number}").body for number in range(150)]
        replayed = [ask(proxy, cassette=f"c{number}").body for number in range(150)]
        open_files = os.listdir(f"/proc/{proxy.pid}/fd")
        proxy.kill()
    assert replayed == recorded
    assert len(open_files) < 400
