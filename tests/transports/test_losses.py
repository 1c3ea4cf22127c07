"""Requests whose last identical answer was not kept, in the report and in the log."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from replay_proxy.answers.losses import CREDENTIAL, TRANSIENT, loss_of_status
from replay_proxy.errors import ReplayProxyError, StoreError, UpstreamCut, UpstreamUnreachable
from replay_proxy.matching.rules import Rule
from replay_proxy.serving.report import report
from replay_proxy.timeline import MonotonicClock
from replay_proxy.transports import journal
from replay_proxy.transports.journal import Journal, Journaled
from replay_proxy.transports.journal.ledger import JournalLedger
from replay_proxy.transports.recorder.recorder import Recorder
from replay_proxy.wire import Request, Response
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawClient
from tests.support.requests import CHAT, chat, head, post
from tests.support.script import EVENT_STREAM, JSON, Answer, Cut, Gate, Received
from tests.support.servers import Proxy
from tests.support.transports import SimpleTransport
from tests.support.upstream import Upstream

DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("status", "stable", "everything"),
    [
        *((status, None, None) for status in (200, 206, 302, 400, 404, 422)),
        *((status, CREDENTIAL, None) for status in (401, 403)),
        (407, CREDENTIAL, CREDENTIAL),
        *((status, TRANSIENT, None) for status in (408, 409, 425, 429, 500, 503, 529, 599)),
    ],
)
def test_a_status_says_whether_its_answer_is_kept(
    status: int, stable: str | None, everything: str | None
) -> None:
    losses = [loss_of_status(status, keep_errors=keep) for keep in (False, True)]
    assert [loss and loss.code for loss in losses] == [stable, everything]


def test_a_large_request_is_named_without_reading_it() -> None:
    loss = loss_of_status(429, keep_errors=False)
    assert loss is not None
    small, large = chat("Hi"), chat("x" * (1 << 20))
    assert loss.described(small)["request"]["last_message"] == "Hi"
    assert loss.described(large)["request"] == {
        "method": "POST",
        "path": CHAT,
        "model": None,
        "last_message": None,
    }
    assert f"Not recorded: POST {CHAT}: 429" in loss.described(large)["message"]


# --- which of several identical requests counts ---------------------------------------------------


class Tape:
    """A cassette in memory, which may be full."""

    def __init__(self) -> None:
        self.number = 0
        self.full = False

    async def add(self, interaction: Any) -> int:
        if self.full:
            raise StoreError("The disk is full.")
        self.number += 1
        return self.number

    def rewind(self) -> None:
        """Nothing is replayed."""


class Api(SimpleTransport):
    """Answers with the status, or the error, that the request's query names."""

    async def handle(self, request: Request) -> Response:
        status, _, when = request.query.partition("-")
        if status == "down":
            raise UpstreamUnreachable("No answer from the upstream.", remedy="Check the network.")

        async def body() -> Any:
            yield b"1"
            if when:
                await GATES[when].wait()
            if status == "cut":
                raise UpstreamCut("It broke off.")
            if status == "bug":
                raise ValueError("A bug of the proxy.")

        code = int(status) if status.isdigit() else 200
        kind = (b"content-length", b"1") if status == "sized" else (b"content-type", b"text/plain")
        return Response(code, (kind,), body())


GATES: dict[str, asyncio.Event] = {}


class Recording:
    """A recorder with its journal. ``ask`` sends one of the same requests; answers differ."""

    def __init__(self, rule: Rule | None = None) -> None:
        self.journal, self.tape = Journal(), Tape()
        self.rule = rule or Rule()
        recorder = Recorder(
            Api(),
            self.tape,
            clock=MonotonicClock(),
            process_number=1,
            drain_s=0.01,
            keep_errors=False,
            ledger=JournalLedger(self.journal, "c", self._key),
        )
        self.transport = Journaled(recorder, self.journal, "c")
        self.arrived_us = 0

    def _key(self, request: Request) -> str:
        return self.rule.key(post(request.body, request.path))

    async def ask(self, answer: str, body: bytes = b"{}", path: str = CHAT) -> None:
        self.arrived_us += 1
        request = post(body, path, query=answer, arrived_us=self.arrived_us)
        try:
            response = await self.transport.handle(request)
            assert not isinstance(response.body, bytes)
            async for _ in response.body:
                pass
        except ReplayProxyError:
            pass

    async def report(self) -> dict[str, Any]:
        entry = self.journal.entry("c")
        return await report(entry, None, self.rule, max_age_s=None)

    def losses(self, *answers: str) -> list[tuple[str, int]]:
        """The code and count of each loss after these answers to the same request."""

        async def scenario() -> dict[str, Any]:
            for answer in answers:
                await self.ask(answer)
            return await self.report()

        told = asyncio.run(scenario())
        assert told["lost"] == len(told["losses"])
        assert told["recorded_total"] == len(told["recorded"])
        return [(loss["code"], loss["times"]) for loss in told["losses"]]


