"""Latencies fitted to recordings: reading streams, the fit, and the times drawn from it."""

import asyncio
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from replay_proxy.assembly import Assembly
from replay_proxy.cassette import Interaction, interaction_id
from replay_proxy.cli.commands import app
from replay_proxy.errors import ConfigurationError, StoreError
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.settings import Mode, Settings
from replay_proxy.timeline import Timeline
from replay_proxy.transports.dummy.timing.distributions import parse
from replay_proxy.transports.dummy.timing.fit import ANY, VALUES, Fit, fit_to
from replay_proxy.transports.dummy.timing.latencies import from_cassette, from_file
from replay_proxy.transports.dummy.timing.observations import Observation, observation_of
from replay_proxy.wire import Headers
from tests.support.clock import FakeClock
from tests.support.rawclient import RawAnswer, RawClient
from tests.support.requests import CHAT, JSON, chat_body, post
from tests.support.script import Answer, Received, Wait
from tests.support.servers import Proxy
from tests.support.tape import ARRIVALS, EVENTS, make
from tests.support.upstream import Upstream

ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def token(text: str = "t") -> bytes:
    delta = {"index": 0, "delta": {"content": text}}
    return b"data: " + json.dumps({"choices": [delta]}).encode() + b"\n\n"


def asked(prompt: str, model: str = "m", **more: Any) -> bytes:
    return chat_body(prompt, model=model, stream=True, **more)


def stream(
    *timed: tuple[float, bytes],
    body: bytes = b'{"model":"m"}',
    headers: Headers = EVENTS,
    path: str = CHAT,
) -> Interaction:
    """A recorded stream of chunks, each with its offset in ms."""
    arrived_us = ARRIVALS.next_us()
    request = post(body, path, JSON, arrived_us=arrived_us)
    offsets_us = tuple(round(at_ms * 1000) for at_ms, _ in timed)
    ends = tuple(accumulate(len(chunk) for _, chunk in timed))
    return Interaction(
        id=interaction_id(arrived_us, 7),
        fingerprint=fingerprint(request),
        request=request,
        status=200,
        headers=headers,
        body=b"".join(chunk for _, chunk in timed),
        timeline=Timeline(offsets_us[0], offsets_us, ends, offsets_us[-1]),
    )


# --- what is observed ---------------------------------------------------------------------------


def test_the_first_token_is_the_first_event_with_content_and_not_the_role() -> None:
    found = observation_of(
        stream((300, ROLE), (350, token()), (370, token()), (400, token()), (410, END))
    )
    assert found == Observation("m", 13, 350.0, (20.0, 30.0))


def test_events_in_one_chunk_came_together_and_one_in_two_chunks_came_with_the_second() -> None:
    half = token()[:20]
    found = observation_of(
        stream((350, ROLE + token() + token() + half), (400, token()[20:] + END))
    )
    assert found
    assert (found.ttft_ms, found.gaps_ms) == (350.0, (0.0, 50.0))


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":[{"text":"a"}]}\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\r\n\r\n',
        b'data: {"choices":[{"delta":{"reasoning_content":"a"}}]}\n\n',
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
        b'"delta":"a"}\n\n',
        b'data: {"type":"response.function_call_arguments.delta","delta":"{"}\n\n',
    ],
)
def test_whatever_a_model_says_is_a_token(event: bytes) -> None:
    found = observation_of(stream((10, b": comment\n\n" + event)))
    assert found
    assert found.ttft_ms == 10


@pytest.mark.parametrize(
    "event",
    [
        ROLE,
        END,
        b'data: {"choices":[],"usage":{"total_tokens":1}}\n\n',
        b'data: {"type":"response.created","response":{}}\n\n',
        b'data: {"choices":[null,3]}\n\n',
        b"data: 3\n\n",
        b'data: {"choices":[{"delta":{"content":"unfinished"}}]}\n',
    ],
)
def test_what_says_nothing_is_no_token(event: bytes) -> None:
    assert observation_of(stream((10, event))) is None


def test_a_whole_and_a_compressed_answer_tell_no_time() -> None:
    assert observation_of(stream((10, b'{"choices":[{"text":"a"}]}'), headers=JSON)) is None
    import gzip

    zipped = gzip.compress(ROLE + token() + END)
    assert (
        observation_of(stream((10, zipped), headers=(*EVENTS, (b"content-encoding", b"gzip"))))
        is None
    )


