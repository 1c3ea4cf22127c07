"""Refreshing asks the API again: wording is no drift, shape is, and nothing changes unasked."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from replay_proxy.cassette import Interaction
from replay_proxy.cli.commands import app
from replay_proxy.cli.refresh import sender
from replay_proxy.errors import ConfigurationError, StoreError
from replay_proxy.store.archive import Archive
from replay_proxy.store.writing import writer
from tests.support.script import EVENT_STREAM, JSON, Answer, Cut, Gate, Received, Wait
from tests.support.tape import EVENTS, all_stored, make, recorded
from tests.support.upstream import Upstream

KEY = "a-key-of-the-real-api"


def chat(text: str = "Hi", **more: Any) -> bytes:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    value = {"id": text, "object": "chat.completion", "model": "m", "choices": [choice], **more}
    return json.dumps(value).encode()


def call(arguments: str) -> bytes:
    function = {"name": "weather", "arguments": arguments}
    tool_call = {"id": "c", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [tool_call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


def events(*texts: str) -> list[bytes]:
    deltas = [
        json.dumps({"object": "chat.completion.chunk", "choices": [{"delta": {"content": text}}]})
        for text in texts
    ]
    return [f"data: {delta}\n\n".encode() for delta in deltas] + [b"data: [DONE]\n\n"]


class Refreshing:
    """A store with a cassette ``a``, and an upstream that answers by the last message."""

    def __init__(self, directory: Path) -> None:
        self.store = directory
        self.path = directory / "a.sqlite"
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.upstream = Upstream(self._answer)

    def __call__(self, *words: str, code: int = 0, cassette: str = "a") -> Any:
        command = ["refresh", cassette, "--store", str(self.store), *words]
        result = CliRunner().invoke(app, command)
        if isinstance(result.exception, ConfigurationError):
            raise result.exception
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if "--json" in words else result.stdout

    def one(self, before: bytes, now: bytes, *, code: int = 0) -> list[tuple[str, str, str, str]]:
        """The findings, but for wording, on one question's answer that is another now."""
        make(self.path, [recorded("Q", before)])
        self.answers["Q"] = Answer(headers=JSON, steps=[now], framing="length")
        (found,) = self("--json", code=code)["interactions"]
        return [
            (each["change"], each["place"], each["recorded_value"], each["new_value"])
            for each in found["findings"]
            if each["change"] != "wording"
        ]

    def _answer(self, request: Received) -> Answer:
        question = json.loads(request.body)["messages"][-1]["content"]
        answer = self.answers[question]
        return answer.pop(0) if isinstance(answer, list) else answer


