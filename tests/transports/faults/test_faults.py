"""The grammar of fault scripts, their counting, and each fault with a clock that does not wait."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.errors import CassetteMiss, ConfigurationError, ConnectionDropped, InvalidFault
from replay_proxy.transports.faults import FAULTS, Faulty, Script
from replay_proxy.transports.faults.rule import SELECTORS, read_rules
from replay_proxy.wire import Headers, Request, Response, Source, header
from tests.fault_table import PAGE
from tests.support.clock import InstantClock
from tests.support.provenance import answered, fault_of
from tests.support.requests import CHAT, post
from tests.support.transports import SimpleTransport

EVENTS = ((b"content-type", b"text/event-stream; charset=utf-8"),)
JSON = ((b"content-type", b"application/json"), (b"content-length", b"11"))
STREAM = (b'data: {"1": 1}\n\n', b'data: {"2": 2}\n\n', b'data: {"3": 3}\n\n', b"data: [DONE]\n\n")


class Chunks:
    """A body that comes in chunks, and knows how far it was read and whether it was closed."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)
        self.closed = False

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.pop(0)

    def __aiter__(self) -> "Chunks":
        return self

    @property
    def left(self) -> int:
        return len(self._chunks)

    async def aclose(self) -> None:
        self.closed = True


class Api(SimpleTransport):
    """Gives every request the same answer, or miss, and counts them."""

    def __init__(self, answer: Response | CassetteMiss | None = None) -> None:
        self.answer = answer or answered(200, JSON, b'{"a": "b"}\n')
        self.asked = 0

    async def handle(self, request: Request) -> Response:
        self.asked += 1
        if isinstance(self.answer, CassetteMiss):
            raise self.answer
        return self.answer


def request(body: bytes = b'{"model": "gpt-4o"}', **given: Any) -> Request:
    headers: Headers = tuple((k.encode(), v.encode()) for k, v in given.pop("headers", {}).items())
    return post(body, given.pop("path", CHAT), headers)


def hits(script: str, requests: list[Request], *, seed: int = 0) -> list[str]:
    """The names of the faults that requests meet, in their order; "" for none."""
    running = Script(read_rules(script), seed=seed)
    return [call.name if (call := running.fault_for(each)) else "" for each in requests]


def numbers(script: str, count: int = 12) -> list[int]:
    """Which of so many equal requests are hit."""
    return [n for n, name in enumerate(hits(script, [request()] * count), 1) if name]


# --- which requests -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "hit"),
    [
        ("reset", list(range(1, 13))),
        ("nth=3 reset", [3]),
        ("nth=3,7 reset", [3, 7]),
        ("every=5 reset", [5, 10]),
        ("first=2 reset", [1, 2]),
        ("every=2 first=5 reset", [2, 4]),
        ("nth=1 reset; nth=4 reset", [1, 4]),
        ("share=0 reset", []),
        ("share=1 reset", list(range(1, 13))),
        ("", []),
        ("# nothing\n\n ; ;# still nothing", []),
    ],
)
def test_a_rule_hits_by_number(script: str, hit: list[int]) -> None:
    assert numbers(script) == hit


def test_a_rule_is_about_a_path_a_model_or_a_header() -> None:
    requests = [
        request(path="/v1/embeddings"),
        request(b'{"model": "gpt-4o-mini"}'),
        request(b'{"model": "o3"}', headers={"x-test": "slow one"}),
        request(b"no JSON"),
    ]
    assert hits("header=x-name:한* reset", [request(headers={"x-name": "한국"})]) == ["reset"]
    assert hits("path=/v1/embeddings reset", requests) == ["reset", "", "", ""]
    assert hits("path=/v1/chat/* reset", requests) == ["", "reset", "reset", "reset"]
    assert hits("model=gpt-4o* reset", requests) == ["reset", "reset", "", ""]
    assert hits("model=gpt-4o reset", requests) == ["reset", "", "", ""]
    assert hits('header="X-Test: slow one" reset', requests) == ["", "", "reset", ""]
    assert hits("header=x-test:fast reset", requests) == [""] * 4
    assert hits("path=/v1/chat/* model=gpt-4o* reset", requests) == ["", "reset", "", ""]


