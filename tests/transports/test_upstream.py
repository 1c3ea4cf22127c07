"""What is asked of the real API, and how its answers, and its failures, come back.

What a request looks like is asked of respx; how bytes come in, of real sockets.
"""

import asyncio
import errno
import gzip
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import httpx
import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st

from replay_proxy.errors import UpstreamCut, UpstreamError, UpstreamTooSlow, UpstreamUnreachable
from replay_proxy.timeline import MonotonicClock
from replay_proxy.transports.upstream import Upstream
from replay_proxy.transports.upstream.answer_reader import HEAD_BYTES
from replay_proxy.transports.upstream.chunk_transport import LARGE_BYTES
from replay_proxy.wire import ChunkRest, Headers, Request, Response, header
from tests.support.script import (
    JSON,
    Answer,
    Cut,
    Gate,
    Hangup,
    Head,
    Raw,
    Received,
    Step,
    Wait,
)
from tests.support.upstream import Upstream as ScriptedUpstream

T = TypeVar("T")
PATIENCE_S = 5.0
KEY = "sk-of-the-proxy"


@pytest.fixture(autouse=True)
def _no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def request(
    method: str = "GET",
    path: str = "/v1/models",
    query: str = "",
    headers: Headers = (),
    body: bytes = b"",
) -> Request:
    return Request(method, path, query, headers, body)


async def read(
    response: Response, seen: Callable[[bytes], object] = lambda chunk: None
) -> list[bytes]:
    """The chunks of an answer, each of them shown to ``seen`` as it comes."""
    assert not isinstance(response.body, bytes)
    chunks = []
    async with aclosing(response.body):
        async for chunk in response.body:
            chunks.append(chunk)
            seen(chunk)
    return chunks


def run(scenario: Callable[[Upstream], Awaitable[T]], upstream: Callable[[], Upstream]) -> T:
    """What comes of a scenario with an upstream that is closed behind it."""

    async def main() -> T:
        it = upstream()
        try:
            async with asyncio.timeout(PATIENCE_S * 4):
                return await scenario(it)
        finally:
            await it.aclose()

    return asyncio.run(main())


# --- what is asked ------------------------------------------------------------------------------


class Mocked:
    """An upstream without a network: what it is asked, and what it answers."""

    def __init__(
        self,
        answer: httpx.Response | Exception | None = None,
        base_url: str = "https://api.openai.com/v1",
    ) -> None:
        self.router = respx.MockRouter(assert_all_called=False)
        self.route = self.router.route()
        answer = answer or httpx.Response(200, content=b"{}")
        if isinstance(answer, httpx.Response):
            self.route.return_value = answer
        else:
            self.route.side_effect = answer
        self.base_url = base_url

    def ask(self, asked: Request, api_key: str | None = None) -> Response:
        """The answer to one request, its body read."""

        async def scenario(upstream: Upstream) -> Response:
            response = await upstream.handle(asked)
            body = b"".join(await read(response))
            return Response(response.status, response.headers, body)

        return run(
            scenario,
            lambda: Upstream(
                self.base_url,
                clock=MonotonicClock(),
                api_key=api_key,
                transport=httpx.MockTransport(self.router.async_handler),
            ),
        )

    @property
    def asked(self) -> httpx.Request:
        """The last request."""
        last: httpx.Request = self.route.calls.last.request
        return last


def passed_on(headers: Headers, *, api_key: str | None = None, body: bytes = b"{}") -> Headers:
    """The headers that reach the API, but for the connection's own."""
    mocked = Mocked()
    mocked.ask(request("POST", "/v1/responses", headers=headers, body=body), api_key)
    own = (b"host", b"content-length")
    raw = mocked.asked.headers.raw
    return tuple((name.lower(), value) for name, value in raw if name.lower() not in own)


IDENTITY = (b"accept-encoding", b"identity")


@pytest.mark.parametrize(
    ("base_url", "path", "url"),
    [
        ("https://api.openai.com/v1", "/v1/models", "https://api.openai.com/v1/models"),
        ("https://api.openai.com/v1/", "/v1/models", "https://api.openai.com/v1/models"),
        ("https://openrouter.ai/api/v1", "/v1/models", "https://openrouter.ai/api/v1/models"),
        ("https://api.groq.com/openai/v1", "/v1/models", "https://api.groq.com/openai/v1/models"),
        ("http://127.0.0.1:11434", "/v1/models", "http://127.0.0.1:11434/models"),
        ("http://[::1]:80/v1", "/v1/models", "http://[::1]/v1/models"),
        ("https://h.example:8443/a/b", "/v1/files/x/y", "https://h.example:8443/a/b/files/x/y"),
        ("https://h.example/v1", "/v1/", "https://h.example/v1/"),
        ("https://h.example/v1", "/v1/v1/models", "https://h.example/v1/v1/models"),
    ],
)
def test_v1_continues_the_base_url(base_url: str, path: str, url: str) -> None:
    mocked = Mocked(base_url=base_url)
    mocked.ask(request(path=path))
    assert str(mocked.asked.url) == url


@pytest.mark.parametrize(
    "base_url",
    [
        "https://me.openai.azure.com",
        "https://me.openai.azure.com/openai/v1",
        "https://me.openai.azure.com/v1",
    ],
)
def test_any_other_path_stands_verbatim_behind_the_host(base_url: str) -> None:
    mocked = Mocked(base_url=base_url)
    path = "/openai/deployments/gpt-4o/chat/completions"
    mocked.ask(request("POST", path, "api-version=2024-10-21"))
    assert str(mocked.asked.url) == f"https://me.openai.azure.com{path}?api-version=2024-10-21"


