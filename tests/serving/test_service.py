"""The proxy as its users meet it: real processes, real sockets, one promise a test."""

import json
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.nursery import Child, Nursery
from tests.support.rawclient import NoAnswerError, RawAnswer, RawClient
from tests.support.requests import CHAT, chat_body, head, post
from tests.support.script import JSON, Answer, Cut, Gate, Hangup, Raw, Received, Step, Wait
from tests.support.tape import stored
from tests.support.upstream import Upstream

DONE = b"data: [DONE]\n\n"
#: A busy machine may be late; never early.
LATE_S = 0.5


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def ask(proxy: Child, body: bytes = b"{}", *, method: str = "POST", path: str = CHAT) -> RawAnswer:
    with RawClient(proxy.base_url) as client:
        return client.request(method, path, body=body)


def error_of(answer: RawAnswer) -> dict[str, object]:
    error = json.loads(answer.body)["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    return dict(error)


def recorded(
    nursery: Nursery, store: Path, answer: Answer, body: bytes = b"{}", **settings: str
) -> RawAnswer:
    """What a client of a recording proxy sees of this answer."""
    with Upstream(lambda _: answer) as upstream:
        proxy = nursery.start(
            MODE="record", STORE=str(store), UPSTREAM_BASE_URL=upstream.base_url, **settings
        )
        try:
            return ask(proxy, body)
        finally:
            proxy.kill()


# --- time -----------------------------------------------------------------------------------


def test_recorded_time_passes_again_at_any_speed(nursery: Nursery, store: Path) -> None:
    slow = Answer(steps=[Wait(0.3), b"data: 1\n\n", Wait(0.1), b"data: 2\n\n", Wait(0.2), DONE])
    recorded(nursery, store, slow)
    kept = stored(store, post(b"{}"))
    assert kept is not None
    assert min(kept.timeline.offsets_us) >= 290_000
    for speed, factor in (("1", 1.0), ("2", 0.5), ("0.5", 2.0), ("0", 0.0)):
        proxy = nursery.start(MODE="replay", STORE=str(store), REPLAY_SPEED=speed)
        seen = ask(proxy)
        proxy.kill()
        assert seen.chunks == [b"data: 1\n\n", b"data: 2\n\n", DONE]
        for offset, recorded_us in zip(seen.offsets, kept.timeline.offsets_us, strict=True):
            planned = recorded_us / 1e6 * factor
            assert planned - 0.01 < offset < planned + LATE_S, speed


def test_the_wait_for_an_answer_that_does_not_stream_is_replayed(
    nursery: Nursery, store: Path
) -> None:
    late = Answer(headers=JSON, steps=[Wait(0.4), b"{}"], framing="length")
    recorded(nursery, store, late)
    proxy = nursery.start(MODE="replay", STORE=str(store), REPLAY_SPEED="1")
    (offset,) = ask(proxy).offsets
    kept = stored(store, post(b"{}"))
    assert kept is not None
    planned = kept.timeline.offsets_us[0] / 1e6
    assert planned > 0.39
    assert planned - 0.01 < offset < planned + LATE_S
    proxy.kill()


def test_chunks_reach_the_client_when_they_arrive(nursery: Nursery, store: Path) -> None:
    gate = threading.Event()
    steps: list[Step] = [b"data: 1\n\n", Gate(gate), b"data: 2\n\n", DONE]
    with Upstream(lambda _: Answer(steps=steps)) as upstream:
        proxy = nursery.start(MODE="record", STORE=str(store), UPSTREAM_BASE_URL=upstream.base_url)
        with RawClient(proxy.base_url) as client:
            coming = client.send("POST", CHAT, body=b"{}")
            assert next(coming) == b"data: 1\n\n", "before upstream has sent the second one"
            gate.set()
            assert coming.read().chunks == [b"data: 1\n\n", b"data: 2\n\n", DONE]
        proxy.kill()


def test_an_http_chunk_that_comes_in_pieces_is_one_chunk_when_replayed(
    nursery: Nursery, store: Path
) -> None:
    pieces: list[Step] = [Raw(b"9\r\ndata"), Wait(0.05), Raw(b": 1"), Wait(0.05), Raw(b"\n\n\r\n")]
    seen = recorded(nursery, store, Answer(steps=[*pieces, DONE]))
    assert seen.body == b"data: 1\n\n" + DONE
    kept = stored(store, post(b"{}"))
    assert kept is not None
    assert kept.timeline.ends == (9, 9 + len(DONE))
    assert kept.timeline.offsets_us[0] > 95_000, "a chunk is timed by its last byte"
    proxy = nursery.start(MODE="replay", STORE=str(store))
    assert ask(proxy).chunks == [b"data: 1\n\n", DONE]
    proxy.kill()


# --- misses and fallbacks -------------------------------------------------------------------


def test_a_miss_is_a_404_that_is_not_retried_and_says_what_there_is(
    nursery: Nursery, store: Path
) -> None:
    recorded(nursery, store, Answer(headers=JSON, steps=[b"1"]), b'{"a": 1}')
    proxy = nursery.start(MODE="replay", STORE=str(store))
    seen = ask(proxy, b'{"a": 2}')
    proxy.kill()
    error = error_of(seen)
    assert (seen.status, seen.header(b"x-should-retry")) == (404, b"false")
    assert seen.header(b"x-replay-source") == b"refused"
    assert (error["type"], error["code"], error["cassette"]) == (
        "cassette_miss",
        "no_match",
        "default",
    )
    assert error["counts"] == {"interactions_total": 1, "fingerprints_total": 1, "answers_total": 0}
    assert str(error["fingerprint"]).encode() == seen.header(b"x-replay-fingerprint")


def test_a_miss_on_no_cassette_says_so(nursery: Nursery, store: Path) -> None:
    store.mkdir()
    proxy = nursery.start(MODE="replay", STORE=str(store))
    assert error_of(ask(proxy))["code"] == "no_cassette"
    proxy.kill()


def test_on_miss_dummy_answers_synthetically_and_says_so(nursery: Nursery, store: Path) -> None:
    recorded(nursery, store, Answer(headers=JSON, steps=[b"recorded"]), b'{"known": 1}')
    proxy = nursery.start(MODE="replay", STORE=str(store), ON_MISS="dummy")
    known = ask(proxy, b'{"known": 1}')
    made_up = ask(proxy, chat_body("안녕"))
    unknown = ask(proxy, path="/v1/images/generations")
    proxy.kill()
    assert (known.body, known.header(b"x-replay-source")) == (b"recorded", b"cassette")
    assert made_up.header(b"x-replay-source") == b"dummy"
    text = json.loads(made_up.body)["choices"][0]["message"]["content"]
    assert text == "안녕의 응답 내용"
    assert (made_up.header(b"x-request-id") or b"").startswith(b"req_")
    assert unknown.status == 404
    assert "POST /v1/chat/completions" in str(error_of(unknown)["message"])


def test_on_miss_record_asks_once_and_keeps_the_answer(nursery: Nursery, store: Path) -> None:
    with Upstream(lambda _: Answer(headers=JSON, steps=[b"fresh"])) as upstream:
        proxy = nursery.start(
            MODE="replay",
            ON_MISS="record",
            STORE=str(store),
            UPSTREAM_BASE_URL=upstream.base_url,
        )
        answers = [ask(proxy) for _ in range(3)]
        assert len(upstream.requests) == 1
        proxy.kill()
    assert [answer.body for answer in answers] == [b"fresh"] * 3
    sources = [answer.header(b"x-replay-source") for answer in answers]
    assert sources == [b"upstream", b"cassette", b"cassette"]


# --- what upstream does ---------------------------------------------------------------------


def test_an_unreachable_upstream_is_a_502_and_not_stored(nursery: Nursery, store: Path) -> None:
    proxy = nursery.start(
        MODE="record", STORE=str(store), UPSTREAM_BASE_URL="http://127.0.0.1:9/v1"
    )
    seen = ask(proxy)
    proxy.kill()
    assert (seen.status, error_of(seen)["code"]) == (502, "upstream_unreachable")
    assert "http://127.0.0.1:9" in str(error_of(seen)["message"])
    assert stored(store, post(b"{}")) is None


def test_a_silent_upstream_is_a_504_and_not_stored(nursery: Nursery, store: Path) -> None:
    never = threading.Event()
    silent = Answer(head=False, steps=[Gate(never)])
    seen = recorded(nursery, store, silent, UPSTREAM_TIMEOUT_S="0.2")
    assert (seen.status, error_of(seen)["code"]) == (504, "upstream_timeout")
    assert stored(store, post(b"{}")) is None


@pytest.mark.parametrize("end", [Cut(), Hangup()], ids=["reset", "closed"])
def test_an_upstream_that_closes_before_answering_is_a_502(
    end: Cut | Hangup, nursery: Nursery, store: Path
) -> None:
    seen = recorded(nursery, store, Answer(head=False, steps=[end]))
    assert (seen.status, error_of(seen)["type"]) == (502, "upstream_error")


def test_a_body_shorter_than_its_length_never_ends_cleanly(nursery: Nursery, store: Path) -> None:
    short = Answer(headers=(*JSON, (b"content-length", b"100")), framing="eof", steps=[b'{"half":'])
    try:
        seen = recorded(nursery, store, short)
    except NoAnswerError:
        pass
    else:
        assert seen.status == 502 or not seen.clean
    assert stored(store, post(b"{}")) is None


def test_errors_of_the_api_pass_through_with_their_headers(nursery: Nursery, store: Path) -> None:
    headers = (*JSON, (b"retry-after", b"7"), (b"x-request-id", b"req_1"), (b"x-two", b"a"))
    limited = Answer(429, (*headers, (b"x-two", b"b")), [b'{"error": {}}'], "length")
    seen = recorded(nursery, store, limited, RECORD_ERRORS="all")
    assert seen.status == 429
    assert seen.header(b"retry-after") == b"7"
    assert [value for name, value in seen.headers if name == b"x-two"] == [b"a", b"b"]

    for speed, wait, told in (("0", b"0", b"7"), ("100", b"1", b"7"), ("1", b"7", None)):
        proxy = nursery.start(MODE="replay", STORE=str(store), REPLAY_SPEED=speed)
        again = ask(proxy)
        proxy.kill()
        assert again.status == 429
        assert again.header(b"retry-after") == wait, "or CI would sleep"
        assert again.header(b"x-replay-retry-after") == told


def test_redirects_are_passed_on_and_not_followed(nursery: Nursery, store: Path) -> None:
    moved = Answer(307, ((b"location", b"http://127.0.0.1:9/elsewhere"),), [], "length")
    seen = recorded(nursery, store, moved)
    assert (seen.status, seen.header(b"location")) == (307, b"http://127.0.0.1:9/elsewhere")


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_are_stored_before_they_are_seen(
    status: int, nursery: Nursery, store: Path
) -> None:
    headers = ((b"x-a", b"1"), (b"content-length", b"5"))
    with Upstream(lambda _: Answer(status, headers)) as upstream:
        proxy = nursery.start(MODE="record", STORE=str(store), UPSTREAM_BASE_URL=upstream.base_url)
        with RawClient(proxy.base_url) as client:  # twice on one connection: no stray bytes
            for _ in range(2):
                assert client.request("DELETE", "/v1/files/f").status == status
        proxy.kill()
    proxy = nursery.start(MODE="replay", STORE=str(store))
    again = ask(proxy, b"", method="DELETE", path="/v1/files/f")
    proxy.kill()
    assert (again.status, again.body, again.header(b"x-a")) == (status, b"", b"1")


def test_an_encoded_answer_replays_as_it_came(nursery: Nursery, store: Path) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    last = packer.compress(DONE) + packer.flush(zlib.Z_SYNC_FLUSH)
    never = threading.Event()
    headers = ((b"content-type", b"text/event-stream"), (b"content-encoding", b"gzip"))
    with Upstream(lambda _: Answer(200, headers, [first, last, Gate(never)])) as upstream:
        proxy = nursery.start(MODE="record", STORE=str(store), UPSTREAM_BASE_URL=upstream.base_url)
        with RawClient(proxy.base_url) as client:
            client.request("POST", CHAT, body=b"{}", leave_after=last)
        proxy.kill()
        assert upstream.requests[0].header(b"accept-encoding") == b"identity"
    proxy = nursery.start(MODE="replay", STORE=str(store))
    again = ask(proxy)
    proxy.kill()
    assert again.chunks == [first, last], "its end was seen inside the encoding, and committed"
    assert again.header(b"content-encoding") == b"gzip"


def test_what_belongs_to_a_connection_is_dropped_both_ways(nursery: Nursery, store: Path) -> None:
    headers = (*JSON, (b"connection", b"x-hop"), (b"x-hop", b"1"), (b"keep-alive", b"timeout=5"))
    with Upstream(lambda _: Answer(200, headers, [b"1"], "length")) as upstream:
        proxy = nursery.start(MODE="record", STORE=str(store), UPSTREAM_BASE_URL=upstream.base_url)
        with RawClient(proxy.base_url) as client:
            asked = ((b"connection", b"x-mine"), (b"x-mine", b"1"), (b"te", b"trailers"))
            seen = client.request("POST", CHAT, asked, b"{}")
        proxy.kill()
        received = {name for name, _ in upstream.requests[0].headers}
    assert not {b"x-mine", b"te", b"connection"} & received
    assert not {b"x-hop", b"keep-alive"} & {name for name, _ in seen.headers}


# --- keys and paths -------------------------------------------------------------------------


def test_no_key_cookie_or_account_is_written(nursery: Nursery, store: Path) -> None:
    secrets = {
        b"authorization": b"Bearer sk-client-1234",
        b"api-key": b"azure-1234",
        b"cookie": b"session=cookie-1234",
        b"openai-organization": b"org-1234",
        b"openai-project": b"proj-1234",
        b"x-api-key": b"other-1234",
    }
    answered = (
        *JSON,
        (b"set-cookie", b"_cfuvid=cookie-1234"),
        (b"openai-organization", b"org-1234"),
        (b"openai-project", b"proj-1234"),
    )
    with Upstream(lambda _: Answer(200, answered, [b"{}"], "length")) as upstream:
        proxy = nursery.start(MODE="record", STORE=str(store), UPSTREAM_BASE_URL=upstream.base_url)
        with RawClient(proxy.base_url) as client:
            seen = client.request("POST", CHAT, tuple(secrets.items()), b"{}")
        proxy.kill()
        passed = dict(upstream.requests[0].headers)
    assert secrets.items() <= passed.items(), "while recording the client's own pass through"
    assert seen.header(b"set-cookie") == b"_cfuvid=cookie-1234"
    written = b"".join(path.read_bytes() for path in store.iterdir())
    assert b"1234" not in written


def test_the_configured_key_replaces_the_clients(nursery: Nursery, store: Path) -> None:
    with Upstream(lambda _: Answer(headers=JSON, steps=[b"1"])) as upstream:
        proxy = nursery.start(
            MODE="record",
            STORE=str(store),
            UPSTREAM_BASE_URL=upstream.base_url,
            UPSTREAM_API_KEY="sk-real-9999",
        )
        with RawClient(proxy.base_url) as client:
            client.request("POST", CHAT, ((b"authorization", b"Bearer placeholder"),), b"{}")
            client.request("POST", "/openai/deployments/d/x", ((b"api-key", b"p"),), b"{}")
        proxy.kill()
        openai, azure = upstream.requests
    assert openai.header(b"authorization") == b"Bearer sk-real-9999"
    assert (azure.header(b"api-key"), azure.header(b"authorization")) == (b"sk-real-9999", None)
    assert b"9999" not in b"".join(path.read_bytes() for path in store.iterdir())


def test_paths_reach_upstream_as_they_are(nursery: Nursery, store: Path) -> None:
    targets = {
        "/v1/models?after=a%20b&limit=2": "/api/v1/models?after=a%20b&limit=2",
        "/v1/files/a%2Fb/content": "/api/v1/files/a%2Fb/content",
        '/v1/a/./{b}?q="c"': '/api/v1/a/./{b}?q="c"',
        "/openai/deployments/d/chat/completions?api-version=2024-06-01": (
            "/openai/deployments/d/chat/completions?api-version=2024-06-01"
        ),
    }
    with Upstream(lambda _: Answer(headers=JSON, steps=[b"1"])) as upstream:
        base = upstream.base_url.replace("/v1", "/api/v1")
        proxy = nursery.start(MODE="record", STORE=str(store), UPSTREAM_BASE_URL=base)
        for target in targets:
            assert ask(proxy, b"", method="GET", path=target).status == 200
        proxy.kill()
        assert [request.target for request in upstream.requests] == list(targets.values())


def test_other_paths_are_refused_in_openais_shape(nursery: Nursery) -> None:
    proxy = nursery.start(MODE="dummy")
    for method, path in (("GET", "/"), ("POST", "/chat/completions"), ("GET", "/v2/models")):
        seen = ask(proxy, b"", method=method, path=path)
        assert (seen.status, error_of(seen)["code"]) == (404, "unknown_url")
        assert "/v1/" in str(error_of(seen)["message"])
    assert ask(proxy, b"", method="GET", path="/healthz").status == 200
    document = json.loads(ask(proxy, b"", method="GET", path="/openapi.json").body)
    proxy.kill()
    assert {
        "CreateChatCompletionRequest",
        "CreateChatCompletionResponse",
        "CreateChatCompletionStreamResponse",
    } <= set(document["components"]["schemas"])


# --- when the tape fails --------------------------------------------------------------------


def fill_the_disk(store: Path) -> None:
    with closing(sqlite3.connect(store / "default.sqlite")) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON interaction BEGIN "
            "SELECT RAISE(ABORT, 'database or disk is full'); END"
        )


