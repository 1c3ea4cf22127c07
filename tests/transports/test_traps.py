"""The traps of recording, on real sockets: the proxy as a process, a scripted upstream.

Each trap also runs against recorders that are wrong on purpose and has to catch them.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.rawclient import NoAnswerError, RawClient, Throttle
from tests.support.requests import CHAT, chat_body, post
from tests.support.script import Answer, Cut, Gate, Hangup, Received, Step, Wait
from tests.support.servers import Proxy
from tests.support.tape import all_stored, stored
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

DONE = b"data: [DONE]\n\n"
DRAIN_S = 0.4


def event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"


@dataclass
class Scene:
    """A proxy in MODE=record, the upstream behind it, and the store it writes to."""

    upstream: Upstream
    proxy: Proxy
    store: Path
    answers: dict[bytes, Answer]

    def ask(self, answer: Answer, name: str) -> bytes:
        """The request of this name, to which the upstream will give ``answer``."""
        body = chat_body(stream=True, user=name)
        self.answers[body] = answer
        return body


@contextmanager
def scene(tmp_path: Path, app: str = "replay_proxy.main:app") -> Iterator[Scene]:
    """A scene whose proxy is the application of this name."""
    answers: dict[bytes, Answer] = {}
    proxy_class = type("ProxyOfApp", (Proxy,), {"app": app})
    with Upstream(lambda request: answers[request.body]) as upstream:
        proxy = proxy_class(
            tmp_path,
            MODE="record",
            STORE="store",
            UPSTREAM_BASE_URL=upstream.base_url,
            DRAIN_S=str(DRAIN_S),
        )
        try:
            yield Scene(upstream, proxy.start(), tmp_path / "store", answers)
        finally:
            proxy.kill()


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("right")) as it:
        yield it


# --- the traps ------------------------------------------------------------------------------


def leaving_at_done_keeps_the_answer(it: Scene) -> None:
    for number in range(10):
        steps: list[Step] = [event("a"), event(f"b{number}"), DONE, Wait(0.03)]
        sent = b"".join(step for step in steps if isinstance(step, bytes))
        body = it.ask(Answer(steps=steps), f"done {number}")
        with RawClient(it.proxy.base_url) as client:
            seen = client.request("POST", CHAT, body=body, leave_after=DONE)
        assert seen.body == sent
        kept = stored(it.store, post(body))
        assert kept is not None, "a client that has seen [DONE] can rely on it"
        assert kept.body == sent
        assert [chunk for _, chunk in kept.timeline.chunks(kept.body)] == steps[:3]


def an_early_abort_that_drains_in_time_is_kept_whole(it: Scene) -> None:
    steps: list[Step] = [event("a"), Wait(DRAIN_S / 4), event("b"), DONE]
    body = it.ask(Answer(steps=steps), "early, in time")
    with RawClient(it.proxy.base_url) as client:
        client.request("POST", CHAT, body=body, leave_after=b'"a"')
    assert it.upstream.requests[-1].finished.wait(5)
    kept = wait_until(lambda: stored(it.store, post(body)), timeout_s=2.0)
    assert kept is not None, "the end came within DRAIN_S"
    assert kept.body == event("a") + event("b") + DONE


def an_early_abort_that_does_not_drain_keeps_nothing(it: Scene) -> None:
    never = threading.Event()
    body = it.ask(Answer(steps=[event("a"), Gate(never), event("b"), DONE]), "early, too late")
    with RawClient(it.proxy.base_url) as client:
        client.request("POST", CHAT, body=body, leave_after=b'"a"')
    assert it.upstream.requests[-1].client_left.wait(5), "upstream is let go after DRAIN_S"
    leaving_at_done_keeps_the_answer(it)  # What was written before this is committed now.
    assert stored(it.store, post(body)) is None, "half an answer was stored"


def a_slow_client_does_not_stretch_recorded_time(it: Scene) -> None:
    chunk = b"data: " + b"x" * 100_000 + b"\n\n"
    # More than the kernel's buffers take, or nobody waits for the client.
    body = it.ask(Answer(steps=[chunk] * 120 + [DONE]), "slow client")
    throttle = Throttle(262_144, 0.02)
    with RawClient(it.proxy.base_url, throttle=throttle, receive_buffer=262_144) as client:
        seen = client.request("POST", CHAT, body=body)
    assert seen.body == chunk * 120 + DONE
    kept = stored(it.store, post(body))
    assert kept is not None
    assert kept.timeline.offsets_us[-1] < seen.offsets[-1] * 1e6 / 2, "the client's pace was stored"


def a_cut_upstream_cuts_the_client_and_stores_nothing(it: Scene) -> None:
    for name, end in (("reset", Cut()), ("closed", Hangup())):
        body = it.ask(Answer(steps=[event("a"), Wait(0.02), end]), f"cut: {name}")
        with RawClient(it.proxy.base_url) as client:
            try:
                seen = client.request("POST", CHAT, body=body)
            except NoAnswerError:
                pass
            else:
                assert not seen.clean, "a clean end hides the loss"
        assert stored(it.store, post(body)) is None, "half an answer was stored"


def answers_replay_in_the_order_of_arrival(it: Scene) -> None:
    first, second = threading.Event(), threading.Event()
    body = it.ask(Answer(), "order")
    gates = iter(((b"first", first), (b"second", second)))

    def answer(request: Received) -> Answer:
        word, gate = next(gates)
        return Answer(steps=[Gate(gate), b"data: " + word + b"\n\n", DONE])

    before = len(it.upstream.requests)
    usual, it.upstream.script = it.upstream.script, answer
    with RawClient(it.proxy.base_url) as one, RawClient(it.proxy.base_url) as two:
        ends = [
            threading.Thread(target=client.request, args=("POST", CHAT), kwargs={"body": body})
            for client in (one, two)
        ]
        ends[0].start()
        it.upstream.wait_for(before + 1)
        ends[1].start()
        it.upstream.wait_for(before + 2)
        second.set()
        ends[1].join()
        first.set()
        ends[0].join()
    it.upstream.script = usual
    kept = [answer.body for answer in all_stored(it.store, post(body), limit=2)]
    assert kept == [b"data: first\n\n" + DONE, b"data: second\n\n" + DONE]


def what_is_seen_is_stored_when_the_process_is_killed(it: Scene) -> None:
    body = it.ask(Answer(steps=[event("a"), DONE]), "killed")
    with RawClient(it.proxy.base_url) as client:
        seen = client.request("POST", CHAT, body=body, leave_after=DONE)
    it.proxy.kill()
    kept = stored(it.store, post(body))
    assert kept is not None, "a client saw [DONE] of an answer that is lost"
    assert kept.body == seen.body


TRAPS: dict[Callable[[Scene], None], tuple[str, ...]] = {
    leaving_at_done_keeps_the_answer: ("tee",),
    an_early_abort_that_drains_in_time_is_kept_whole: ("tee", "shielded_tee"),
    an_early_abort_that_does_not_drain_keeps_nothing: ("shielded_tee",),
    a_slow_client_does_not_stretch_recorded_time: ("tee",),
    a_cut_upstream_cuts_the_client_and_stores_nothing: ("tee_that_keeps_cuts",),
    answers_replay_in_the_order_of_arrival: ("tee_by_end",),
    what_is_seen_is_stored_when_the_process_is_killed: ("late_tee",),
}


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
def test_the_recorder_stays_out_of_the_trap(
    trap: Callable[[Scene], None], right: Scene, tmp_path: Path
) -> None:
    if trap is what_is_seen_is_stored_when_the_process_is_killed:
        with scene(tmp_path) as it:
            trap(it)
    else:
        trap(right)


@pytest.mark.parametrize(
    ("trap", "wrong"),
    [(trap, wrong) for trap, names in TRAPS.items() for wrong in names],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_the_trap_catches_a_wrong_recorder(
    trap: Callable[[Scene], None], wrong: str, tmp_path: Path
) -> None:
    with (
        scene(tmp_path, f"tests.support.wrong_recorders:{wrong}") as it,
        pytest.raises(AssertionError),
    ):
        trap(it)


def test_a_body_that_only_looks_like_a_stream_is_stored_whole_or_not_at_all(right: Scene) -> None:
    log = Answer(
        headers=((b"content-type", b"application/octet-stream"),),
        steps=[b"a log\n" + DONE, b"and more", Wait(0.02), Hangup()],
    )
    body = right.ask(log, "a download")
    with RawClient(right.proxy.base_url) as client:
        assert not client.request("POST", CHAT, body=body).clean
    assert stored(right.store, post(body)) is None


def test_text_that_talks_of_the_end_is_not_the_end(right: Scene) -> None:
    for padding in range(70):
        spoken = b'data: {"text": "it ends with data: [DONE]' + b"." * padding + b'"}\n\n'
        body = right.ask(Answer(steps=[spoken, spoken, Hangup()]), f"spoken {padding}")
        with RawClient(right.proxy.base_url) as client:
            assert not client.request("POST", CHAT, body=body).clean
        assert stored(right.store, post(body)) is None, padding


def test_what_follows_the_end_is_stored_once(right: Scene) -> None:
    steps: list[Step] = [DONE, *[b": bye %d\n\n" % number for number in range(50)]]
    body = right.ask(Answer(steps=steps), "much after the end")
    with RawClient(right.proxy.base_url) as client:
        seen = client.request("POST", CHAT, body=body)
    assert seen.chunks == steps
    kept = stored(right.store, post(body))
    assert kept is not None
    assert [chunk for _, chunk in kept.timeline.chunks(kept.body)] == steps
