"""The clock, the arrivals of requests, and the time at which a recorded chunk is due."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.timeline import Arrivals, MonotonicClock, Pacing, Timeline

# --- Timeline -----------------------------------------------------------------------------------


def timeline(chunks: list[bytes], offsets_us: list[int]) -> Timeline:
    """The timeline of an answer in these chunks."""
    ends = tuple(accumulate(map(len, chunks)))
    return Timeline(0, tuple(offsets_us), ends, offsets_us[-1] if offsets_us else 0)


@given(st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 10**9)), max_size=30))
def test_every_chunk_comes_back_with_its_bytes_and_its_offset(
    arrived: list[tuple[bytes, int]],
) -> None:
    chunks = [chunk for chunk, _ in arrived]
    offsets_us = sorted(offset for _, offset in arrived)
    again = list(timeline(chunks, offsets_us).chunks(b"".join(chunks)))
    assert again == list(zip(offsets_us, chunks, strict=True))


@given(st.binary(max_size=200), st.sets(st.integers(1, 199)))
def test_the_chunks_of_a_body_are_the_body_however_it_was_cut(
    body: bytes, places: set[int]
) -> None:
    ends = (*sorted(place for place in places if place < len(body)), len(body))
    it = Timeline(0, tuple(range(len(ends))), ends, len(ends))
    assert b"".join(chunk for _, chunk in it.chunks(body)) == body


def test_chunks_may_be_cut_inside_a_character() -> None:
    body = "안녕".encode()
    it = Timeline(0, (5, 5, 9), (1, 4, 6), 9)
    assert list(it.chunks(body)) == [(5, body[:1]), (5, body[1:4]), (9, body[4:])]


def test_an_answer_without_a_body_has_no_chunks() -> None:
    assert list(Timeline(3, (), (), 3).chunks(b"")) == []


@pytest.mark.parametrize(("offsets_us", "ends"), [((1, 2), (1,)), ((1,), (1, 2))])
def test_a_chunk_without_its_offset_is_an_error(
    offsets_us: tuple[int, ...], ends: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="argument 2 is"):
        list(Timeline(0, offsets_us, ends, 9).chunks(b"ab"))


# --- Pacing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speed", "due_s"),
    [(0, 100.0), (1, 102.5), (2, 101.25), (10, 100.25), (0.5, 105.0)],
)
def test_a_chunk_is_due_at_its_offset_divided_by_the_speed(speed: float, due_s: float) -> None:
    assert Pacing(speed).due_s(100.0, 2_500_000) == pytest.approx(due_s)


def test_only_speed_0_is_instant() -> None:
    assert [Pacing(speed).instant for speed in (0, 0.0, 0.001, 1, 100)] == [
        True,
        True,
        False,
        False,
        False,
    ]


@given(
    st.floats(0, 1e6),
    st.lists(st.integers(0, 10**10), min_size=2, max_size=20).map(sorted),
    st.just(0.0) | st.floats(0.01, 1000),
)
def test_deadlines_are_absolute_and_keep_the_order_of_the_chunks(
    start_s: float, offsets_us: list[int], speed: float
) -> None:
    due = [Pacing(speed).due_s(start_s, offset) for offset in offsets_us]
    assert due == sorted(due)
    assert due[0] >= start_s
    for offset, moment in zip(offsets_us, due, strict=True):
        # Counted from the start and not from the chunk before: lateness never adds up.
        assert moment == Pacing(speed).due_s(start_s, offset)
        assert moment - start_s == pytest.approx(offset / 1e6 / speed if speed else 0, abs=1e-6)


# --- Arrivals -----------------------------------------------------------------------------------


def set_wall_clock(monkeypatch: pytest.MonkeyPatch, readings_ns: list[int]) -> None:
    readings: Iterator[int] = iter(readings_ns)
    monkeypatch.setattr(time, "time_ns", lambda: next(readings))


def test_an_arrival_is_the_wall_clock_in_microseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    set_wall_clock(monkeypatch, [1_700_000_000_123_456_789, 1_700_000_000_123_999_999])
    arrivals = Arrivals()
    assert arrivals.next_us() == 1_700_000_000_123_456
    assert arrivals.next_us() == 1_700_000_000_123_999


@pytest.mark.parametrize(
    "readings_us",
    [
        pytest.param([1000] * 50, id="stands still"),
        pytest.param([1000, 1000, 999, 500, 0], id="goes back"),
        pytest.param([1000, 1000, 1001, 1001, 1002, 1003], id="is caught up with"),
        pytest.param([1000, 3_600_001_000, 1000, 3_600_001_000], id="jumps and comes back"),
    ],
)
def test_arrivals_increase_though_the_clock_does_not(
    monkeypatch: pytest.MonkeyPatch, readings_us: list[int]
) -> None:
    set_wall_clock(monkeypatch, [reading * 1000 for reading in readings_us])
    arrivals = Arrivals()
    stamps = [arrivals.next_us() for _ in readings_us]
    assert all(before < after for before, after in pairwise(stamps))


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=50))
def test_arrivals_increase_and_are_never_before_the_clock(readings_ns: list[int]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_wall_clock(monkeypatch, readings_ns)
        arrivals = Arrivals()
        stamps = [arrivals.next_us() for _ in readings_ns]
    assert all(before < after for before, after in pairwise(stamps))
    assert all(stamp >= reading // 1000 for stamp, reading in zip(stamps, readings_ns, strict=True))


def test_arrivals_return_to_the_clock_once_it_has_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_wall_clock(monkeypatch, [5_000_000, 5_000_000, 5_000_000, 9_000_000])
    arrivals = Arrivals()
    assert [arrivals.next_us() for _ in range(4)] == [5000, 5001, 5002, 9000]


# --- MonotonicClock -----------------------------------------------------------------------------


def test_a_deadline_that_has_passed_is_not_waited_for_but_lets_others_run() -> None:
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    async def scenario() -> None:
        clock = MonotonicClock()
        task = asyncio.create_task(other())
        await clock.sleep_until(clock.now_s() - 1000)
        turns.append("back")
        await task

    asyncio.run(scenario())
    assert turns == ["other", "back"]


def test_nobody_is_woken_before_the_deadline_and_lateness_does_not_add_up() -> None:
    clock = MonotonicClock()
    woken: list[tuple[float, float]] = []

    async def sleeper(begun_s: float) -> None:
        for number in range(1, 31):
            deadline_s = begun_s + number * 0.0013
            await clock.sleep_until(deadline_s)
            woken.append((deadline_s, clock.now_s()))

    async def scenario() -> None:
        begun_s = clock.now_s()
        await asyncio.gather(*(sleeper(begun_s + number * 0.0001) for number in range(20)))

    asyncio.run(scenario())
    assert all(deadline_s <= now_s for deadline_s, now_s in woken)


class Timers:
    """The timers set on the running loop, and a monotonic clock set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 50.0
        self.set: list[tuple[float, Callable[[], None]]] = []
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", self._call_later)

    def _call_later(self, delay_s: float, call: Callable[..., None], *given: object) -> None:
        self.set.append((self.now_s + delay_s, lambda: call(*given)))

    def fire(self, early_s: float = 0.0) -> None:
        when_s, call = min(self.set, key=lambda timer: timer[0])
        self.set.remove((when_s, call))
        self.now_s = when_s - early_s
        call()