@pytest.mark.parametrize(
    ("answers", "losses"),
    [
        (["200"], []),
        (["429", "429", "200"], []),
        (["429", "503", "429"], [("transient", 3)]),
        (["200", "429"], [("transient", 1)]),
        (["429", "200", "401"], [("credential", 1)]),
        (["down", "cut", "down"], [("upstream_unreachable", 3)]),
        (["down", "200", "cut"], [("upstream_cut", 1)]),
        (["cut", "404"], []),
        (["bug"], [("proxy_failed", 1)]),
    ],
)
def test_the_last_of_identical_requests_decides(
    answers: list[str], losses: list[tuple[str, int]]
) -> None:
    assert Recording().losses(*answers) == losses


def together(first: str, then: str, *, first_ends: bool) -> list[str]:
    """The losses of two identical requests that are in progress at the same time."""

    async def scenario() -> list[str]:
        proxy = Recording()
        GATES.update(first=asyncio.Event(), then=asyncio.Event())
        tasks = [asyncio.create_task(proxy.ask(f"{first}-first"))]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(proxy.ask(f"{then}-then")))
        order = ["first", "then"] if first_ends else ["then", "first"]
        for which, task in zip(order, tasks if first_ends else tasks[::-1], strict=True):
            GATES[which].set()
            await task
        assert not proxy.journal.in_progress
        return [loss["code"] for loss in (await proxy.report())["losses"]]

    return asyncio.run(scenario())


def test_an_answer_that_had_not_ended_when_the_proxy_stopped_is_a_loss() -> None:
    async def scenario() -> list[str]:
        proxy = Recording()
        GATES.update(never=asyncio.Event())
        asking = asyncio.create_task(proxy.ask("200-never"))
        await asyncio.sleep(0)
        assert proxy.journal.in_progress
        await proxy.transport.aclose(0)
        await asking
        return [loss["code"] for loss in (await proxy.report())["losses"]]

    assert asyncio.run(scenario()) == ["proxy_stopped"]


@pytest.mark.parametrize("first_ends", [True, False])
def test_the_one_that_arrived_last_counts_in_whatever_order_they_end(first_ends: bool) -> None:
    assert together("cut", "200", first_ends=first_ends) == []
    assert together("200", "cut", first_ends=first_ends) == ["upstream_cut"]
    assert together("200", "200", first_ends=first_ends) == []


def test_requests_that_count_as_the_same_are_the_same_here_too() -> None:
    async def scenario(rule: Rule) -> int:
        proxy = Recording(rule)
        await proxy.ask("429", b'{"user": "a"}')
        await proxy.ask("200", b'{"user": "b"}')
        return int((await proxy.report())["lost"])

    assert asyncio.run(scenario(Rule(["$.user"]))) == 0
    assert asyncio.run(scenario(Rule())) == 1


@pytest.mark.parametrize("answer", ["200", "sized"])
def test_an_answer_that_the_disk_refuses_is_one_loss_and_no_miss(answer: str) -> None:
    async def scenario() -> dict[str, Any]:
        proxy = Recording()
        proxy.tape.full = True
        await proxy.ask(answer)
        return await proxy.report()

    told = asyncio.run(scenario())
    assert (told["misses"], told["recorded"]) == ([], [])
    assert [loss["code"] for loss in told["losses"]] == ["store_failed"]
    assert "The disk is full" in told["losses"][0]["message"]


def test_losses_are_bounded_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT_LOSSES", 3)

    async def scenario() -> tuple[dict[str, Any], dict[str, Any]]:
        proxy = Recording()
        for number in range(5):
            await proxy.ask("429", b"%d" % number)
        many = await proxy.report()
        proxy.journal.forget("c")
        await proxy.ask("429", b"new")
        return many, await proxy.report()

    many, afterwards = asyncio.run(scenario())
    assert (len(many["losses"]), many["lost"]) == (3, 5)
    assert len(afterwards["losses"]) == 1, "what was forgotten has made room"


# --- through the server ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def told(proxy: Proxy | Child) -> dict[str, Any]:
    with RawClient(proxy.base_url) as client:
        answer = client.request("GET", "/_replay/api/report?drain=true")
    return dict(json.loads(answer.body)["cassettes"]["default"])


def scripted(never: threading.Event) -> Callable[[Received], Answer]:
    def script(request: Received) -> Answer:
        match request.body:
            case b"401" | b"429":
                return Answer(int(request.body), JSON, [b"{}"], "length")
            case b"cut":
                return Answer(steps=[b"data: 1\n\n", Cut()])
            case b"hangs":
                return Answer(steps=[b"data: 1\n\n", Gate(never)])
            case b"late":
                return Answer(steps=[Gate(never)], head=False)
        return Answer(steps=[b"data: 1\n\n", DONE])

    return script