def test_azures_deployment_is_the_model() -> None:
    path = "/openai/deployments/mine/chat/completions"
    found = observation_of(stream((10, token()), path=path, body=b"{}"))
    assert found
    assert found.model == "mine"


# --- recorded and simulated distributions agree -------------------------------------------------


def agree(one: Sequence[float], other: Sequence[float], *, level: float = 0.001) -> bool:
    """Whether both samples have one distribution: Kolmogorov-Smirnov (Smirnov 1939, asymptotic)."""
    steps = [(value, 1 / len(one), 0.0) for value in one]
    points = sorted(steps + [(value, 0.0, 1 / len(other)) for value in other])
    first = second = distance = 0.0
    for number, (value, step, other_step) in enumerate(points):
        first, second = first + step, second + other_step
        if number + 1 == len(points) or points[number + 1][0] != value:
            distance = max(distance, abs(first - second))
    size = len(one) * len(other) / (len(one) + len(other))
    return distance <= math.sqrt(-math.log(level / 2) / 2 / size)


def made_up(count: int, seed: int) -> list[Observation]:
    """TTFT grows by 80 ms per kB of the prompt; residuals, gaps and lengths have long tails."""
    rng = Random(seed)
    noise, gap, length = (
        parse("lognormal(100,300)"),
        parse("exponential(20)"),
        parse("normal(40,9)"),
    )
    found = []
    for _ in range(count):
        prompt_bytes = rng.randint(100, 8000)
        ttft_ms = 200 + 80 * prompt_bytes / 1000 + noise.sample(rng)
        gaps_ms = tuple(gap.sample(rng) for _ in range(round(length.sample(rng))))
        found.append(Observation("m", prompt_bytes, ttft_ms, gaps_ms))
    return found


def simulated(fit: Fit, prompts: Sequence[int], seed: int) -> dict[str, list[float]]:
    rng, model = Random(seed), fit.of("m")
    return {
        "ttft": [model.ttft_ms(prompt).sample(rng) for prompt in prompts],
        "gaps": [model.gaps_ms.sample(rng) for _ in range(5000)],
        "tokens": [model.tokens.sample(rng) for _ in prompts],
    }


def recorded(observations: Sequence[Observation]) -> dict[str, list[float]]:
    return {
        "ttft": [each.ttft_ms for each in observations],
        "gaps": [gap for each in observations for gap in each.gaps_ms],
        "tokens": [len(each.gaps_ms) + 1.0 for each in observations],
    }


@pytest.mark.parametrize("quantity", ["ttft", "gaps", "tokens"])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_simulated_agrees_with_the_half_that_the_fit_has_not_seen(
    seed: int, quantity: str
) -> None:
    observations = made_up(800, seed)
    seen, held_out = observations[::2], observations[1::2]
    fit = fit_to(seen)
    again = simulated(fit, [each.prompt_bytes for each in held_out], seed)[quantity]
    assert agree(again, recorded(seen)[quantity])
    assert agree(again, recorded(held_out)[quantity])


@pytest.mark.parametrize("quantity", ["ttft", "gaps", "tokens"])
def test_the_test_of_agreement_sees_what_is_a_fifth_slower(quantity: str) -> None:
    observations = made_up(800, 1)
    again = simulated(fit_to(observations), [each.prompt_bytes for each in observations], 1)
    assert not agree([1.2 * value for value in again[quantity]], recorded(observations)[quantity])


def test_without_the_prompts_length_the_distributions_would_not_agree() -> None:
    observations = [each for each in made_up(2000, 2) if each.prompt_bytes < 2000]
    fit = fit_to(made_up(800, 2))
    again = simulated(fit, [each.prompt_bytes for each in observations], 2)["ttft"]
    assert agree(again, recorded(observations)["ttft"])
    average = simulated(fit, [4000] * len(observations), 2)["ttft"]
    assert not agree(average, recorded(observations)["ttft"])


def test_stragglers_do_not_bend_the_slope() -> None:
    observations = made_up(500, 3)
    for number in range(0, 500, 10):
        one = observations[number]
        observations[number] = Observation("m", one.prompt_bytes, 60_000.0, one.gaps_ms)
    assert fit_to(observations).of("m").per_kb_ms == pytest.approx(80, rel=0.15)


def test_a_few_streams_or_lengths_tell_no_slope() -> None:
    assert fit_to(made_up(9, 1)).of("m").per_kb_ms == 0
    same = [Observation("m", 100 + number % 2, 10.0 * number, ()) for number in range(50)]
    assert fit_to(same).of("m").per_kb_ms == 0
    falling = [Observation("m", 100 * number, 1000.0 - number, ()) for number in range(50)]
    assert fit_to(falling).of("m").per_kb_ms == 0