@pytest.mark.parametrize(
    "target",
    [
        "/v1/models/org%2Fname",
        "/v1/models/%e2%82%ac%2e%2E",
        "/v1/models/ft:gpt-4o:me::id",
        "/v1/a;b=c,@!$'()*~+&=",
        "/v1/a//b/",
        "/v1/%zz",
        "/v1/files?after=a%2Bb+c%20d&after=%26",
        "/v1/files?include[]=x&include%5B%5D=y&z='|{}",
        "/v1/files?a&b=&&=c&a==",
        "/v1/files?url=https://h/?x=/../y",
        "/openai/deployments/d%2F1/x?api-version=1",
    ],
)
@pytest.mark.parametrize("base_url", ["https://h/v1", "https://h/api/v1"])
def test_path_and_query_are_sent_as_they_came(target: str, base_url: str) -> None:
    mocked = Mocked(base_url=base_url)
    path, _, query = target.partition("?")
    mocked.ask(request(path=path, query=query))
    prefix = "/api" if base_url.endswith("/api/v1") and target.startswith("/v1") else ""
    assert mocked.asked.url.raw_path.decode() == prefix + target


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("body", [b"", b'{ "a": 1 }\n', bytes(range(256))])
def test_method_and_body_are_sent_as_they_came(method: str, body: bytes) -> None:
    mocked = Mocked()
    mocked.ask(request(method, body=body))
    assert (mocked.asked.method, mocked.asked.content) == (method, body)
    assert mocked.asked.headers.get("content-length", "0") == str(len(body))


# --- headers ------------------------------------------------------------------------------------


def test_headers_are_sent_in_their_order_with_repeats() -> None:
    headers = (
        (b"user-agent", b"OpenAI/Python"),
        (b"x-b", b"2"),
        (b"x-a", b"\xe9"),
        (b"x-b", b"1"),
        (b"content-type", b"application/json"),
        (b"cookie", b"a=b"),
    )
    assert passed_on(headers) == (*headers, IDENTITY)


@pytest.mark.parametrize(
    "credentials",
    [
        ((b"authorization", b"Bearer sk-of-the-client"),),
        ((b"api-key", b"of-the-client"),),
        ((b"authorization", b"Bearer token"), (b"api-key", b"of-the-client")),
        (),
    ],
)
def test_without_a_key_the_clients_own_credentials_are_sent(credentials: Headers) -> None:
    assert passed_on(credentials) == (*credentials, IDENTITY)


@pytest.mark.parametrize(
    ("credentials", "sent"),
    [
        ([], (b"authorization", b"Bearer sk-of-the-proxy")),
        (
            [(b"authorization", b"Bearer of-the-client")],
            (b"authorization", b"Bearer sk-of-the-proxy"),
        ),
        ([(b"api-key", b"of-the-client")], (b"api-key", b"sk-of-the-proxy")),
        (
            [(b"api-key", b"of-the-client"), (b"authorization", b"of-the-client")],
            (b"api-key", b"sk-of-the-proxy"),
        ),
        ([(b"authorization", b"of-the-client")] * 2, (b"authorization", b"Bearer sk-of-the-proxy")),
        ([(b"x-api-key", b"of-the-client")], (b"x-api-key", b"sk-of-the-proxy")),
        ([(b"x-goog-api-key", b"of-the-client")], (b"x-goog-api-key", b"sk-of-the-proxy")),
        (
            [(b"authorization", b"of-the-client"), (b"x-api-key", b"of-the-client")],
            (b"x-api-key", b"sk-of-the-proxy"),
        ),
    ],
)
def test_the_key_takes_the_place_of_what_the_client_sent(
    credentials: list[tuple[bytes, bytes]], sent: tuple[bytes, bytes]
) -> None:
    headers = passed_on(((b"x-a", b"1"), *credentials, (b"x-b", b"2")), api_key=KEY)
    assert sorted(headers) == sorted([(b"x-a", b"1"), (b"x-b", b"2"), sent, IDENTITY])
    assert b"of-the-client" not in repr(headers).encode()


@pytest.mark.parametrize(
    ("query", "headers", "sent_query", "sent"),
    [
        ("key=of-the-client&alt=sse", (), "key=sk-of-the-proxy&alt=sse", ()),
        ("alt=sse&api-key=of-the-client", (), "alt=sse&api-key=sk-of-the-proxy", ()),
        (
            "key=of-the-client",
            ((b"x-goog-api-key", b"of-the-client"),),
            "key=sk-of-the-proxy",
            ((b"x-goog-api-key", b"sk-of-the-proxy"),),
        ),
        ("monkey=1", (), "monkey=1", ((b"authorization", b"Bearer sk-of-the-proxy"),)),
    ],
)
def test_the_key_takes_the_place_of_one_in_the_query(
    query: str, headers: Headers, sent_query: str, sent: Headers
) -> None:
    mocked = Mocked()
    mocked.ask(replace(request("POST", "/v1/x", headers=headers), query=query), KEY)
    assert mocked.asked.url.query.decode() == sent_query
    credentials = {"authorization", "api-key", "x-api-key", "x-goog-api-key"}
    told = [pair for pair in mocked.asked.headers.items() if pair[0] in credentials]
    assert told == [(name.decode(), value.decode()) for name, value in sent]


@pytest.mark.parametrize("accepted", [b"gzip, deflate, br, zstd", b"identity", b"*"])
def test_an_answer_is_asked_for_without_encoding(accepted: bytes) -> None:
    assert passed_on(((b"accept-encoding", accepted),)) == (IDENTITY,)