@pytest.fixture
def refreshing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sender, "WAIT_S", 0.001)
    monkeypatch.chdir(tmp_path)
    it = Refreshing(tmp_path)
    with it.upstream:
        monkeypatch.setenv("UPSTREAM_BASE_URL", it.upstream.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield it


def plain(body: bytes) -> Answer:
    return Answer(headers=JSON, steps=[body], framing="length")


def test_other_wording_is_no_drift(refreshing: Refreshing) -> None:
    assert refreshing.one(chat("Paris."), chat("It is Paris!")) == []
    assert "0 same, 1 wording, 0 added, 0 drifted, 0 failed" in refreshing()


def test_other_wording_cut_into_other_chunks_is_no_drift(refreshing: Refreshing) -> None:
    make(refreshing.path, [recorded("Q", *events("Pa", "ris"), headers=EVENTS)])
    refreshing.answers["Q"] = Answer(headers=EVENT_STREAM, steps=events("It", " is ", "Paris"))
    assert refreshing("--json")["outcomes"]["wording_total"] == 1


def test_a_field_that_was_dropped_is_drift_and_says_where(refreshing: Refreshing) -> None:
    before, now = chat(service_tier="default"), chat()
    ((change, path, *_),) = refreshing.one(before, now, code=1)
    assert (change, path) == ("removed", "$.service_tier")
    shown = refreshing(code=1)
    assert 'drifted: POST /v1/chat/completions m "Q' in shown
    assert "removed $.service_tier" in shown


def test_a_field_that_was_added_is_told_and_fails_nothing(refreshing: Refreshing) -> None:
    ((change, path, *_),) = refreshing.one(chat(), chat(service_tier="default"))
    assert (change, path) == ("added", "$.service_tier")
    assert "added $.service_tier" in refreshing()


def test_a_tool_argument_that_was_renamed_is_drift(refreshing: Refreshing) -> None:
    found = refreshing.one(call('{"city":"Seoul"}'), call('{"place":"Seoul"}'), code=1)
    arguments = "$.choices[*].message.tool_calls[*].function.arguments"
    assert [each[1] for each in found if each[0] == "removed"] == [f"{arguments}.city"]


@pytest.mark.parametrize("steps", [events("Hi")[:-1], [*events("Hi")[:-1], Cut()]])
def test_an_answer_that_was_cut_is_drift(refreshing: Refreshing, steps: list[Any]) -> None:
    make(refreshing.path, [recorded("Q", *events("Hi"), headers=EVENTS)])
    refreshing.answers["Q"] = Answer(headers=EVENT_STREAM, steps=steps)
    (found,) = refreshing("--json", "--record", code=1)["interactions"]
    assert ("changed", "end") in [(each["change"], each["place"]) for each in found["findings"]]


def test_it_sends_what_was_recorded_with_the_key_and_stores_neither(
    refreshing: Refreshing,
) -> None:
    one = recorded("Q", chat())
    make(refreshing.path, [one])
    before = refreshing.path.read_bytes()
    refreshing.answers["Q"] = plain(chat("other"))
    refreshing()
    (request,) = refreshing.upstream.wait_for(1)
    assert (request.method, request.target) == (one.request.method, one.request.path)
    assert request.body == one.request.body
    assert request.header(b"authorization") == b"Bearer " + KEY.encode()
    assert refreshing.path.read_bytes() == before
    refreshing("--record")
    assert KEY.encode() not in refreshing.path.read_bytes()


def answers(refreshing: Refreshing, question: str, limit: int = 2) -> list[bytes]:
    asked = recorded(question).request
    return [each.body for each in all_stored(refreshing.store, asked, limit=limit, cassette="a")]


def test_record_keeps_the_new_answers_as_a_newer_take(refreshing: Refreshing) -> None:
    make(refreshing.path, [recorded("Q", chat("1")), recorded("R", chat("2"))])
    refreshing.answers |= {"Q": plain(chat("3")), "R": plain(chat("4"))}
    assert refreshing("--record", "--json")["recorded_total"] == 2
    assert answers(refreshing, "Q", 1) == [chat("3")]
    assert answers(refreshing, "R", 1) == [chat("4")]
    with Archive(refreshing.path) as archive:
        assert len(archive.takes()) == 2
        assert len(list(archive.interactions())) == 4


def test_of_a_repeated_request_all_answers_are_kept_or_none(refreshing: Refreshing) -> None:
    make(refreshing.path, [recorded(each, chat(f"old {each}")) for each in "QRQ"])
    failing = Answer(status=500, headers=JSON, steps=[b"{}"], framing="length")
    refreshing.answers |= {"Q": [plain(chat("new")), *[failing] * 4], "R": plain(chat("new R"))}
    found = refreshing("--record", "--json", code=1)
    assert sorted(each["outcome"] for each in found["interactions"]) == [
        "failed",
        "wording",
        "wording",
    ]
    assert found["recorded_total"] == 1
    assert answers(refreshing, "Q") == [chat("old Q"), chat("old Q")]
    assert answers(refreshing, "R", 1) == [chat("new R")]
    with Archive(refreshing.path) as archive:
        assert len(list(archive.interactions())) == 4


def test_a_stream_that_breaks_off_behind_its_last_event_is_whole(refreshing: Refreshing) -> None:
    make(refreshing.path, [recorded("Q", *events("Hi"), headers=EVENTS) for _ in range(2)])
    whole = b"".join(events("Ho"))
    late = Answer(headers=EVENT_STREAM, steps=[whole, Wait(0.05), Cut()])
    refreshing.answers["Q"] = [late, Answer(headers=EVENT_STREAM, steps=[whole])]
    found = refreshing("--record", "--json")
    assert (found["outcomes"]["wording_total"], found["recorded_total"]) == (2, 2)
    assert answers(refreshing, "Q") == [whole, whole]


def test_an_answer_that_cannot_be_kept_is_not_paid_for_again(
    refreshing: Refreshing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("The disk is full.")

    make(refreshing.path, [recorded("Q", chat("old"))])
    refreshing.answers["Q"] = plain(chat("new"))
    monkeypatch.setattr(writer, "open_to_write", fail)
    result = CliRunner().invoke(app, ["refresh", "a", "--record", "--store", str(refreshing.store)])
    assert str(result.exception) == "The disk is full."
    assert len(refreshing.upstream.requests) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_refresh_that_is_interrupted_keeps_no_part_of_a_repeated_request(
    refreshing: Refreshing, number: signal.Signals
) -> None:
    make(refreshing.path, [recorded("Q", chat(f"old {n}")) for n in range(12)])
    last = threading.Event()
    new = plain(chat("new"))
    refreshing.answers["Q"] = [new] * 5 + [Answer(headers=JSON, steps=[Gate(last)])] * 7
    tool = subprocess.Popen(
        [sys.executable, "-m", "replay_proxy.cli", "refresh", "a", "--record", "--store", "."],
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL) if number != 9 else None,
        env=os.environ | {"REPLAY_PROXY_DRAIN_S": "0", "MODE": "production"},
    )
    refreshing.upstream.wait_for(8)
    tool.send_signal(number)
    assert tool.wait(30) == (-number if number == signal.SIGKILL else 128 + number)
    last.set()
    assert answers(refreshing, "Q", 12) == [chat(f"old {n}") for n in range(12)]
    assert os.listdir() == ["a.sqlite"]


def test_the_api_says_how_long_to_wait(
    refreshing: Refreshing, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits_s: list[float] = []
    pause = asyncio.sleep

    async def wait(seconds: float, result: Any = None) -> Any:
        waits_s.append(seconds)
        return await pause(0, result)

    monkeypatch.setattr(asyncio, "sleep", wait)
    make(refreshing.path, [recorded("Q", chat())])
    busy = Answer(
        status=429, headers=[*JSON, (b"retry-after", b"7")], steps=[b"{}"], framing="length"
    )
    refreshing.answers["Q"] = [busy, plain(chat())]
    assert refreshing("--json")["outcomes"]["same_total"] == 1
    assert 7 in waits_s


def test_only_what_replay_uses_is_asked(refreshing: Refreshing) -> None:
    make(refreshing.path, [recorded("Q", chat("old"))], [recorded("Q", chat("new"))])
    refreshing.answers["Q"] = plain(chat("new"))
    assert refreshing("--json")["outcomes"]["same_total"] == 1
    assert len(refreshing.upstream.requests) == 1


def test_a_transient_answer_is_asked_for_again(refreshing: Refreshing) -> None:
    make(refreshing.path, [recorded("Q", chat())])
    busy = Answer(status=429, headers=JSON, steps=[b"{}"], framing="length")
    refreshing.answers["Q"] = [busy, busy, plain(chat())]
    assert refreshing("--json")["outcomes"]["same_total"] == 1
    refreshing.answers["Q"] = busy
    (found,) = refreshing("--json", code=1)["interactions"]
    assert (found["outcome"], found["error"]) == ("failed", "The upstream answers 429.")


def test_another_status_is_drift_unless_it_is_about_the_key(refreshing: Refreshing) -> None:
    make(refreshing.path, [recorded("Q", chat())])
    gone = Answer(status=404, headers=JSON, steps=[b'{"error":{}}'], framing="length")
    refreshing.answers["Q"] = gone
    (found,) = refreshing("--json", code=1)["interactions"]
    assert [each["place"] for each in found["findings"] if each["change"] == "changed"] == [
        "status"
    ]
    refreshing.answers["Q"] = Answer(status=401, headers=JSON, steps=[b"{}"], framing="length")
    with pytest.raises(ConfigurationError, match="does not accept the key"):
        refreshing()


def test_without_an_upstream_nothing_is_told_of_the_recordings(
    refreshing: Refreshing, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(refreshing.path, [recorded("Q", chat())])
    monkeypatch.setenv("UPSTREAM_BASE_URL", "http://127.0.0.1:9/v1")
    # As in a process of its own: this handler is for what nobody else takes.
    logged = StringIO()
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger("replay_proxy"), "handlers", [])
    monkeypatch.setattr(logging, "lastResort", logging.StreamHandler(logged))
    with pytest.raises(ConfigurationError, match="No answer from the upstream"):
        refreshing("--record")
    assert logged.getvalue() == ""


def test_azure_gets_its_key_where_it_looks_for_one(refreshing: Refreshing) -> None:
    one = recorded("Q", chat())
    path = "/openai/deployments/d/chat/completions"
    request = one.request.__class__(
        "POST", path, "api-version=1", one.request.headers, one.request.body, 5
    )
    azure = Interaction(
        id=5 << 11,
        fingerprint="v1:" + "0" * 64,
        request=request,
        status=200,
        headers=one.headers,
        body=one.body,
        timeline=one.timeline,
    )
    make(refreshing.path, [azure])
    refreshing.answers["Q"] = plain(chat())
    refreshing()
    (sent,) = refreshing.upstream.wait_for(1)
    assert sent.target == f"{path}?api-version=1"
    assert sent.header(b"api-key") == KEY.encode()
    assert sent.header(b"authorization") is None