def test_each_model_has_its_own_fit_and_an_unknown_one_that_of_all() -> None:
    fast, slow = Observation("fast", 10, 100.0, (5.0,)), Observation("slow", 10, 900.0, (50.0,))
    fit = fit_to([fast, slow])
    assert list(fit.models) == ["fast", "slow", ANY]
    assert fit.of("fast").ttft_ms(10).quantile(0.5) == 100
    assert fit.of("slow").gaps_ms.values == (50.0,)
    assert fit.of("new").gaps_ms.values == (5.0, 50.0)


def test_a_fit_is_small_and_survives_its_json() -> None:
    fit = fit_to(made_up(800, 4))
    text = orjson.dumps(fit.to_json())
    assert len(text) < 20_000
    again = Fit.from_json(orjson.loads(text))
    assert again.to_json() == fit.to_json()
    assert len(again.of("m").gaps_ms.values) == VALUES


def test_a_fit_of_version_1_is_read() -> None:
    fit = fit_to(made_up(30, 4)).to_json()
    former: dict[str, Any] = {"version": 1, "models": {}}
    for name, each in fit["models"].items():
        others = {key: each[key] for key in ("ttft_ms", "gaps_ms")}
        named = {"streams": each["streams_total"], "tokens": each["answer_tokens"]}
        former["models"][name] = others | named
    assert Fit.from_json(former).to_json() == fit


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"version":3,"models":{}}', b'{"version":2,"models":{"*":{}}}']
)
def test_a_file_that_is_no_fit_is_refused_with_the_remedy(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "fit.json").write_bytes(text)
    with pytest.raises(ConfigurationError, match=r"fit\.json cannot be read: .* -o FILE"):
        from_file(tmp_path / "fit.json")


# --- cassettes ----------------------------------------------------------------------------------


def cassette(directory: Path, observations: Sequence[Observation], name: str = "prod") -> Path:
    """A cassette of chat streams with these times."""
    interactions = []
    for number, each in enumerate(observations):
        frame = len(asked(f"{number:05}", each.model))
        body = asked(f"{number:05}" + "x" * (each.prompt_bytes - frame), each.model)
        times_ms = accumulate(each.gaps_ms, initial=each.ttft_ms)
        timed = [(at_ms, token()) for at_ms in times_ms]
        timed = [(each.ttft_ms - 5, ROLE), *timed, (timed[-1][0], END)]
        interactions.append(stream(*timed, body=body))
    directory.mkdir(exist_ok=True)
    return make(directory / f"{name}.sqlite", interactions)


def test_a_cassette_is_fitted_and_written_and_used(tmp_path: Path) -> None:
    path = cassette(tmp_path, made_up(30, 5))
    written = tmp_path / "fit.json"
    command = ["fit", str(path), "-o", str(written)]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert "TTFT [ms]" in shown.output
    assert "ms per kB" in shown.output
    printed = CliRunner().invoke(app, [*command, "--json"])
    document = json.loads(printed.stdout)
    assert document == orjson.loads(written.read_bytes()) == from_cassette(path).to_json()
    assert document["models"]["m"]["streams_total"] == 30
    assert from_file(written).to_json() == document


def test_a_cassette_without_streams_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = make(tmp_path / "a.sqlite", [stream((1, b"{}"), headers=JSON)])
    with pytest.raises(ConfigurationError, match=r"nothing to fit: .* Record streamed answers"):
        from_cassette(path)
    with pytest.raises(StoreError, match="does not exist"):
        from_cassette(tmp_path / "b.sqlite")


def settings(store: Path, **more: Any) -> Settings:
    return Settings(mode=Mode.DUMMY, store=store, dummy_latency="cassette:prod", **more)


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * len(values))]


