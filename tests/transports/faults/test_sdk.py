"""Each fault as a user of the real OpenAI SDK meets it, over real sockets.

What the table in docs/faults.md says of the SDK is checked here, row by row.
"""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from replay_proxy.transports.faults import FAULTS
from tests import fault_table
from tests.demo import CASSETTE
from tests.support.clients import PARIS
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import NoAnswerError, RawAnswer, RawClient
from tests.support.requests import CHAT, chat_body, post
from tests.support.script import Answer, Received, Step, Wait
from tests.support.servers import Proxy
from tests.support.tape import stored
from tests.support.upstream import Upstream

SAID = "한국의 수도는?"
BODY = chat_body(SAID, stream=True)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


@pytest.fixture(scope="module")
def dummy(nursery: Nursery) -> Iterator[Child]:
    proxy = nursery.start(MODE="dummy")
    yield proxy
    proxy.kill()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own back-off, 50 times as fast: it sleeps in the thread that asks."""
    sleep, asking = time.sleep, threading.current_thread()

    def nap(seconds: float) -> None:
        sleep(seconds / 50 if threading.current_thread() is asking else seconds)

    monkeypatch.setattr(time, "sleep", nap)


@dataclass(frozen=True)
class Seen:
    """What a user of the SDK has in the end."""

    error: str
    requests: int
    text: str


def ask(
    base_url: str, fault: str | None = None, *, stream: bool = True, said: str = SAID, **given: Any
) -> Seen:
    requests = 0

    def count(_: object) -> None:
        nonlocal requests
        requests += 1

    text, error = "", ""
    options: dict[str, Any] = {"max_retries": 2, "timeout": 10.0} | given
    with (
        # Without certificates, whose reading takes longer than all the rest.
        openai.DefaultHttpxClient(
            event_hooks={"request": [count]}, trust_env=False, verify=False
        ) as http,
        OpenAI(base_url=base_url, api_key="k", http_client=http, **options) as client,
    ):
        try:
            answer: Any = client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": said}],
                stream=stream,
                extra_headers={} if fault is None else {"x-replay-fault": fault},
            )
            if stream:
                for chunk in answer:
                    text += chunk.choices[0].delta.content or ""
            else:
                text = answer.choices[0].message.content
        except (openai.OpenAIError, ValueError) as raised:
            error = type(raised).__name__
    return Seen(error, requests, text)


def phrase(seen: Seen, whole: str) -> str:
    """How the table says it."""
    after = f"after {seen.requests} request{'s' if seen.requests > 1 else ''}"
    if seen.error:
        partly = seen.text and whole.startswith(seen.text) and seen.text != whole
        return f"`{seen.error}` {after}" + (", with the text until then" if partly else "")
    which = {whole: "the whole text", "": "no text"}.get(seen.text, "a wrong text")
    return f"{which} {after}"


#: How each fault is called here where its defaults would take longer, or show less.
CALLED = {
    "status": "status(500)",
    "rate_limit": "rate_limit(retry_after=0.02)",
    "cut": "cut(after_chunks=3)",
    "reset_midway": "reset_midway(after_chunks=3)",
    "stall": "stall(seconds=0.05)",
    "hang": "hang(after_chunks=3)",
    "slow_start": "slow_start(seconds=0.05)",
    "drip": "drip(size=500)",
    "error_event": "error_event(after_events=3)",
    "malformed": "malformed(after_events=3)",
    "duplicate": "duplicate(after_events=3)",
    "reorder": "reorder(after_events=3)",
}
#: The same without streaming, where one piece of two, rather than three, is before the fault.
PLAIN = {"cut": "cut", "reset_midway": "reset_midway", "hang": "hang"}
IMPATIENT: dict[str, Any] = {"hang": {"timeout": 0.5}}


@pytest.mark.parametrize("name", FAULTS)
def test_the_table_says_what_a_user_of_the_sdk_sees_of_a_stream(name: str, dummy: Child) -> None:
    whole = ask(dummy.base_url).text
    seen = ask(dummy.base_url, CALLED.get(name, name), **IMPATIENT.get(name, {}))
    told = fault_table.what_the_sdk_shows(FAULTS[name])
    assert told.startswith(phrase(seen, whole)), seen


@pytest.mark.parametrize("name", FAULTS)
def test_the_table_says_where_it_differs_without_streaming(name: str, dummy: Child) -> None:
    whole = ask(dummy.base_url).text
    called = PLAIN.get(name) or CALLED.get(name, name)
    streamed = ask(dummy.base_url, CALLED.get(name, name), **IMPATIENT.get(name, {}))
    seen = ask(dummy.base_url, called, stream=False, **IMPATIENT.get(name, {}))
    says = fault_table.what_the_sdk_shows(FAULTS[name]).partition("; ")[2]
    if name in ("error_event", "duplicate", "reorder"):
        assert seen == Seen("", 1, whole), "these are for event streams only"
    elif (seen.error, seen.requests) != (streamed.error, streamed.requests):
        shown = f"`{seen.error}`" if seen.error != streamed.error else f"{seen.requests} requests"
        assert says == f"{shown} if it does not stream."
    else:
        assert "if it does not stream" not in says


def test_the_page_has_the_table() -> None:
    page = fault_table.PAGE.read_text("utf-8")
    assert page == fault_table.page(page), "run python -m tests.fault_table"


# --- on the wire --------------------------------------------------------------------------------


def raw(proxy: Child | Proxy, fault: str, body: bytes = BODY) -> RawAnswer:
    with RawClient(proxy.base_url) as client:
        headers = [(b"x-replay-fault", fault.encode())]
        return client.request("POST", CHAT, headers, body)


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def served(request: pytest.FixtureRequest, dummy: Child, tmp_path_factory: Any) -> Iterator[Any]:
    """A proxy on either event loop, and with it on either of uvicorn's HTTP protocols."""
    if request.param == "uvloop":
        yield dummy
        return
    arguments = ("--loop", "asyncio", "--http", "h11")
    with Proxy(tmp_path_factory.mktemp("h11"), *arguments, MODE="dummy") as proxy:
        yield proxy