def test_an_answer_that_cannot_be_stored_is_an_error_and_no_answer(
    nursery: Nursery, store: Path
) -> None:
    def script(request: Received) -> Answer:
        if b"stream" in request.body:
            return Answer(steps=[b"data: 1\n\n", DONE])
        return Answer(headers=JSON, steps=[b'{"a": 1}'], framing="length")

    with Upstream(script) as upstream:
        proxy = nursery.start(MODE="record", STORE=str(store), UPSTREAM_BASE_URL=upstream.base_url)
        assert ask(proxy).status == 200
        fill_the_disk(store)
        whole = ask(proxy, b'{"b": 1}')
        streamed = ask(proxy, b'{"stream": true}')
        proxy.kill()
    assert (whole.status, whole.header(b"x-should-retry")) == (500, b"false")
    assert error_of(whole)["code"] == "store_failed"
    assert "disk is full" in str(error_of(whole)["message"])
    assert not streamed.clean
    assert DONE not in streamed.body, "a client that sees [DONE] relies on the tape"


def test_a_cassette_damaged_while_it_is_replayed_is_an_error_and_no_miss(
    nursery: Nursery, store: Path
) -> None:
    recorded(nursery, store, Answer(headers=JSON, steps=[b"the capital is Paris"]))
    proxy = nursery.start(MODE="replay", STORE=str(store))
    path = store / "default.sqlite"
    assert ask(proxy).status == 200
    proxy.kill()
    path.write_bytes(path.read_bytes().replace(b"Paris", b"Rome!"))
    proxy = nursery.start(MODE="replay", STORE=str(store))
    seen = ask(proxy)
    proxy.kill()
    assert (seen.status, error_of(seen)["code"]) == (500, "cassette_damaged")
    assert seen.header(b"x-should-retry") == b"false"