def test_a_dummy_run_has_the_quantiles_of_the_cassette(tmp_path: Path) -> None:
    """TTFT and gaps, p50 and p95, within 10 %."""
    observations = made_up(300, 6)
    cassette(tmp_path, observations)

    async def scenario() -> tuple[list[float], list[float], list[float]]:
        clock = FakeClock()
        driver = asyncio.create_task(clock.drive())
        transport = Assembly(settings(tmp_path, dummy_seed=1), clock=clock).transport(None)
        ttfts_ms, tokens = list[float](), list[float]()
        gaps_ms = list[float]()

        async def one(prompt_bytes: int, number: int) -> None:
            begun_s = clock.now_s()
            body = asked(f"{number:05}" + "x" * (prompt_bytes - len(asked("12345"))))
            response = await transport.handle(post(body))
            assert not isinstance(response.body, bytes)
            times_s = []
            async for chunk in response.body:
                times_s += [clock.now_s()] * chunk.count(b'"content":"')
            await response.body.aclose()
            del times_s[0]  # The role's.
            ttfts_ms.append(1000 * (times_s[0] - begun_s))
            gaps_ms.extend(1000 * (after - before) for before, after in pairwise(times_s))
            tokens.append(float(len(times_s)))

        for number, each in enumerate(observations * 2):
            await one(each.prompt_bytes, number)
        driver.cancel()
        return ttfts_ms, gaps_ms, tokens

    again = asyncio.run(scenario())
    for name, values in zip(("ttft", "gaps", "tokens"), again, strict=True):
        for share in (0.5, 0.95):
            expected = quantile(recorded(observations)[name], share)
            assert quantile(values, share) == pytest.approx(expected, rel=0.1), (name, share)
        assert agree(values, recorded(observations)[name]), name


def test_what_is_set_goes_before_what_is_fitted(tmp_path: Path) -> None:
    cassette(tmp_path, [Observation("m", 100, 700.0, (30.0,) * 4)] * 3)

    def times_ms(body: bytes = asked("hi"), **more: Any) -> list[float]:
        async def scenario() -> list[float]:
            clock = FakeClock()
            driver = asyncio.create_task(clock.drive())
            transport = Assembly(settings(tmp_path, **more), clock=clock).transport(None)
            request = post(body)
            response = await transport.handle(request)
            assert not isinstance(response.body, bytes)
            times = [round(1000 * (clock.now_s() - 1000), 3) async for _ in response.body]
            driver.cancel()
            return times

        return asyncio.run(scenario())

    assert times_ms() == [700, 730, 760, 790, 820]
    assert times_ms(dummy_ttft_ms="100") == [100, 130, 160, 190, 220]
    assert times_ms(dummy_itl_ms="1", dummy_tokens="2") == [700, 701]
    assert times_ms(asked("hi", "another")) == [700, 730, 760, 790, 820]


def test_a_mode_that_has_no_dummy_reads_no_fit(tmp_path: Path) -> None:
    cassette(tmp_path, [Observation("m", 100, 700.0, ())], name="default")
    Assembly(Settings(mode=Mode.REPLAY, store=tmp_path, dummy_latency="cassette:missing"))
    with pytest.raises(StoreError, match="missing"):
        Assembly(Settings(mode=Mode.DUMMY, store=tmp_path, dummy_latency="cassette:missing"))


@pytest.mark.slow
def test_a_cassette_recorded_from_a_timed_upstream_is_fitted_and_reproduced(tmp_path: Path) -> None:
    """On real sockets and clocks, and so with a wide tolerance of 20 %."""

    def script(request: Received) -> Answer:
        rng = Random(request.body)
        steps: list[Any] = [Wait(rng.uniform(0.1, 0.3)), ROLE + token()]
        for _ in range(8):
            steps += [Wait(rng.uniform(0.02, 0.06)), token()]
        return Answer(steps=[*steps, END])

    def run(base_url: str, count: int) -> tuple[list[float], list[float]]:
        def one(number: int) -> RawAnswer:
            with RawClient(base_url) as client:
                return client.request("POST", CHAT, JSON, asked(f"question {number}"))

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(one, range(count)))
        assert all(each.status == 200 for each in answers)
        times_ms = [[1000 * offset for offset in each.offsets[:9]] for each in answers]
        gaps_ms = [after - before for each in times_ms for before, after in pairwise(each)]
        return [each[0] for each in times_ms], gaps_ms

    store = tmp_path / "cassettes"
    store.mkdir()
    with (
        Upstream(script) as upstream,
        Proxy(tmp_path, MODE="record", CASSETTE="prod", UPSTREAM_BASE_URL=upstream.base_url) as it,
    ):
        recorded_ms = run(it.base_url, 100)
    latency = {"DUMMY_LATENCY": "cassette:prod", "DUMMY_SEED": "1"}
    with Proxy(tmp_path, MODE="dummy", **latency) as it:
        again_ms = run(it.base_url, 150)
    for values, expected in zip(again_ms, recorded_ms, strict=True):
        for share in (0.5, 0.95):
            assert quantile(values, share) == pytest.approx(quantile(expected, share), rel=0.2)