def test_before_an_answer_a_connection_is_closed_or_reset(served: Child | Proxy) -> None:
    with pytest.raises(NoAnswerError, match="BodyCutError"):
        raw(served, "refuse")
    with pytest.raises(NoAnswerError, match="ConnectionResetError"):
        raw(served, "reset")


def test_in_the_middle_a_connection_is_closed_or_reset_behind_what_was_sent(
    served: Child | Proxy,
) -> None:
    whole = raw(served, "")
    for fault, seen in (("cut", "BodyCutError"), ("reset_midway", "ConnectionResetError")):
        answer = raw(served, f"{fault}(after_chunks=2)")
        assert answer.fault.startswith(seen)
        assert not answer.clean
        assert answer.header(b"x-replay-fault") == fault.encode()
        assert len(answer.chunks) == 2
        # The ids and times of two answers differ, their lengths do not.
        assert len(answer.body) < len(whole.body)
    assert len(raw(served, "cut(after_bytes=100)").body) == 100


def test_a_fault_that_is_none_is_refused_in_openai_s_shape(dummy: Child) -> None:
    answer = raw(dummy, "rate_limt")
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["type"], error["code"]) == (
        400,
        "invalid_request_error",
        "invalid_fault",
    )
    assert "did you mean rate_limit?" in error["message"]
    assert answer.header(b"x-should-retry") == b"false"


# --- the same again -----------------------------------------------------------------------------

SCRIPT = """
path=/v1/embeddings server_error    # none of these
first=1 rate_limit(retry_after=0.01)
nth=4,5 cut(after_chunks=3)
every=3 overloaded
model=m share=0.3 unauthorized
"""