def test_a_client_that_leaves_while_it_uploads_harms_nobody(nursery: Nursery, store: Path) -> None:
    with Upstream(lambda _: Answer(headers=JSON, steps=[b"1"])) as upstream:
        proxy = nursery.start(MODE="record", STORE=str(store), UPSTREAM_BASE_URL=upstream.base_url)
        with RawClient(proxy.base_url, timeout_s=0.2) as client, pytest.raises(NoAnswerError):
            client.send_raw(head("content-length: 9", target="/v1/files") + b"half")
        assert ask(proxy).status == 200
        assert len(upstream.requests) == 1, "half a request is no request"
        proxy.kill()


# --- no network -----------------------------------------------------------------------------

_NO_NETWORK = """
import sys, asyncio
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise SystemExit(f"network: {event} {arguments}")
from replay_proxy.assembly import Assembly
from replay_proxy.settings import Settings
from replay_proxy.wire import Request
sys.addaudithook(refuse)
assembly = Assembly(Settings(mode="replay", on_miss=sys.argv[1], store=sys.argv[2]))
for path in ("/v1/chat/completions", "/v1/anything"):
    try:
        asyncio.run(assembly.transport().handle(Request("POST", path, "", (), b"{}")))
    except Exception as error:
        print(error)
asyncio.run(assembly.aclose())
clients = {"httpx", "aiohttp", "replay_proxy.transports.upstream"}
assert not clients & set(sys.modules), "an HTTP client"
"""


@pytest.mark.parametrize("on_miss", ["fail", "dummy"])
def test_strict_replay_cannot_reach_the_network(on_miss: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NO_NETWORK, on_miss, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
