"""One proxy, many cassettes: a request names its own by path or by header."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

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


NAMES = {
    "Korean": "카세트",
    "Korean in parts, as macOS writes it": "\u1100\u1161",
    "Arabic": "شريط",
    "Japanese": "カセット",
    "Cyrillic": "кассета",
    "an emoji": "📼",
    "joined emoji": "👩‍💻",
    "with an accent": "café",
    "a quote": "it's",
    "a blank": "my tape",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_in_any_script_is_shown_as_it_was_sent(name: str, script_proxy: Child) -> None:
    shown = f"'{name}' is not the name of a cassette: a cassette's name is made of letters, digits"
    for path, header in (
        (f"/cassettes/{quote(name)}{CHAT}", None),
        (f"/cassettes/{quote(name).lower()}{CHAT}", None),
        (CHAT, name.encode()),
    ):
        assert message(script_proxy, path, header).startswith(shown)
    _, report = get(script_proxy, f"/_replay/api/report?cassette={quote(name)}")
    assert report["error"]["message"].startswith(shown)


@pytest.mark.parametrize(
    ("path", "header", "shown"),
    [
        (f"/cassettes/%ff%41{CHAT}", None, "%ff%41"),
        (f"/cassettes/%ed%a0%80{CHAT}", None, "%ed%a0%80"),
        (f"/cassettes/%25EC%2595%2588{CHAT}", None, "%EC%95%88"),
        (f"/cassettes/a%0Ab%1b%5B2J{CHAT}", None, "a\nb\\x1b[2J"),
        (f"/cassettes/a%E2%80%AEb{CHAT}", None, "a\\u202eb"),
        (CHAT, b"%EC%95%88", "%EC%95%88"),
        (CHAT, b"caf\xe9", "café"),
    ],
)
def test_a_name_that_is_no_text_is_shown_as_it_was_sent_and_harmless(
    path: str, header: bytes | None, shown: str, script_proxy: Child
) -> None:
    assert message(script_proxy, path, header).startswith(
        f"'{shown}' is not the name of a cassette"
    )


def message(proxy: Child, path: str, cassette: bytes | None) -> str:
    """What the proxy says of a request for a cassette that cannot be."""
    headers = () if cassette is None else ((b"x-replay-cassette", cassette),)
    with RawClient(proxy.base_url) as client:
        answer = client.request("POST", path, headers, b"{}")
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (400, "invalid_cassette_name")
    return str(error["message"])


@pytest.fixture(scope="module")
def script_proxy(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    proxy = nursery.start(MODE="record", STORE=str(tmp_path_factory.mktemp("store")))
    yield proxy
    proxy.kill()


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


def get(proxy: Child, path: str) -> tuple[int, dict[str, Any]]:
    with RawClient(proxy.base_url) as client:
        answer = client.request("GET", path)
    return answer.status, json.loads(answer.body)


def test_the_report_counts_what_was_answered_and_survives_a_bad_question(
    nursery: Nursery, tmp_path: Path
) -> None:
    with counting() as upstream:
        proxy = nursery.start(
            MODE="record", STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url
        )
        ask(proxy)
        ask(proxy, "/v1/embeddings")
        _, recording = get(proxy, "/_replay/api/report")
        proxy.kill()
    entry = recording["cassettes"]["default"]
    assert (entry["answers"]["from_upstream"], entry["unused"], len(entry["used"])) == (2, [], 2)
    first = entry["used"][0]

    (tmp_path / "bad.sqlite").write_text("garbage" * 1000)
    proxy = nursery.start(MODE="replay", STORE=str(tmp_path))
    ask(proxy)
    ask(proxy, "/v1/nothing")
    ask(proxy, "/v1/nothing")
    for path, status, code in (
        ("/_replay/api/report?cassette=bad", 500, "cassette_damaged"),
        ("/_replay/api/report?cassette=../x", 400, "invalid_cassette_name"),
        ("/_replay/api/report?max_age_s=-1", 400, None),
        ("/_replay/api/nothing", 404, "unknown_url"),
    ):
        seen, body = get(proxy, path)
        assert (seen, body["error"]["code"]) == (status, code), path
        assert body["error"]["message"]
    status, report = get(proxy, "/_replay/api/report?max_age_s=0")
    proxy.kill()
    entry = report["cassettes"]["default"]
    assert status == 200
    assert entry["answers"] == {
        "from_upstream": 0,
        "from_cassette": 1,
        "from_dummy": 0,
        "refused": 2,
        "from_fault": 0,
    }
    assert [(miss["request"]["path"], miss["times"]) for miss in entry["misses"]] == [
        ("/v1/nothing", 2)
    ]
    assert [each["path"] for each in entry["unused"]] == ["/v1/embeddings"]
    assert [each["path"] for each in entry["expired"]] == [CHAT]
    assert entry["used"] == [first]
    assert entry["saved"]["requests"] == 1


def test_a_key_in_the_query_is_neither_stored_nor_part_of_the_key(
    nursery: Nursery, tmp_path: Path
) -> None:
    with counting() as upstream:
        proxy = nursery.start(
            MODE="record", STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url
        )
        ask(proxy, f"{CHAT}?api-version=1&api-key=SECRET-1")
        assert upstream.requests[0].target.endswith("api-key=SECRET-1")
        proxy.kill()
    proxy = nursery.start(MODE="replay", STORE=str(tmp_path))
    assert ask(proxy, f"{CHAT}?api-key=placeholder&api-version=1").body == b"1"
    miss = ask(proxy, f"{CHAT}?api-key=SECRET-2&api-version=2")
    proxy.kill()
    assert miss.status == 404
    assert b"SECRET" not in miss.body
    assert not any(b"SECRET" in path.read_bytes() for path in tmp_path.iterdir())