@pytest.mark.parametrize(
    "name",
    [
        b"connection",
        b"keep-alive",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
        b"x-replay-cassette",
        b"x-replay-anything",
    ],
)
def test_what_is_meant_for_the_proxy_or_its_connection_is_not_sent(name: bytes) -> None:
    assert passed_on(((name, b"x"), (b"x-a", b"1"))) == ((b"x-a", b"1"), IDENTITY)


def test_what_connection_names_is_not_sent() -> None:
    headers = ((b"connection", b"close, x-hop"), (b"x-hop", b"1"), (b"x-end", b"2"))
    assert passed_on(headers) == ((b"x-end", b"2"), IDENTITY)


def test_host_and_length_are_those_of_the_outgoing_request() -> None:
    mocked = Mocked(base_url="https://h.example:8443/v1")
    headers = ((b"host", b"localhost:7777"), (b"content-length", b"99"))
    mocked.ask(request("POST", headers=headers, body=b"{}"))
    assert mocked.asked.headers.get_list("host") == ["h.example:8443"]
    assert mocked.asked.headers.get_list("content-length") == ["2"]


# --- answers ------------------------------------------------------------------------------------


def test_an_answer_has_its_status_end_to_end_headers_and_bytes() -> None:
    raw = [
        (b"Content-Type", b"application/json"),
        (b"Set-Cookie", b"a=1"),
        (b"Connection", b"x-hop"),
        (b"Transfer-Encoding", b"chunked"),
        (b"X-Hop", b"1"),
        (b"Set-Cookie", b"b=2"),
        (b"X-Request-Id", b"req_1"),
    ]
    body = gzip.compress(b"{}", mtime=0)
    raw.append((b"Content-Encoding", b"gzip"))
    answer = httpx.Response(418, headers=raw, stream=httpx.ByteStream(body))
    assert Mocked(answer).ask(request()) == Response(
        418,
        (
            (b"content-type", b"application/json"),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"x-request-id", b"req_1"),
            (b"content-encoding", b"gzip"),
        ),
        body,
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_like_any_other(status: int) -> None:
    location = "https://elsewhere.example/v1/models"
    mocked = Mocked(httpx.Response(status, headers={"location": location}, content=b"moved"))
    answer = mocked.ask(request("POST", body=b"{}"), api_key=KEY)
    assert (answer.status, answer.body) == (status, b"moved")
    assert header(answer.headers, b"location") == location.encode()
    assert mocked.route.call_count == 1


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_an_error_of_the_api_is_an_answer_like_any_other(status: int) -> None:
    answer = Mocked(httpx.Response(status, content=b"{}")).ask(request())
    assert (answer.status, answer.body) == (status, b"{}")


# --- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "ours"),
    [
        (httpx.ConnectError, UpstreamUnreachable),
        (httpx.ReadError, UpstreamUnreachable),
        (httpx.WriteError, UpstreamUnreachable),
        (httpx.CloseError, UpstreamUnreachable),
        (httpx.ProxyError, UpstreamUnreachable),
        (httpx.UnsupportedProtocol, UpstreamUnreachable),
        (httpx.LocalProtocolError, UpstreamUnreachable),
        (httpx.RemoteProtocolError, UpstreamUnreachable),
        (httpx.ConnectTimeout, UpstreamTooSlow),
        (httpx.ReadTimeout, UpstreamTooSlow),
        (httpx.WriteTimeout, UpstreamTooSlow),
        (httpx.PoolTimeout, UpstreamTooSlow),
    ],
)
def test_a_failure_before_the_answer_is_named_with_host_and_remedy(
    failure: type[httpx.TransportError], ours: type[UpstreamError]
) -> None:
    with pytest.raises(UpstreamError) as raised:
        Mocked(failure("the cause of it")).ask(request(), api_key=KEY)
    assert type(raised.value) is ours
    assert "https://api.openai.com" in raised.value.message
    assert "UPSTREAM_" in raised.value.message
    assert KEY not in raised.value.message
    if ours is UpstreamUnreachable:
        assert "the cause of it" in raised.value.message


@pytest.mark.parametrize(
    "failure", [httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.CloseError]
)
def test_a_failure_inside_an_answer_is_a_cut(failure: type[httpx.TransportError]) -> None:
    class Breaking(httpx.AsyncByteStream):
        closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"
            raise failure("the cause of it")

        async def aclose(self) -> None:
            self.closed = True

    stream = Breaking()
    received: list[bytes] = []

    async def scenario(upstream: Upstream) -> None:
        await read(await upstream.handle(request()), received.append)

    router = respx.MockRouter()
    router.route().side_effect = lambda _: httpx.Response(200, stream=stream)
    with pytest.raises(UpstreamCut, match=r"https://api\.openai\.com"):
        run(
            scenario,
            lambda: Upstream(
                "https://api.openai.com/v1",
                clock=MonotonicClock(),
                transport=httpx.MockTransport(router.async_handler),
            ),
        )
    assert received == [b"one", b"two"]
    assert stream.closed


# --- real sockets: requests ---------------------------------------------------------------------


def on_wire(
    answer: Answer | Callable[[Received], Answer],
    scenario: Callable[[Upstream], Awaitable[T]],
    *,
    timeout_s: float = 30.0,
) -> tuple[T, ScriptedUpstream]:
    """What comes of a scenario against a server that gives this answer, and the server."""
    script = answer if callable(answer) else lambda _: answer
    with ScriptedUpstream(script) as server:
        came = run(
            scenario,
            lambda: Upstream(server.base_url, clock=MonotonicClock(), timeout_s=timeout_s),
        )
    return came, server