def test_the_same_script_gives_the_same_outcomes(nursery: Nursery, tmp_path: Path) -> None:
    file = tmp_path / "faults.txt"
    file.write_text(SCRIPT)

    def outcomes(proxy: Child) -> list[Seen]:
        return [ask(proxy.base_url, said=f"{number % 4}", max_retries=0) for number in range(20)]

    runs = []
    for seed in ("1", "1", "2"):
        proxy = nursery.start(MODE="dummy", FAULTS=f"@{file}", FAULT_SEED=seed)
        runs.append(outcomes(proxy))
        with RawClient(proxy.base_url) as client:
            assert client.request("POST", "/_replay/api/rewind").status == 200
        assert outcomes(proxy) == runs[-1], "after a rewind"
        proxy.kill()
    first, again, other = runs
    assert first == again
    assert first != other
    errors = [seen.error for seen in first]
    assert errors[0] == "RateLimitError"
    assert errors[3:5] == ["APIConnectionError"] * 2
    assert [errors[number - 1] for number in (3, 6, 9, 12)] == ["InternalServerError"] * 4
    assert "" in errors
    assert "AuthenticationError" in errors


def test_a_client_that_waits_as_told_is_served(dummy: Child) -> None:
    seen = ask(dummy.base_url, "first=2 rate_limit(retry_after=0.02)", said="wait for me")
    assert seen == Seen("", 3, ask(dummy.base_url, said="wait for me").text)


def test_a_retry_behind_a_refusal_gets_the_first_recorded_answer(nursery: Nursery) -> None:
    proxy = nursery.start(
        MODE="replay",
        STORE=str(CASSETTE.parent),
        CASSETTE=CASSETTE.stem,
        REPEATS="fail",
        FAULTS="path=/v1/chat/* first=1 overloaded",
    )
    body = chat_body(PARIS, model="gpt-5")
    with RawClient(proxy.base_url) as client:
        refused, answer = (client.request("POST", CHAT, body=body) for _ in range(2))
    proxy.kill()
    assert (refused.status, refused.header(b"x-replay-source")) == (503, b"fault")
    assert (answer.status, answer.header(b"x-replay-source")) == (200, b"cassette")
    assert b"Paris." in answer.body


# --- what is recorded ---------------------------------------------------------------------------


def test_faults_never_reach_the_upstream_or_the_cassette(nursery: Nursery, tmp_path: Path) -> None:
    """Also where the answer goes on for longer than ``DRAIN_S`` behind the cut."""
    steps: list[Step] = [b"data: 1\n\n", Wait(0.3), b"data: 2\n\n", b"data: [DONE]\n\n"]
    asked: list[Received] = []

    def api(request: Received) -> Answer:
        asked.append(request)
        return Answer(steps=steps)

    store = str(tmp_path / "store")
    with Upstream(api) as upstream:
        proxy = nursery.start(
            MODE="record",
            STORE=store,
            UPSTREAM_BASE_URL=upstream.base_url,
            DRAIN_S="0",
        )
        refused = raw(proxy, "server_error", b"{}")
        answer = raw(proxy, "cut", b"{}")
        (request,) = upstream.wait_for(1)
        assert request.finished.wait(5.0)
        assert upstream.requests == [request]
        assert request.header(b"x-replay-fault") is None
        # One more whole answer, so that the first one is sure to be stored when it has come.
        whole = raw(proxy, "", b'{"second": 1}')
        proxy.kill()
    assert (refused.status, refused.header(b"x-replay-source")) == (500, b"fault")
    assert answer.body == b"data: 1\n\n"
    assert whole.clean
    kept = stored(Path(store), post(b"{}"))
    assert kept is not None
    assert kept.body == b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n"
    assert b"x-replay-fault" not in dict(kept.headers)


def test_a_miss_stays_a_miss(nursery: Nursery, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    proxy = nursery.start(MODE="replay", STORE=str(tmp_path / "store"))
    answer = raw(proxy, "empty")
    proxy.kill()
    assert (answer.status, answer.header(b"x-replay-source")) == (404, b"refused")
    assert answer.header(b"x-replay-fault") is None
    assert json.loads(answer.body)["error"]["code"] == "no_cassette"
