"""Several workers are one server: one take, one order of answers, one plain file behind them."""

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from tests.support.child_code import CLOCK_SET_BACK, child_environment
from tests.support.nursery import Nursery
from tests.support.rawclient import RawClient
from tests.support.requests import chat_body
from tests.support.script import JSON, Answer, Received
from tests.support.servers import Proxy
from tests.support.upstream import Upstream

PATH = "/v1/chat/completions"
SAME = chat_body()


def ask(proxy: Proxy, body: bytes = SAME) -> bytes:
    """One answer, over a connection of its own, so that any worker may get it."""
    with RawClient(proxy.base_url) as client:
        answer = client.request("POST", PATH, body=body)
    assert answer.status == 200, answer.body
    return answer.body


def numbered(upstream_calls: list[int]) -> Answer:
    upstream_calls.append(len(upstream_calls))
    return Answer(headers=JSON, steps=[b'{"n": %d}' % upstream_calls[-1]], framing="length")


def test_workers_record_one_take_and_replay_it_in_order(tmp_path: Path) -> None:
    calls: list[int] = []
    with (
        Upstream(lambda _: numbered(calls)) as upstream,
        Proxy(
            tmp_path,
            "--workers",
            "3",
            MODE="record",
            STORE="store",
            UPSTREAM_BASE_URL=upstream.base_url,
        ) as proxy,
    ):
        recorded = [ask(proxy) for _ in range(30)]
    assert recorded == [b'{"n": %d}' % number for number in range(30)]
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["default.sqlite"]
    with closing(sqlite3.connect(tmp_path / "store" / "default.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM take").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)

    with Proxy(tmp_path, "--workers", "3", MODE="replay", STORE="store") as proxy:
        replayed = [ask(proxy) for _ in range(33)]
    assert replayed == recorded + recorded[-1:] * 3

    with Proxy(tmp_path, "--workers", "3", MODE="replay", STORE="store") as proxy:
        assert ask(proxy) == recorded[0], "a new server begins with the first answer again"


def test_order_holds_with_four_workers_and_a_clock_that_is_set_back(tmp_path: Path) -> None:
    """The clock goes back a day from worker to worker, and an hour at each look at it."""
    calls: list[int] = []
    recorded: list[bytes] = []
    with Upstream(lambda _: numbered(calls)) as upstream:
        for number in range(2):  # The second run's clock is behind that of the first, and replaces.
            env = child_environment(tmp_path / "injected", CLOCK_SET_BACK)
            env |= {"MODE": "record", "STORE": "store", "UPSTREAM_BASE_URL": upstream.base_url}
            with Proxy(tmp_path, "--workers", "4", **env) as proxy:
                recorded = [ask(proxy) for _ in range(40)]
            assert recorded == [
                b'{"n": %d}' % call for call in range(40 * number, 40 * number + 40)
            ]
    with Nursery() as nursery:
        one = nursery.start(MODE="replay", STORE=str(tmp_path / "store"))
        with RawClient(one.base_url) as client:
            replayed = [client.request("POST", PATH, body=SAME).body for _ in range(40)]
    assert replayed == recorded


def test_a_second_recording_replaces_the_first_and_keeps_it(tmp_path: Path) -> None:
    for name in (b"old", b"new"):
        reply = Answer(headers=JSON, steps=[name], framing="length")

        def script(_: Received, reply: Answer = reply) -> Answer:
            return reply

        with (
            Upstream(script) as upstream,
            Proxy(
                tmp_path, MODE="record", STORE="store", UPSTREAM_BASE_URL=upstream.base_url
            ) as proxy,
        ):
            ask(proxy)
            if name == b"old":
                ask(proxy, b'{"only": "old"}')
    with Proxy(tmp_path, MODE="replay", STORE="store") as proxy:
        assert ask(proxy) == b"new"
        assert ask(proxy) == b"new"
        assert ask(proxy, b'{"only": "old"}') == b"old"
    with closing(sqlite3.connect(tmp_path / "store" / "default.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM take").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM interaction").fetchone() == (3,)


def test_concurrent_recording_by_several_workers_loses_nothing(tmp_path: Path) -> None:
    def script(request: Received) -> Answer:
        return Answer(headers=JSON, steps=[request.body], framing="length")

    bodies = [json.dumps({"user": str(number)}).encode() for number in range(200)]
    with (
        Upstream(script) as upstream,
        Proxy(
            tmp_path,
            "--workers",
            "2",
            MODE="record",
            STORE="store",
            UPSTREAM_BASE_URL=upstream.base_url,
        ) as proxy,
    ):
        shares = [bodies[start::8] for start in range(8)]
        threads = [
            threading.Thread(target=lambda share=share: [ask(proxy, body) for body in share])
            for share in shares
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with Proxy(tmp_path, MODE="replay", STORE="store") as proxy:
        assert [ask(proxy, body) for body in bodies] == bodies