def test_a_rule_counts_only_what_it_is_about_and_whichever_rule_decides() -> None:
    a, b = request(path="/v1/a"), request(path="/v1/b")
    assert hits("path=/v1/b nth=2 reset", [a, b, a, a, b, b]) == ["", "", "", "", "reset", ""]
    assert hits("first=2 reset; first=3 cut", [a, a, a, a]) == ["reset", "reset", "cut", ""]


def test_a_share_depends_on_seed_request_and_repeat_but_not_on_other_requests() -> None:
    one, two = [request(b"%d" % n) for n in range(500)], [request(b"x%d" % n) for n in range(500)]
    alone = hits("share=0.2 reset", one)
    mixed = hits("share=0.2 reset", [each for pair in zip(two, one, strict=True) for each in pair])
    assert mixed[1::2] == alone
    assert hits("share=0.2 reset", one) == alone
    assert hits("share=0.2 reset", one, seed=1) != alone
    assert 60 < alone.count("reset") < 140
    repeats = hits("share=0.5 reset", [request()] * 50)
    assert 10 < repeats.count("reset") < 40


def test_a_script_that_begins_again_counts_from_the_beginning() -> None:
    script = Script(read_rules("first=1 share=1 reset"))
    found = [script.fault_for(request()), script.fault_for(request())]
    script.rewind()
    found += [script.with_own_counts().fault_for(request()), script.fault_for(request())]
    assert [each is not None for each in found] == [True, False, True, True]