def asking(*requests: Request) -> Callable[[Upstream], Awaitable[list[list[bytes]]]]:
    """A scenario: the requests one after the other, and the chunks of each answer."""

    async def scenario(upstream: Upstream) -> list[list[bytes]]:
        return [await read(await upstream.handle(each)) for each in requests]

    return scenario


async def received(asked: Received) -> None:
    """Wait until the answer is sent, and read from the socket: each turn of the loop does that."""
    assert await asyncio.to_thread(asked.finished.wait, PATIENCE_S)
    for _ in range(10):
        await asyncio.sleep(0)


def whole(*steps: Step) -> Answer:
    """An answer whose every byte is in its steps, which keeps its connection."""
    return Answer(steps=steps, head=False, framing="length")


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
OK = Answer(steps=[b"{}"], headers=JSON, framing="length")


def test_a_request_reaches_the_wire_with_nothing_added() -> None:
    headers = ((b"x-a", b"1"), (b"x-a", b"2"), (b"content-type", b"text/plain"))
    asked = request("POST", "/v1/a%2Fb", "x=%20+[]&x=1", headers, b"\x00\xffbody")
    _, server = on_wire(OK, asking(asked))
    (received,) = server.requests
    assert (received.method, received.target) == ("POST", "/v1/a%2Fb?x=%20+[]&x=1")
    assert received.body == b"\x00\xffbody"
    got = [(name.lower(), value) for name, value in received.headers]
    assert sorted(got) == sorted(
        [
            *headers,
            IDENTITY,
            (b"host", f"127.0.0.1:{server.port}".encode()),
            (b"content-length", b"6"),
        ]
    )


def test_a_dot_in_a_path_is_the_business_of_the_api() -> None:
    _, server = on_wire(OK, asking(request(path="/openai/./x")))
    assert server.requests[0].target == "/openai/./x"


def test_the_bytes_of_a_header_are_sent_as_they_came() -> None:
    title = "내 앱".encode()
    _, server = on_wire(OK, asking(request(headers=((b"x-title", title),))))
    assert server.requests[0].header(b"x-title") == title


def test_a_header_that_is_no_utf_8_is_sent_as_it_came() -> None:
    _, server = on_wire(OK, asking(request(headers=((b"x-name", b"\xe9"),))))
    assert server.requests[0].header(b"x-name") == b"\xe9"


@pytest.mark.parametrize("end", ["\n", "\r", "\0", "\r\nx-smuggled: 1"])
def test_a_key_that_would_break_its_line_is_not_sent(end: str) -> None:
    with ScriptedUpstream(lambda _: OK) as server:
        with pytest.raises(UpstreamUnreachable) as raised:
            run(
                asking(request("POST", body=b"{}")),
                lambda: Upstream(server.base_url, clock=MonotonicClock(), api_key=KEY + end),
            )
        assert not server.requests
    assert KEY not in raised.value.message


def test_what_a_server_says_before_its_answer_is_not_the_answer() -> None:
    hints = Raw(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        b"HTTP/1.1 199 Miscellaneous\r\ncontent-length: 2\r\n\r\nno"
    )
    steps: list[Step] = [hints, Wait(0.05), Raw(LENGTH_9 + b"all of it")]
    came, server = on_wire(whole(*steps), asking(request(), request()))
    assert came == [[b"all of it"]] * 2
    assert server.connections == 1


@pytest.mark.parametrize(("method", "repeated"), [("GET", True), ("POST", False)])
def test_what_meets_a_connection_that_is_just_closed_is_repeated_if_it_may_be(
    method: str, repeated: bool
) -> None:
    answers = iter([OK, whole(Hangup()), OK])

    async def scenario(upstream: Upstream) -> list[bytes]:
        await read(await upstream.handle(request(method)))
        return await read(await upstream.handle(request(method)))

    with ScriptedUpstream(lambda _: next(answers)) as server:
        ask = partial(run, scenario, lambda: Upstream(server.base_url, clock=MonotonicClock()))
        if repeated:
            assert ask() == [b"{}"]
        else:
            with pytest.raises(UpstreamUnreachable):
                ask()
        assert len(server.requests) == (3 if repeated else 2)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "GET"])
def test_a_request_without_a_body_is_whole(method: str) -> None:
    _, server = on_wire(OK, asking(*[request(method)] * 2))
    assert [received.body for received in server.requests] == [b"", b""]
    assert {received.header(b"content-length") for received in server.requests} <= {None, b"0"}
    assert server.connections == 1


def test_a_large_request_arrives_whole() -> None:
    body = os.urandom(3_000_000)
    _, server = on_wire(OK, asking(request("POST", body=body)))
    assert server.requests[0].body == body


def test_a_cookie_of_one_answer_is_not_sent_with_the_next_request() -> None:
    answer = Answer(steps=[b"{}"], headers=((b"set-cookie", b"a=1; Path=/"),), framing="length")
    _, server = on_wire(answer, asking(request(), request()))
    assert [received.header(b"cookie") for received in server.requests] == [None, None]


def test_a_thousand_requests_in_a_row_take_one_connection() -> None:
    came, server = on_wire(OK, asking(*[request("POST", body=b"{}")] * 1000))
    assert came == [[b"{}"]] * 1000
    assert server.connections == 1