def test_the_report_and_the_log_name_each_loss_and_recorded_counts_rows(tmp_path: Path) -> None:
    settings = {"MODE": "record", "STORE": "store", "DRAIN_S": "0.1"}
    with (
        Upstream(scripted(threading.Event())) as upstream,
        Proxy(tmp_path, **settings, UPSTREAM_BASE_URL=upstream.base_url) as proxy,
    ):
        for body in (b"401", b"429", b"cut", b"whole"):
            with RawClient(proxy.base_url) as client:
                client.request("POST", CHAT, body=body)
        with RawClient(proxy.base_url) as client:
            next(client.send("POST", CHAT, body=b"hangs"))
        with socket.create_connection(("127.0.0.1", proxy.port)) as client_before_the_head:
            client_before_the_head.sendall(head("content-length: 4") + b"late")
            upstream.wait_for(6)
        report = told(proxy)
        log = proxy.stop()
    codes = ["credential", "transient", "upstream_cut", "client_left", "client_left"]
    assert [loss["code"] for loss in report["losses"]] == codes
    assert (report["recorded_total"], len(report["recorded"])) == (1, 1)
    assert (report["lost"], report["in_progress"]) == (5, 0)
    assert report["answers"]["from_upstream"] == 5, "one client has not seen a head"
    for loss in report["losses"]:
        assert loss["message"] == f"{loss['explanation']} {loss['remedy']}"
        assert loss["explanation"].startswith(f"Not recorded: POST {CHAT}: ")
        assert log.splitlines().count(loss["message"]) == codes.count(loss["code"])
    assert "broke off, and so does" not in log, "one line per loss"


def test_a_bad_and_a_good_key_are_kept_in_order_on_request(
    nursery: Nursery, tmp_path: Path
) -> None:
    def api(request: Received) -> Answer:
        good = request.header(b"authorization") == b"Bearer good"
        return Answer(200 if good else 401, JSON, [b"%d" % good], "length")

    def ask(proxy: Child, key: bytes) -> tuple[int, bytes, bytes | None]:
        with RawClient(proxy.base_url) as client:
            headers = [(b"authorization", b"Bearer " + key)]
            seen = client.request("POST", CHAT, headers, b"{}")
        return seen.status, seen.body, seen.header(b"x-replay-loss")

    for errors, kept in (("all", [401, 200, 401]), ("stable", [200, 200, 200])):
        store = {"STORE": str(tmp_path / errors), "RECORD_ERRORS": errors}
        with Upstream(api) as upstream:
            proxy = nursery.start(MODE="record", UPSTREAM_BASE_URL=upstream.base_url, **store)
            loss = None if errors == "all" else b"credential"
            assert ask(proxy, b"bad") == (401, b"0", loss)
            assert ask(proxy, b"good") == (200, b"1", None)
            assert ask(proxy, b"bad") == (401, b"0", loss)
            report = told(proxy)
            proxy.kill()
        assert report["recorded_total"] == (3 if errors == "all" else 1)
        assert report["lost"] == (0 if errors == "all" else 1)
        proxy = nursery.start(MODE="replay", **store)
        assert [ask(proxy, b"any")[0] for _ in range(3)] == kept
        proxy.kill()


INSIDE = {
    b"event": [b'data: {"choices": []}\n\n', b'data: {"error": {"code": 502}}\n\n', DONE],
    b"failed": [
        b'data: {"type":"response.failed","response":{"error":{"code":"server_error"}}}\n\n'
    ],
    b"stable": [b'data: {"error": {"code": "context_length_exceeded"}}\n\n'],
    b"json": [b'{"error": {"message": "Overloaded", "type": "overloaded_error"}}'],
}


def test_an_error_inside_a_200_is_passed_on_and_kept_on_request_only(
    nursery: Nursery, tmp_path: Path
) -> None:
    def api(request: Received) -> Answer:
        is_json = request.body == b"json"
        headers, framing = (JSON, "length") if is_json else (EVENT_STREAM, "chunked")
        return Answer(200, headers, INSIDE[request.body], framing)  # type: ignore[arg-type]

    for errors, lost in (("stable", ["event", "failed", "json"]), ("all", [])):
        settings = {"STORE": str(tmp_path / errors), "RECORD_ERRORS": errors, "MODE": "record"}
        with Upstream(api) as upstream:
            proxy = nursery.start(UPSTREAM_BASE_URL=upstream.base_url, **settings)
            for body, chunks in INSIDE.items():
                with RawClient(proxy.base_url) as client:
                    seen = client.request("POST", CHAT, body=body)
                assert (seen.status, seen.chunks, seen.clean) == (200, chunks, True)
            report = told(proxy)
            proxy.kill()
        assert report["recorded_total"] == len(INSIDE) - len(lost)
        assert [loss["code"] for loss in report["losses"]] == ["transient"] * len(lost)


def test_a_server_says_at_its_end_which_requests_have_fewer_answers_than_before(
    tmp_path: Path,
) -> None:
    settings = {"MODE": "record", "STORE": "store"}
    with Upstream(lambda _: Answer(200, JSON, [b"{}"], "length")) as upstream:
        for times in (3, 1):
            proxy = Proxy(tmp_path, **settings, UPSTREAM_BASE_URL=upstream.base_url).start()
            with RawClient(proxy.base_url) as client:
                for _ in range(times):
                    client.request("GET", "/v1/batches/batch_1")
            log = proxy.stop()
            told = "GET /v1/batches/batch_1: 1 of 3 answers; the older take stays hidden" in log
            assert told == (times == 1)