# --- which fault --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "name", "arguments"),
    [
        ("rate_limit", "rate_limit", {}),
        ("rate_limit()", "rate_limit", {}),
        ("rate_limit(retry_after=1.5)", "rate_limit", {"retry_after": 1.5}),
        ("rate_limit( 2 , limit = 3 )", "rate_limit", {"retry_after": 2.0, "limit": 3}),
        (
            'status(418, message="I am; a \\"teapot\\", (really)", type=tea)',
            "status",
            {"code": 418, "message": 'I am; a "teapot", (really)', "type": "tea"},
        ),
        ("status(500, 요청이 많습니다.)", "status", {"code": 500, "message": "요청이 많습니다."}),
        ("nth=1 cut(\n  after_chunks=2\n) # here", "cut", {"after_chunks": 2}),
    ],
)
def test_a_fault_is_called_with_arguments(
    script: str, name: str, arguments: dict[str, Any]
) -> None:
    (rule,) = read_rules(script)
    assert (rule.call.name, rule.call.arguments) == (name, arguments)


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ("rate_limt", "'rate_limt' is not a fault: did you mean rate_limit?"),
        ("xyzzy", "'xyzzy' is not a fault: there are status, rate_limit,"),
        ("first=2", "a rule ends with a fault"),
        ("first=2 cut reset", "'cut' is not a selector: there are nth, every,"),
        ("frist=2 cut", "'frist=2' is not a selector"),
        ("first=0 cut", "first=0 is not valid: it has to be a whole number from 1 on"),
        ("nth=1,x cut", "nth=1,x is not valid"),
        ("share=2 cut", "share=2 is not valid: it has to be a number from 0 to 1"),
        ("share=1.5 cut", "share=1.5 is not valid"),
        ("path= cut", "path= is not valid: it is empty"),
        ("header=x-test cut", "header=x-test is not valid: it has to be name:value"),
        ("cut(1, 2, 3)", "cut has no argument '3': it takes after_chunks, after_bytes"),
        ("cut(chunks=1)", "cut has no argument 'chunks'"),
        ("reset(1)", "reset has no argument '1': it takes none"),
        ("cut(1, after_chunks=1)", "cut is given after_chunks twice"),
        ("cut(after_chunks=-1)", "after_chunks=-1 is not valid: it has to be a whole number"),
        ("stall(seconds=nan)", "seconds=nan is not valid: it has to be a number"),
        ("stall(seconds=inf)", "it has to be a number from 0 to 1e+09"),
        ("status", "status needs the argument code"),
        ("status(200)", "code=200 is not valid: it has to be a status from 400 to 599"),
        ("cut(,)", "the arguments"),
        ("cut(1", "line 1 cannot be read at '"),
        ('path="/v1 cut', "is a quote or bracket open?"),
        ("cut\nreset\nfirst=x cut", "line 3, 'first=x cut': first=x is not valid"),
    ],
)
def test_an_error_names_the_rule_and_says_what_there_is(script: str, cause: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - its words are what is tested
        read_rules(script)
    assert cause in str(raised.value)
    with pytest.raises(ConfigurationError, match="FAULTS is not a script of faults: "):
        Script.of_setting(script, name="FAULTS", seed=0)


@given(st.text(alphabet='ab=,;#"\\() \nfirst1cut', max_size=40))
def test_any_text_is_a_script_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        read_rules(text)


def test_the_scripts_of_the_page_can_be_read() -> None:
    page = PAGE.read_text("utf-8")
    (script,) = re.findall(r"^```\n(path=.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(read_rules(script)) == 5
    quoted = re.findall(r"FAULTS='([^']*)'|x-replay-fault: ([^']*)'", page)
    assert [read_rules(one or other)[0].call.name for one, other in quoted] == [
        "rate_limit",
        "overloaded",
    ]
    for name in SELECTORS:
        assert f"`{name}=" in page


# --- what each fault does -----------------------------------------------------------------------


def met(
    fault: str,
    answer: Response | CassetteMiss | None = None,
    clock: InstantClock | None = None,
) -> tuple[Response, list[bytes], str]:
    """The faulted answer, its chunks, and the fault that it broke off with."""
    api = Api(answer)

    async def scenario() -> tuple[Response, list[bytes], str]:
        faulty = Faulty(api, Script(read_rules(fault)), seed=0, clock=clock or InstantClock())
        response = await faulty.handle(request())
        if isinstance(response.body, bytes):
            return response, [response.body], ""
        chunks, broke = [], ""
        try:
            async for chunk in response.body:
                chunks.append(chunk)  # noqa: PERF401 - it may break off
        except ConnectionDropped as drop:
            broke = drop.fault
        await response.body.aclose()
        await asyncio.sleep(0)
        while asyncio.all_tasks() - {asyncio.current_task()}:  # noqa: ASYNC110 - they end at once
            await asyncio.sleep(0)
        return response, chunks, broke

    return asyncio.run(scenario())


def streamed(*, whole: bool = False) -> Response:
    return answered(200, EVENTS, b"".join(STREAM) if whole else Chunks(*STREAM))


ERROR = (
    b'data: {"error": {"message": "The server had an error while processing your request. '
    b'Sorry about that!", "type": "server_error", "param": null, "code": null}}\n\n'
)


@pytest.mark.parametrize("whole", [False, True], ids=["in chunks", "ready"])
@pytest.mark.parametrize(
    ("fault", "chunks", "broke"),
    [
        ("cut(after_chunks=0)", [], "cut"),
        ("cut(after_chunks=2)", list(STREAM[:2]), "cut"),
        ("cut(after_bytes=20)", [STREAM[0], STREAM[1][:4]], "cut"),
        ("reset_midway(after_chunks=3)", list(STREAM[:3]), "reset_midway"),
        ("no_done", list(STREAM[:3]), ""),
        ("error_event(after_events=2)", [*STREAM[:2], ERROR], ""),
        ("malformed(1)", [STREAM[0], b'data: {"2": 2\n\n', *STREAM[2:]], ""),
        ("duplicate(after_events=1)", [*STREAM[:2], *STREAM[1:]], ""),
        ("reorder(after_events=1)", [STREAM[0], STREAM[2], STREAM[1], STREAM[3]], ""),
        ("reorder(after_events=3)", list(STREAM), ""),
        ("empty", [], ""),
        ("stall", list(STREAM), ""),
        ("drip(size=100)", list(STREAM), ""),
    ],
)
def test_a_stream_is_altered(fault: str, chunks: list[bytes], broke: str, whole: bool) -> None:
    answer = streamed(whole=whole)
    response, seen, ended = met(fault, answer)
    assert (seen, ended) == (chunks, broke)
    assert fault_of(response) == fault.partition("(")[0]
    if isinstance(answer.body, Chunks):
        assert (answer.body.left, answer.body.closed) == (0, True), "its source is read to its end"


def test_events_are_found_whatever_the_chunks_are() -> None:
    body = b"".join(STREAM).replace(b"\n\n", b"\r\n\r\n")
    pieces = [body[at : at + 5] for at in range(0, len(body), 5)]
    _, seen, _ = met("duplicate(2)", answered(200, EVENTS, Chunks(*pieces)))
    events = [event.replace(b"\n\n", b"\r\n\r\n") for event in STREAM]
    assert seen == [*events[:3], *events[2:]]


def test_the_responses_api_has_an_error_event_of_its_own() -> None:
    event = b'event: response.created\ndata: {"type": "response.created"}\n\n'
    _, seen, _ = met("error_event(1)", answered(200, EVENTS, event + event))
    assert seen[0] == event
    assert seen[1].startswith(b'event: error\ndata: {"type": "error", "code": "server_error"')
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("fault", "chunks", "length"),
    [
        ("cut", [b'{"a":'], b"11"),
        ("malformed", [b'{"a":', b' "b"'], None),
        ("empty", [], b"0"),
        ("drip(4)", [b'{"a":'[:4], b":", b' "b"', b"}\n"], b"11"),
    ],
)
def test_a_body_that_does_not_stream_is_altered_and_its_length_is_right(
    fault: str, chunks: list[bytes], length: bytes | None
) -> None:
    response, seen, _ = met(fault)
    assert seen == chunks
    assert header(response.headers, b"content-length") == length


def test_characters_are_split_and_nothing_is_lost() -> None:
    text = "data: 한국 né 😀\n\n".encode()
    _, seen, _ = met("split_utf8", answered(200, EVENTS, Chunks(text, b"plain")))
    assert b"".join(seen) == text + b"plain"
    assert seen[0] == b"data: \xed"
    for piece in seen[:-2]:
        with pytest.raises(UnicodeDecodeError):
            piece.decode()


def test_waits_are_those_of_the_arguments() -> None:
    def waits(fault: str, answer: Response) -> list[float]:
        clock = InstantClock()
        met(fault, answer, clock)
        return clock.waits

    assert waits("slow_start(seconds=3)", streamed()) == [3.0]
    assert waits("stall(after_chunks=2, seconds=60)", streamed()) == [60.0]
    dripping = answered(200, EVENTS, Chunks(b"12345678", b"9"))
    assert waits("drip(size=4, gap_ms=250)", dripping) == [0.0, 0.25, 0.25]


def test_who_hangs_is_closed_when_the_client_leaves() -> None:
    chunks = Chunks(*STREAM)

    async def scenario() -> list[bytes]:
        api = Api(answered(200, EVENTS, chunks))
        faulty = Faulty(api, Script(read_rules("hang")), seed=0, clock=InstantClock())
        response = await faulty.handle(request())
        assert not isinstance(response.body, bytes)
        seen = [await anext(aiter(response.body))]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(aiter(response.body))
        await response.body.aclose()
        return seen

    assert asyncio.run(scenario()) == [STREAM[0]]
    assert (chunks.left, chunks.closed) == (3, True)


def test_refusals_ask_nobody_and_name_their_source() -> None:
    for name, fault in FAULTS.items():
        if fault.replacement is None or name in ("refuse", "reset"):
            continue
        api = Api()
        faulty = Faulty(
            api,
            Script(read_rules("status(500)" if name == "status" else name)),
            seed=0,
            clock=InstantClock(),
        )
        response = asyncio.run(faulty.handle(request()))
        assert response.provenance is not None
        assert (api.asked, response.provenance.source) == (0, Source.FAULT)
        assert isinstance(response.body, bytes)
        assert b'"param": ' in response.body
        assert header(response.headers, b"content-length") == b"%d" % len(response.body)


def test_a_rate_limit_has_openai_s_headers() -> None:
    headers = dict(met("rate_limit(retry_after=0.174, limit=3)")[0].headers)
    assert headers[b"retry-after"] == b"1"
    assert headers[b"retry-after-ms"] == b"174"
    assert headers[b"x-ratelimit-limit-requests"] == b"3"
    assert headers[b"x-ratelimit-remaining-requests"] == b"0"
    assert headers[b"x-ratelimit-reset-requests"] == b"174ms"


# --- the transport ------------------------------------------------------------------------------


def outcomes(faulty: Faulty, *requests: Request) -> list[str]:
    async def scenario() -> AsyncGenerator[str]:
        for each in requests:
            response = await faulty.handle(each)
            yield fault_of(response)

    async def listed() -> list[str]:
        return [name async for name in scenario()]

    listing: Coroutine[Any, Any, list[str]] = listed()
    return asyncio.run(listing)


def asking(fault: str, body: bytes = b"{}") -> Request:
    return request(body, headers={"x-replay-fault": fault})


def test_a_header_takes_the_place_of_the_script() -> None:
    faulty = Faulty(Api(), Script(read_rules("quota")), seed=0, clock=InstantClock())
    assert outcomes(faulty, request(), asking("overloaded"), asking(""), request()) == [
        "quota",
        "overloaded",
        "",
        "quota",
    ]


def test_a_script_in_a_header_counts_the_same_request_with_the_same_header() -> None:
    faulty = Faulty(Api(), Script(()), seed=0, clock=InstantClock())
    first = "first=1 quota"
    seen = [asking(first), asking(first), asking(first, b"2"), asking("first=1  quota")]
    assert outcomes(faulty, *seen) == ["quota", "", "quota", "quota"]
    faulty.rewind()
    assert outcomes(faulty, asking(first)) == ["quota"]


def test_a_header_that_cannot_be_read_is_refused_and_asks_nobody() -> None:
    api = Api()
    with pytest.raises(InvalidFault, match="x-replay-fault cannot be followed: 'nope'"):
        outcomes(Faulty(api, Script(()), seed=0, clock=InstantClock()), asking("nope"))
    assert api.asked == 0


def test_a_refusal_of_the_proxy_is_not_altered() -> None:
    miss = CassetteMiss("Missed.", reason="no_match", details={})
    with pytest.raises(CassetteMiss) as refused:
        met("empty", miss)
    assert refused.value is miss


@pytest.mark.parametrize("fault", ["no_done", "error_event", "duplicate", "reorder"])
def test_what_a_fault_cannot_alter_is_not_named_after_it(fault: str) -> None:
    plain = answered(200, JSON, b"{}")
    packed = answered(200, (*EVENTS, (b"content-encoding", b"gzip")), Chunks(*STREAM))
    for answer in (plain, packed):
        assert met(fault, answer)[0] is answer


def test_without_a_fault_an_answer_is_the_same_object() -> None:
    answer = streamed()
    response = asyncio.run(
        Faulty(Api(answer), Script(()), seed=0, clock=InstantClock()).handle(request())
    )
    assert response is answer