def test_the_time_of_sending_is_before_the_wait_for_the_answer() -> None:
    async def scenario(upstream: Upstream) -> tuple[float, float, float]:
        clock = MonotonicClock()
        begun_s = clock.now_s()
        response = await upstream.handle(request())
        head_s = clock.now_s()
        await read(response)
        return begun_s, response.sent_s, head_s

    answer = Answer(steps=[Wait(0.1), Head(), b"x"], head=False)
    (begun_s, sent_s, head_s), _ = on_wire(answer, scenario)
    assert begun_s <= sent_s <= head_s - 0.09


def test_the_time_of_sending_is_behind_the_time_for_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(upstream: Upstream) -> float:
        loop = asyncio.get_running_loop()
        look_up = loop.getaddrinfo

        async def slowly(*args: Any, **options: Any) -> Any:
            await asyncio.sleep(0.1)
            return await look_up(*args, **options)

        monkeypatch.setattr(loop, "getaddrinfo", slowly)
        begun_s = MonotonicClock().now_s()
        response = await upstream.handle(request())
        await read(response)
        return response.sent_s - begun_s

    with ScriptedUpstream(lambda _: OK) as server:
        base_url = f"http://localhost:{server.port}/v1"
        assert run(scenario, lambda: Upstream(base_url, clock=MonotonicClock())) >= 0.1


def test_a_redirect_is_not_followed_on_the_wire() -> None:
    moved = Answer(status=307, headers=((b"location", b"/v1/elsewhere"),), framing="length")

    async def scenario(upstream: Upstream) -> int:
        response = await upstream.handle(request("POST", body=b"{}"))
        await read(response)
        return response.status

    status, server = on_wire(moved, scenario)
    assert status == 307
    assert len(server.requests) == 1


def test_the_proxy_that_the_environment_names_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedUpstream(lambda _: OK) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
        run(
            asking(request(query="a=1")),
            lambda: Upstream("http://api.example/v1", clock=MonotonicClock()),
        )
    assert server.requests[0].target == "http://api.example/v1/models?a=1"


def test_no_proxy_is_used_for_a_host_that_is_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    _, server = on_wire(OK, asking(request()))
    assert server.requests[0].target == "/v1/models"


# --- real sockets: chunks -----------------------------------------------------------------------