async def begin(*sleeps: Coroutine[None, None, None]) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(sleep) for sleep in sleeps]
    await asyncio.sleep(0)
    return tasks


def test_those_who_are_due_in_one_tick_share_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        timers, clock = Timers(monkeypatch), MonotonicClock()
        due = (50.0101, 50.0105, 50.0109, 50.0113)
        tasks = await begin(*map(clock.sleep_until, due))
        assert [when_s for when_s, _ in timers.set] == pytest.approx([50.011, 50.012])
        timers.fire()
        await asyncio.sleep(0)
        assert [task.done() for task in tasks] == [True, True, True, False]
        timers.fire()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_a_timer_that_is_early_is_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        timers, clock = Timers(monkeypatch), MonotonicClock()
        (task,) = await begin(clock.sleep_until(50.75))
        timers.fire(early_s=0.0004)
        await asyncio.sleep(0)
        assert not task.done()
        timers.fire()
        await task

    asyncio.run(scenario())


def test_a_sleeper_that_is_cancelled_keeps_nobody_from_waking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        timers, clock = Timers(monkeypatch), MonotonicClock()
        one, other = await begin(clock.sleep_until(50.75), clock.sleep_until(50.75))
        one.cancel()
        await asyncio.sleep(0)
        timers.fire()
        await other

    asyncio.run(scenario())
