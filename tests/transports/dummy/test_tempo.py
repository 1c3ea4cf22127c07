"""When the dummy's answers are due: tokens, whole answers, load, repeatability."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from replay_proxy.errors import ConfigurationError, InvalidRequest
from replay_proxy.settings import Settings
from replay_proxy.transports.dummy import Content, Dummy, Tempo
from replay_proxy.transports.dummy.timing.distributions import parse
from replay_proxy.wire import Headers, Request, header
from tests.support.clock import FakeClock
from tests.support.requests import chat, get

T = TypeVar("T")


def asked(
    prompt: str = "abcde", *, stream: bool = True, headers: Headers = (), **more: Any
) -> Request:
    """A stream of as many tokens as the prompt has characters."""
    return chat(prompt, headers, stream=stream, **more)


@dataclass
class Received:
    """An answer with the times of its head and of each chunk, in ms from the request."""

    head_ms: float
    chunks: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def times_ms(self) -> list[float]:
        return [round(at_ms, 6) for at_ms, _ in self.chunks]

    @property
    def body(self) -> bytes:
        return b"".join(chunk for _, chunk in self.chunks)


async def receive(dummy: Dummy, request: Request, clock: FakeClock) -> Received:
    begun_s = clock.now_s()
    response = await dummy.handle(request)
    received = Received(1000 * (clock.now_s() - begun_s))
    if isinstance(response.body, bytes):
        received.chunks.append((received.head_ms, response.body))
        return received
    try:
        async for chunk in response.body:
            received.chunks.append((1000 * (clock.now_s() - begun_s), chunk))
    finally:
        await response.body.aclose()
    return received


def played(scenario: Callable[[FakeClock], Awaitable[T]]) -> T:
    async def play() -> T:
        clock = FakeClock()
        driver = asyncio.create_task(clock.drive())
        try:
            async with asyncio.timeout(20):  # Somebody waits for a place that nobody gives back.
                return await scenario(clock)
        finally:
            driver.cancel()

    return asyncio.run(play())


@pytest.mark.parametrize("stream", [True, False])
def test_the_processing_time_is_that_to_the_head(stream: bool) -> None:
    async def scenario(clock: FakeClock) -> tuple[bytes | None, float]:
        begun_s = clock.now_s()
        dummy = Dummy(tempo=Tempo.of(Settings(dummy_ttft_ms="120", dummy_itl_ms="10")), clock=clock)
        response = await dummy.handle(asked(stream=stream))
        return header(response.headers, b"openai-processing-ms"), clock.now_s() - begun_s

    told, took_s = played(scenario)
    assert told == b"%d" % round(1000 * took_s)
    assert told == (b"120" if stream else b"230")


def answers(tempo: Tempo, *requests: Request, **options: Any) -> list[Received]:
    """The answers to requests that are sent at the same time. The text has 12 tokens."""

    async def scenario(clock: FakeClock) -> list[Received]:
        dummy = Dummy(options.pop("content", None), tempo, clock=clock, **options)
        return await asyncio.gather(*(receive(dummy, each, clock) for each in requests))

    return played(scenario)


def tempo(ttft_ms: str = "", itl_ms: str = "", **more: Any) -> Tempo:
    return Tempo(parse(ttft_ms) if ttft_ms else None, parse(itl_ms) if itl_ms else None, **more)


# --- when each part is due ----------------------------------------------------------------------


def test_the_first_token_is_due_at_the_ttft_and_each_further_one_an_itl_later() -> None:
    (received,) = answers(tempo("300", "50"), asked())
    assert received.head_ms == pytest.approx(300)
    assert received.times_ms == [300 + 50 * number for number in range(12)]
    deltas = [chunk.count(b'"content":"') for _, chunk in received.chunks]
    assert deltas == [2] + [1] * 11  # the role's event has an empty one
    assert received.chunks[-1][1].endswith(b"data: [DONE]\n\n")


def test_a_timed_stream_has_the_bytes_of_an_instant_one() -> None:
    content = Content(seed=1)
    (timed,) = answers(tempo("300", "50"), asked(), content=content)
    (at_once,) = answers(Tempo(), asked(), content=content)
    assert timed.body == at_once.body
    assert len(at_once.chunks) == 1
    assert at_once.head_ms == 0


def test_a_whole_answer_comes_when_its_last_token_is_due() -> None:
    (received,) = answers(tempo("300", "50"), asked(stream=False))
    assert received.times_ms == [300 + 50 * 11]


def test_tokens_that_are_due_together_are_one_chunk() -> None:
    (received,) = answers(tempo("300", "0"), asked())
    assert received.times_ms == [300]


def test_a_long_answer_without_gaps_leaves_others_their_turn() -> None:
    (received,) = answers(tempo("300"), asked("x" * 5000))
    assert len(received.chunks) > 15
    assert set(received.times_ms) == {300}


def test_what_is_late_is_caught_up_with() -> None:
    async def scenario(clock: FakeClock) -> list[float]:
        begun_s = clock.now_s()
        response = await Dummy(None, tempo("100", "50"), clock=clock).handle(asked())
        assert not isinstance(response.body, bytes)
        times_ms = []
        async for _ in response.body:
            times_ms.append(round(1000 * (clock.now_s() - begun_s), 6))
            if len(times_ms) == 2:  # The client is slow: 225 ms for one chunk.
                await clock.sleep_until(clock.now_s() + 0.225)
        return times_ms

    # The tokens due at 200, 250, 300 and 350 ms come at 375, and the next one when it is due.
    assert played(scenario)[:5] == [100, 150, 375, 400, 450]


def test_a_prompt_adds_to_the_ttft_by_its_length() -> None:
    (received,) = answers(tempo("300", prefill_ms=40.0), asked("x" * 500))
    assert received.head_ms == pytest.approx(320)


def test_what_no_model_works_on_comes_at_once() -> None:
    (received,) = answers(tempo("300", "50"), get("/v1/models"))
    assert received.head_ms == 0


def test_a_refusal_comes_at_once() -> None:
    async def scenario(clock: FakeClock) -> float:
        with pytest.raises(InvalidRequest):
            await Dummy(None, tempo("300", "50"), clock=clock).handle(asked(messages=3))
        return clock.now_s()

    assert played(scenario) == 1000


# --- headers ------------------------------------------------------------------------------------


def test_a_request_can_ask_for_its_own_tempo() -> None:
    ttft, itl = (b"x-replay-ttft-ms", b"70"), (b"x-replay-itl-ms", b"uniform(5,5)")
    one, other, both, none = answers(
        tempo("300", "50"),
        asked(headers=(ttft,)),
        asked(headers=(itl,)),
        asked(headers=(ttft, itl)),
        asked(),
    )
    assert one.times_ms[:2] == [70, 120]
    assert other.times_ms[:2] == [300, 305]
    assert both.times_ms[:2] == [70, 75]
    assert none.times_ms[:2] == [300, 350]


def test_a_request_can_ask_an_instant_dummy_for_a_tempo() -> None:
    (received,) = answers(Tempo(), asked(headers=((b"x-replay-itl-ms", b"50"),)))
    assert received.times_ms == [50 * number for number in range(12)]


def test_a_header_that_is_no_tempo_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidRequest, match="header x-replay-ttft-ms is not valid: 'soon' is no"):
        answers(tempo("300"), asked(headers=((b"x-replay-ttft-ms", b"soon"),)))


# --- load ---------------------------------------------------------------------------------------


def gaps_ms(received: Received) -> Sequence[float]:
    return [
        round(after - before, 6)
        for before, after in zip(received.times_ms, received.times_ms[1:], strict=False)
    ]


@pytest.mark.parametrize(("streams", "factor"), [(1, 1.0), (4, 1.0), (5, 1.25), (6, 1.5), (8, 2.0)])
def test_gaps_grow_from_half_of_the_capacity_on(streams: int, factor: float) -> None:
    for received in answers(tempo("300", "50"), *[asked()] * streams, capacity=8):
        assert gaps_ms(received) == [50 * factor] * 11


def test_who_comes_beyond_the_capacity_waits_for_a_place_in_turn() -> None:
    received = answers(tempo("300", "0"), *[asked()] * 5, capacity=2)
    assert [each.head_ms for each in received] == pytest.approx([300, 300, 600, 600, 900])


def test_whole_answers_are_load_too() -> None:
    received = answers(tempo("300", "0"), *[asked(stream=False)] * 3, capacity=1)
    assert [each.head_ms for each in received] == pytest.approx([300, 600, 900])


@pytest.mark.parametrize("moment", ["queued", "before the head", "before a chunk", "in a stream"])
def test_who_leaves_gives_the_place_back(moment: str) -> None:
    async def scenario(clock: FakeClock) -> float:
        dummy = Dummy(None, tempo("300", "50"), capacity=1, clock=clock)
        first = asyncio.create_task(receive(dummy, asked(), clock))
        if moment == "queued":
            leaving = asyncio.create_task(receive(dummy, asked(), clock))
            await clock.sleep_until(1000.1)
            leaving.cancel()
            await first
        elif moment == "before a chunk":
            await first
            response = await dummy.handle(asked())
            assert not isinstance(response.body, bytes)
            await response.body.aclose()
            await response.body.aclose()  # A second time changes nothing.
        else:
            await clock.sleep_until(1000.1 if moment == "before the head" else 1000.32)
            first.cancel()
        begun_s = clock.now_s()
        await receive(dummy, asked(), clock)
        return clock.now_s() - begun_s

    assert played(scenario) == pytest.approx(0.3 + 11 * 0.1)  # of one place: at its capacity


# --- repeatability ------------------------------------------------------------------------------

RANDOM = ("lognormal(median=350,p95=900)", "exponential(20)")


def test_with_a_seed_a_run_can_be_repeated() -> None:
    def run(seed: int | None, *requests: Request) -> list[list[float]]:
        options = {"content": Content(seed=seed)}
        return [each.times_ms for each in answers(tempo(*RANDOM), *requests, **options)]

    requests = [asked("abcde"), asked("b"), asked("abcde")]
    one, other, again = run(7, *requests)
    assert run(7, *requests) == [one, other, again]
    assert run(7, *reversed(requests)) == [one, other, again]  # the N-th of its kind, in any order
    assert one != again
    assert run(8, *requests)[0] != one
    assert run(None, *requests) != run(None, *requests)


def test_what_is_counted_for_a_seed_stays_bounded() -> None:
    from replay_proxy.transports.dummy.timing.chances import Chances

    chances = Chances(7)
    first = chances.of("kept").random()
    for number in range(9_999):
        chances.of(str(number))
    assert chances.of("kept").random() != first
    for number in range(10_000):
        chances.of(str(number))
    assert chances.of("kept").random() == first


# --- settings -----------------------------------------------------------------------------------


def test_the_settings_say_the_tempo() -> None:
    settings = Settings(dummy_ttft_ms="normal(350,80)", dummy_tps=40, dummy_prefill_ms=25)
    assert Tempo.of(settings) == tempo("normal(350,80)", "25", prefill_ms=25.0)
    assert Tempo.of(Settings()).instant
    assert not Tempo.of(Settings(dummy_prefill_ms=1)).instant


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"dummy_ttft_ms": "fast"},
            "DUMMY_TTFT_MS=fast is not valid: 'fast' is not a number: it has",
        ),
        ({"dummy_itl_ms": "normal(1)"}, r"DUMMY_ITL_MS=normal\(1\) is not valid: normal is writ"),
        ({"dummy_itl_ms": "20", "dummy_tps": 50}, "DUMMY_TPS=50 and DUMMY_ITL_MS=20 say the same"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_remedy(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Tempo.of(Settings(**settings))
