"""A client that polls gets the last recorded answer a bounded number of times; others do not."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replay_proxy.answers.polling import may_be_awaited
from replay_proxy.assembly import Assembly
from replay_proxy.cassette import Interaction
from replay_proxy.errors import CassetteMiss
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.serving.report import report
from replay_proxy.settings import Settings
from tests.support.tape import make, recorded

BATCH = "/v1/batches/batch_1"
WAITING = b'{"id": "batch_1", "status": "in_progress"}'


def answered(body: bytes, path: str = BATCH, method: str = "GET", status: int = 200) -> Interaction:
    one = recorded("Q", body, status=status)
    content = one.request.body if method == "POST" else b""
    request = replace(one.request, method=method, path=path, body=content)
    return replace(one, request=request, fingerprint=fingerprint(request))


def ask(
    directory: Path, times: int, *answers: Interaction, rewind_after: int = 0, **settings: Any
) -> tuple[list[bytes], dict[str, Any]]:
    """What this many requests get, the code of a miss in capitals, and the report."""
    make(directory / "default.sqlite", answers)

    async def scenario() -> tuple[list[bytes], dict[str, Any]]:
        assembly = Assembly(Settings(store=directory, **settings))
        got = []
        for number in range(times):
            if rewind_after and number == rewind_after:
                assembly.rewind("default")
            try:
                answer = await assembly.transport(None).handle(answers[0].request)
            except CassetteMiss as miss:
                got.append(str(miss.code).upper().encode())
            else:
                assert isinstance(answer.body, bytes)
                got.append(answer.body)
        entry = assembly.journal.entries["default"]
        cassette = assembly.cassette("default")
        told = await report(entry, cassette, assembly.rule, max_age_s=None)
        await assembly.aclose()
        return got, told

    return asyncio.run(scenario())


def test_a_poll_whose_end_was_not_recorded_is_a_miss_after_100_repeats(tmp_path: Path) -> None:
    started = answered(b'{"id": "batch_1", "status": "validating"}')
    got, told = ask(tmp_path, 110, started, answered(WAITING))
    assert got == [started.body, *[WAITING] * 101, *[b"USED_UP"] * 8]
    assert told["repeated_total"] == 100
    (repeated,) = told["repeated"]
    assert (repeated["path"], repeated["times"]) == (BATCH, 100)
    (miss,) = told["misses"]
    assert miss["times"] == 8
    assert miss["message"] == (
        f"No recording answers GET {BATCH}: cassette 'default' has given all its recorded answers "
        "(2), the last one 100 times more [used_up].\n  If the client waits for an end that was "
        "not recorded, record again up to that end; "
        "REPLAY_PROXY_REPEATS=cycle repeats without a limit."
    )


@pytest.mark.parametrize(
    ("body", "path", "status"),
    [
        (b'{"object": "thread.run", "status": "queued"}', "/v1/threads/t/runs/r", 200),
        (b'{"object": "response", "status": "in_progress"}', "/v1/responses/resp_1", 200),
        (b'{"object": "video", "status": "queued", "progress": 3}', "/v1/videos/video_1", 200),
        (b'{"status": "notRunning"}', "/openai/operations/images/1", 200),
        (b'{"state": "PROCESSING"}', "/v1/files/file_1", 202),
        (b'{"object": "list", "data": []}', "/v1/threads/t/messages", 200),
        (b'{"error": {"message": "not yet"}}', "/v1/files/f/content", 404),
        (b"", "/v1/videos/video_1/content", 202),
    ],
)
def test_whatever_may_be_awaited_is_bounded(
    body: bytes, path: str, status: int, tmp_path: Path
) -> None:
    got, _ = ask(tmp_path, 103, answered(body, path, status=status))
    assert got == [*[body] * 101, b"USED_UP", b"USED_UP"]


@pytest.mark.parametrize(
    "answer",
    [
        answered(b'{"choices": []}', "/v1/chat/completions", "POST"),
        answered(WAITING, "/v1/batches", "POST"),
        answered(b'{"object": "list", "data": []}', "/v1/models"),
        answered(b'{"object": "model"}', "/v1/models/gpt-5"),
        answered(b'{"id": "batch_1", "status": "completed"}'),
        answered(b'{"id": "batch_1", "status": "Succeeded"}'),
        answered(b'{"id": "batch_1", "status": "failed"}'),
        answered(b'{"custom_id": 1}\n{"custom_id": 2}\n', "/v1/files/f/content"),
        answered(b"\x89PNG", "/v1/files/f/content"),
        answered(b'{"custom_id": 1}\n', "/v1/files/f/content"),
    ],
    ids=lambda answer: f"{answer.request.method} {answer.request.path} {answer.body[:40]!r}",
)
def test_load_and_health_checks_and_results_are_repeated_without_a_limit(
    answer: Interaction, tmp_path: Path
) -> None:
    got, told = ask(tmp_path, 150, answer)
    assert got == [answer.body] * 150
    assert told["repeated_total"] == 149


def test_a_304_may_be_awaited_and_a_part_of_a_file_may_not() -> None:
    assert may_be_awaited(answered(b"", status=304))
    assert not may_be_awaited(answered(b"", "/v1/files/f/content", status=304))
    assert not may_be_awaited(answered(b"7", "/v1/files/f/part", status=206))


def test_the_limit_begins_again_with_a_rewind(tmp_path: Path) -> None:
    got, told = ask(tmp_path, 180, answered(WAITING), rewind_after=90)
    assert got == [WAITING] * 180
    assert told["repeated_total"] == 89


def test_a_cycle_has_no_limit(tmp_path: Path) -> None:
    got, _ = ask(tmp_path, 250, answered(WAITING), repeats="cycle")
    assert got == [WAITING] * 250
