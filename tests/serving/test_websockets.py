"""Handshakes of WebSockets are refused by name, and told as misses."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.nursery import Child, Nursery
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def misses(child: Child) -> dict[str, list[Any]]:
    url = f"http://127.0.0.1:{child.port}/_replay/api/report"
    with urllib.request.urlopen(url, timeout=30) as answer:
        cassettes = json.load(answer)["cassettes"]
    return {name: told["misses"] for name, told in cassettes.items()}


@pytest.mark.parametrize("mode", ["dummy", "replay", "record"])
@pytest.mark.parametrize(
    ("path", "cassette"),
    [
        ("/v1/responses", "default"),
        ("/v1/realtime?model=gpt-realtime", "default"),
        ("/cassettes/mine/v1/responses", "mine"),
        ("/elsewhere", "default"),
    ],
)
def test_a_handshake_is_refused_with_a_status_that_clients_understand_and_is_a_miss(
    mode: str, path: str, cassette: str, nursery: Nursery, tmp_path: Path
) -> None:
    with Upstream(lambda _: pytest.fail("it was passed on")) as upstream:
        child = nursery.start(MODE=mode, STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url)
        with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{child.port}{path}"):
            pass
        told = misses(child)
        child.stop()
    answer = refused.value.response
    error = json.loads(answer.body or b"")["error"]
    assert (answer.status_code, error["code"]) == (426, "websocket_unsupported")
    assert answer.headers["x-replay-source"] == "refused"
    assert "HTTP" in error["message"]
    (miss,) = told[cassette]
    assert miss["request"]["path"] == path.partition("?")[0].removeprefix("/cassettes/mine")
    assert not list(tmp_path.iterdir()) or mode != "record"


def test_a_cassette_by_header_is_the_one_that_misses(nursery: Nursery) -> None:
    child = nursery.start(MODE="dummy")
    headers = {"x-replay-cassette": "other"}
    with (
        pytest.raises(InvalidStatus),
        connect(f"ws://127.0.0.1:{child.port}/v1/responses", additional_headers=headers),
    ):
        pass
    assert [name for name, told in misses(child).items() if told] == ["other"]
    child.stop()