def burst(chunks: list[bytes]) -> bytes:
    """A chunked body as one piece."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


BORDERS = [b"a", b"\r\n", "안".encode()[:1], "안".encode()[1:], b"0\r\n\r\n", b"data: 1\n\n"]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(BORDERS, id="small"),
        pytest.param([b"x"] * 2000, id="two thousand of one byte"),
        pytest.param([b"a", b"b" * 300_000, b"c", b"d" * 300_000, b"e"], id="large between small"),
        pytest.param(
            [bytes([size % 251]) * size for size in (65_535, 65_536, 65_537, 131_072, 262_144)],
            id="at the sizes of buffers",
        ),
    ],
)
def test_the_borders_of_chunks_are_kept(chunks: list[bytes]) -> None:
    for answer in (Answer(steps=chunks), whole(Raw(CHUNKED + burst(chunks)))):
        came, server = on_wire(answer, asking(request(), request()))
        assert came == [chunks, chunks]
        assert server.connections == 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 1000) | st.integers(60_000, 140_000), min_size=1, max_size=12))
def test_the_borders_of_any_chunks_are_kept(sizes: list[int]) -> None:
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    came, _ = on_wire(whole(Raw(CHUNKED + burst(chunks))), asking(request()))
    assert came == [chunks]


def test_a_chunk_is_passed_on_before_the_next_one_is_there() -> None:
    gates = [threading.Event() for _ in range(3)]

    async def scenario(upstream: Upstream) -> list[bytes]:
        closed = iter(gates)
        return await read(await upstream.handle(request()), lambda _: next(closed).set())

    steps: list[Step] = [b"one", Gate(gates[0]), b"two", Gate(gates[1]), b"three", Gate(gates[2])]
    came, _ = on_wire(Answer(steps=steps), scenario)
    assert came == [b"one", b"two", b"three"]


def test_a_chunk_that_is_slow_inside_is_passed_on_in_pieces() -> None:
    gate = threading.Event()

    async def scenario(upstream: Upstream) -> list[bytes]:
        return await read(await upstream.handle(request()), lambda _: gate.set())

    steps: list[Step] = [
        Raw(CHUNKED + b"a\r\nhello"),
        Gate(gate),
        Wait(0.1),
        Raw(b"world\r\n0\r\n\r\n"),
    ]
    came, server = on_wire(whole(*steps), scenario)
    assert came == [b"hello", b"world"]
    assert [type(piece) for piece in came] == [bytes, ChunkRest]
    assert server.requests[0].finished.is_set()


APART = {
    "in two": ([b"a\r\nhello", b"world\r\n"], [b"hello", b"+world"]),
    "in three": ([b"a\r\nhe", b"llo", b"world\r\n"], [b"he", b"+llo", b"+world"]),
    "before its end": ([b"5\r\nhello", b"\r\n5\r\nworld\r\n"], [b"hello", b"world"]),
    "within its end": ([b"5\r\nhello\r", b"\n5\r\nworld\r\n"], [b"hello", b"world"]),
    "within its size": ([b"5\r\nhello\r\n5\r", b"\nworld\r\n"], [b"hello", b"world"]),
    "with the next": ([b"5\r\nhe", b"llo\r\n1\r\nx\r\n"], [b"he", b"+llo", b"x"]),
}


@pytest.mark.parametrize("size", [0, LARGE_BYTES], ids=["our reader", "that of aiohttp"])
@pytest.mark.parametrize(("pieces", "parts"), APART.values(), ids=APART)
def test_a_part_says_whether_it_continues_an_http_chunk(
    pieces: list[bytes], parts: list[bytes], size: int
) -> None:
    steps: list[Step] = [Raw(CHUNKED)]
    for piece in pieces:
        steps += [Raw(piece), Wait(0.05)]
    asked = request("POST", body=bytes(size))
    came, _ = on_wire(whole(*steps, Raw(b"0\r\n\r\n")), asking(asked))
    assert [(b"+" if type(part) is ChunkRest else b"") + part for part in came[0]] == parts


def test_the_head_is_passed_on_before_the_body_is_there() -> None:
    gate = threading.Event()

    async def scenario(upstream: Upstream) -> list[bytes]:
        response = await upstream.handle(request())
        gate.set()
        return await read(response)

    came, _ = on_wire(Answer(steps=[Gate(gate), b"x"]), scenario)
    assert came == [b"x"]


def test_chunks_are_not_decoded() -> None:
    piece = gzip.compress(b"data: 1\n\n", mtime=0)
    answer = Answer(steps=[piece[:9], piece[9:]], headers=((b"content-encoding", b"gzip"),))
    came, _ = on_wire(answer, asking(request()))
    assert came == [[piece[:9], piece[9:]]]


def test_trailers_and_extensions_of_chunks_are_no_content() -> None:
    raw = b"3;name=value\r\none\r\n3\r\ntwo\r\n0\r\nx-trailer: 1\r\n\r\n"
    came, server = on_wire(whole(Raw(CHUNKED + raw)), asking(request(), request()))
    assert came == [[b"one", b"two"]] * 2
    assert server.connections == 1


def test_a_chunk_is_received_whole_while_nobody_reads() -> None:
    async def scenario(upstream: Upstream) -> list[bytes]:
        response = await upstream.handle(request())
        await asyncio.sleep(0.3)  # Longer than the timeout: it is not the server that is slow.
        assert not server.requests[0].finished.is_set()
        return await read(response)

    chunks = [b"%04d" % number * 16_384 for number in range(400)]
    with ScriptedUpstream(lambda _: Answer(steps=chunks)) as server:
        assert (
            run(scenario, lambda: Upstream(server.base_url, clock=MonotonicClock(), timeout_s=0.2))
            == chunks
        )


# --- real sockets: where a body ends ------------------------------------------------------------


@pytest.mark.parametrize("apart_s", [0.0, 0.05])
@pytest.mark.parametrize(
    "more", [b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 1\r\n\r\nx", b"x"]
)
def test_what_follows_an_answer_is_not_the_answer_to_the_next_request(
    more: bytes, apart_s: float
) -> None:
    async def scenario(upstream: Upstream) -> list[list[bytes]]:
        came = []
        for number in range(2):
            came.append(await read(await upstream.handle(request("POST", body=b"{}"))))
            await received(server.requests[number])
        return came

    steps: list[Step] = [Raw(LENGTH_9 + b"all of it"), Wait(apart_s), Raw(more)]
    if not apart_s:
        steps = [Raw(LENGTH_9 + b"all of it" + more)]
    with ScriptedUpstream(lambda _: whole(*steps)) as server:
        came = run(scenario, lambda: Upstream(server.base_url, clock=MonotonicClock()))
        assert server.connections == 2
    assert came == [[b"all of it"]] * 2


@pytest.mark.parametrize(
    ("method", "body"), [("POST", b"x" * LARGE_BYTES), ("HEAD", b"")], ids=["large", "head"]
)
def test_what_came_on_an_idle_connection_is_not_the_answer_to_what_aiohttp_writes(
    method: str, body: bytes
) -> None:
    async def scenario(upstream: Upstream) -> int:
        await read(await upstream.handle(request("POST", body=b"{}")))
        await received(server.requests[0])
        response = await upstream.handle(request(method, body=body))
        await read(response)
        return response.status

    farewell = Raw(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 1\r\n\r\nx")
    answers = iter(
        [whole(Raw(LENGTH_9 + b"all of it"), Wait(0.05), farewell), Answer(framing="length")]
    )
    with ScriptedUpstream(lambda _: next(answers)) as server:
        assert run(scenario, lambda: Upstream(server.base_url, clock=MonotonicClock())) == 200
        assert server.connections == 2


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"x: " + b"a" * 70_000 + b"\r\n", id="a header"),
        pytest.param(b"x: a\r\n" * 1_001, id="headers"),
        pytest.param(b"x: " + b"a" * 1_100_000, id="without end"),
        pytest.param(b"x: a\0b\r\n", id="a null"),
        pytest.param(b"content-length: 3\r\ntransfer-encoding: chunked\r\n", id="two lengths"),
        pytest.param(b"content-length: -1\r\n", id="a length below nothing"),
    ],
)
def test_a_head_that_cannot_be_passed_on_is_no_answer(head: bytes) -> None:
    raw = Raw(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n0\r\n\r\n")
    with pytest.raises(UpstreamUnreachable, match="HttpProcessingError"):
        on_wire(whole(raw), asking(request()))


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("POST", b"204 No Content\r\n"),
        ("GET", b"304 Not Modified\r\netag: x\r\n"),
        ("GET", b"304 Not Modified\r\ncontent-length: 5\r\n"),
        ("HEAD", b"200 OK\r\ncontent-length: 5\r\n"),
        ("HEAD", b"200 OK\r\ntransfer-encoding: chunked\r\n"),
        ("GET", b"200 OK\r\ncontent-length: 0\r\n"),
        ("GET", b"404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"),
    ],
)
def test_an_answer_without_a_body_ends_and_keeps_its_connection(method: str, head: bytes) -> None:
    came, server = on_wire(
        whole(Raw(b"HTTP/1.1 " + head + b"\r\n")), asking(*[request(method)] * 3)
    )
    assert came == [[], [], []]
    assert server.connections == 1


def test_a_body_of_known_length_comes_piece_by_piece() -> None:
    gate = threading.Event()

    async def scenario(upstream: Upstream) -> list[bytes]:
        response = await upstream.handle(request())
        assert header(response.headers, b"content-length") == b"8"
        return await read(response, lambda _: gate.set())

    came, _ = on_wire(Answer(steps=[b"half", Gate(gate), b"rest"], framing="length"), scenario)
    assert came == [b"half", b"rest"]


def test_pieces_of_a_body_of_known_length_are_not_held_for_each_other() -> None:
    answer = Answer(steps=[b"half", Wait(0.01), b"rest"], framing="length")
    came, _ = on_wire(answer, asking(*[request()] * 20))
    # A busy machine may read both at once now and then, but not each time.
    assert [b"half", b"rest"] in came


def test_a_large_body_of_known_length_is_whole() -> None:
    body = os.urandom(2_000_000)
    came, server = on_wire(Answer(steps=[body], framing="length"), asking(request(), request()))
    assert [b"".join(chunks) for chunks in came] == [body, body]
    assert server.connections == 1


def test_a_body_may_end_with_its_connection() -> None:
    came, server = on_wire(
        Answer(steps=[b"ab", b"cd"], framing="eof"), asking(request(), request())
    )
    assert [b"".join(chunks) for chunks in came] == [b"abcd", b"abcd"]
    assert server.connections == 2


@pytest.mark.parametrize("coding", [b"chunked, gzip", b"xchunked", b"identity"])
def test_a_body_whose_last_coding_is_not_chunked_ends_with_its_connection(coding: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: " + coding + b"\r\n\r\n"
    came, _ = on_wire(whole(Raw(head + b"all of it"), Hangup()), asking(request()))
    assert came == [[b"all of it"]]


def received_until_cut(*steps: Step, timeout_s: float = 30.0) -> bytes:
    """What came of an answer before it was found to be cut."""
    received: list[bytes] = []

    async def scenario(upstream: Upstream) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await read(await upstream.handle(request()), received.append)

    with pytest.raises(UpstreamCut, match=r"http://127\.0\.0\.1:\d+"):
        on_wire(whole(*steps), scenario, timeout_s=timeout_s)
    return b"".join(received)


LENGTH_9 = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"


@pytest.mark.parametrize("end", [Hangup(), Cut()], ids=["closed", "reset"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(LENGTH_9 + b"hello", id="length"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n", id="between chunks"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n3", id="inside a size"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\n", id="inside the last chunk"),
    ],
)
def test_a_body_that_breaks_off_is_cut_and_what_came_is_passed_on(body: bytes, end: Step) -> None:
    assert received_until_cut(Raw(body), Wait(0.05), end) == b"hello"


@pytest.mark.parametrize("end", [Hangup(), Cut()], ids=["closed", "reset"])
def test_a_body_that_breaks_off_inside_a_chunk_is_cut(end: Step) -> None:
    came = received_until_cut(Raw(CHUNKED + b"5\r\nhello\r\na\r\nwo"), Wait(0.1), end)
    assert came == b"hellowo"


@pytest.mark.parametrize(
    "body", [LENGTH_9, CHUNKED, CHUNKED + b"5"], ids=["length", "chunked", "size"]
)
def test_a_body_that_breaks_off_before_its_first_byte_is_cut(body: bytes) -> None:
    assert received_until_cut(Raw(body), Wait(0.05), Hangup()) == b""


def test_a_reset_is_a_cut_also_where_the_end_of_the_connection_ends_the_body() -> None:
    raw = Raw(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello")
    assert received_until_cut(raw, Wait(0.05), Cut()) == b"hello"


@pytest.mark.parametrize("end", [Hangup(), Cut()], ids=["closed", "reset"])
@pytest.mark.parametrize(
    ("head", "body"),
    [(LENGTH_9, b"all of it"), (CHUNKED, burst([b"all", b" of it"]))],
    ids=["length", "chunks"],
)
@pytest.mark.parametrize("gap_s", [0.0, 0.05], ids=["together", "apart"])
def test_what_happens_to_a_connection_behind_a_whole_body_is_no_cut(
    head: bytes, body: bytes, gap_s: float, end: Step
) -> None:
    async def scenario(upstream: Upstream) -> list[bytes]:
        response = await upstream.handle(request())
        await asyncio.sleep(0.2)  # A reader that has something else to do.
        return await read(response)

    came, _ = on_wire(whole(Raw(head), Wait(gap_s), Raw(body), Wait(0.05), end), scenario)
    assert b"".join(came) == b"all of it"


@pytest.mark.parametrize("line", [b"0\r\nx-trailer: ", b"1;extension="], ids=["trailer", "size"])
def test_a_line_without_end_behind_a_body_is_a_cut(line: bytes) -> None:
    raw = CHUNKED + b"3\r\none\r\n" + line + b"x" * (2 * HEAD_BYTES)
    assert received_until_cut(Raw(raw), Wait(60)) == b"one"


def test_a_body_before_the_answer_is_not_waited_for_without_end() -> None:
    raw = b"HTTP/1.1 199 Miscellaneous\r\ncontent-length: 9999999\r\n\r\n" + b"x" * (2 * HEAD_BYTES)
    with pytest.raises(UpstreamUnreachable, match="HttpProcessingError"):
        on_wire(whole(Raw(raw), Wait(60)), asking(request()))


def test_broken_framing_inside_a_body_is_a_cut() -> None:
    steps: list[Step] = [
        Raw(CHUNKED + b"5\r\nhello\r\n"),
        Wait(0.05),
        Raw(b"no size\r\n"),
        Wait(0.05),
        Hangup(),
    ]
    assert received_until_cut(*steps, timeout_s=1.0) == b"hello"


def test_a_body_that_stops_coming_is_cut_after_the_timeout() -> None:
    never = threading.Event()
    received = received_until_cut(Raw(CHUNKED + b"2\r\nhi\r\n"), Gate(never), timeout_s=0.2)
    assert received == b"hi"


# --- real sockets: no answer --------------------------------------------------------------------


@pytest.mark.parametrize(
    "step", [Hangup(), Cut(), Raw(b"\x16\x03 no HTTP\r\n\r\n"), Raw(b"HTTP/1.1 abc\r\n\r\n")]
)
def test_no_answer_is_an_upstream_that_cannot_be_reached(step: Step) -> None:
    with pytest.raises(UpstreamUnreachable, match="UPSTREAM_BASE_URL"):
        on_wire(whole(step), asking(request("POST", body=b"{}")))


def test_nobody_listening_is_an_upstream_that_cannot_be_reached() -> None:
    with ScriptedUpstream(lambda _: OK) as server:
        base_url = server.base_url
    with pytest.raises(UpstreamUnreachable, match=r"http://127\.0\.0\.1:\d+.*UPSTREAM_BASE_URL"):
        run(asking(request()), lambda: Upstream(base_url, clock=MonotonicClock()))


def untrusted() -> OSError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED]")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (untrusted(), r"its certificate is not trusted \(self-signed .*SSL_CERT_FILE\)"),
        (socket.gaierror(-2, "Name not known"), r"its name is not known \(Name not known\)"),
        (OSError(errno.ENETUNREACH, ""), "Network is unreachable"),
    ],
)
def test_what_stands_in_the_way_of_a_connection_is_named(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(UpstreamUnreachable, match=said):
        run(asking(request()), lambda: Upstream("https://api.invalid/v1", clock=MonotonicClock()))


def test_a_server_without_tls_is_named_as_such() -> None:
    def answer() -> None:
        with server.accept()[0] as client:
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            client.recv(1 << 16)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        base_url = f"https://127.0.0.1:{server.getsockname()[1]}/v1"
        with pytest.raises(UpstreamUnreachable, match=r"TLS failed \("):
            run(asking(request()), lambda: Upstream(base_url, clock=MonotonicClock()))
        thread.join()


def test_an_answer_that_does_not_come_is_an_upstream_that_is_too_slow() -> None:
    never = threading.Event()
    with pytest.raises(UpstreamTooSlow, match=r"0\.2 s \(UPSTREAM_TIMEOUT_S\)"):
        on_wire(whole(Gate(never)), asking(request()), timeout_s=0.2)


def test_a_slow_answer_is_no_failure_as_long_as_bytes_come() -> None:
    steps: list[Step] = [step for number in range(8) for step in (Wait(0.1), b"%d" % number)]
    came, _ = on_wire(Answer(steps=steps), asking(request()), timeout_s=0.5)
    assert b"".join(came[0]) == b"01234567"


# --- real sockets: leaving ----------------------------------------------------------------------


def leaving(chunks: int) -> Callable[[Upstream], Awaitable[None]]:
    """A scenario: read some chunks, and close the body."""

    async def scenario(upstream: Upstream) -> None:
        response = await upstream.handle(request())
        assert not isinstance(response.body, bytes)
        body = aiter(response.body)
        for _ in range(chunks):
            await anext(body)
        await response.body.aclose()

    return scenario


@pytest.mark.parametrize("chunks", [0, 1])
def test_a_body_that_is_closed_early_closes_its_connection(chunks: int) -> None:
    never = threading.Event()

    async def scenario(upstream: Upstream) -> bool:
        await leaving(chunks)(upstream)
        # Before the upstream itself is closed.
        return await asyncio.to_thread(server.requests[0].client_left.wait, PATIENCE_S)

    with ScriptedUpstream(lambda _: Answer(steps=[b"x", Gate(never)])) as server:
        assert run(scenario, lambda: Upstream(server.base_url, clock=MonotonicClock()))


def test_an_early_end_of_one_answer_leaves_the_next_one_whole() -> None:
    answers = iter([Answer(steps=[b"x"] * 100, framing="eof"), Answer(steps=[b"a", b"b"])])

    async def scenario(upstream: Upstream) -> list[bytes]:
        await leaving(1)(upstream)
        return await read(await upstream.handle(request()))

    came, _ = on_wire(lambda _: next(answers), scenario)
    assert came == [b"a", b"b"]


def test_a_proxys_password_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedUpstream(lambda _: Answer(status=407, headers=(), framing="length")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://user:PXSECRET@127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)

        async def scenario(upstream: Upstream) -> None:
            with pytest.raises(UpstreamUnreachable, match="status 407") as caught:
                await upstream.handle(request())
            assert "PXSECRET" not in str(caught.value)

        run(scenario, lambda: Upstream("https://api.invalid/v1", clock=MonotonicClock()))
    assert [each.method for each in proxy.requests] == ["CONNECT"]
