"""curl through the proxy, byte by byte: status, headers and body are those that the API sent."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import (
    COUNT,
    HI,
    NOUN,
    RECORDS,
    REFUSED,
    SPEECH,
    SPOKEN,
    TRAINING,
    UNKNOWN,
    Outcome,
    Runs,
    dummy,
    end_to_end,
    essence,
    three_runs,
)


def curl(path: str, *arguments: str, data: object = None) -> list[Any]:
    """Status, headers and body of an answer, as a shell gets them."""
    command = ["curl", "--disable", "--silent", "--show-error", "--include", "--max-time", "20"]
    command += ["--header", f"Authorization: Bearer {os.environ['OPENAI_API_KEY']}", *arguments]
    if data is not None:
        command += ["--header", "Content-Type: application/json", "--data-binary", json.dumps(data)]
    url = f"{os.environ['OPENAI_BASE_URL']}{path}"
    done = subprocess.run([*command, url], capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return [status.split()[1], end_to_end(headers), body]


def chat(prompt: str, **options: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], **options}


# --- the scenarios ------------------------------------------------------------------------------


def plain(directory: Path) -> Outcome:
    return curl("/chat/completions", data=chat(NOUN))


def stream(directory: Path) -> Outcome:
    return curl("/chat/completions", "--no-buffer", data=chat(HI, stream=True))


def responses_stream(directory: Path) -> Outcome:
    data = {"model": "gpt-4o", "input": COUNT, "stream": True}
    return curl("/responses", "--no-buffer", data=data)


def models(directory: Path) -> Outcome:
    return curl("/models")


def upload(directory: Path) -> Outcome:
    file = directory / "fine-tune.jsonl"
    file.write_bytes(TRAINING)
    return curl("/files", "--form", "purpose=fine-tune", "--form", f"file=@{file}")


def speech(directory: Path) -> Outcome:
    return curl("/audio/speech", data={"model": "tts-1", "voice": "alloy", "input": SPOKEN})


def refused(directory: Path) -> Outcome:
    return curl("/chat/completions", data=chat(REFUSED, stop=["4242"]))


RECORDED = {record.id: record.response_body for record in RECORDS}
#: Each with the body that the API sent.
SCENARIOS: dict[Callable[[Path], Outcome], bytes] = {
    plain: RECORDED["6ba861323fa0a4d5"],
    stream: RECORDED["48df7db967ea845a"],
    responses_stream: RECORDED["273618b39c7cd9f0"],
    models: RECORDED["b6075bda8b429818"],
    upload: RECORDED["c01c6ce4d16a366d"],
    speech: SPEECH,
    refused: RECORDED["697555a4e33cdc6c"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    directory = tmp_path_factory.mktemp("curl")
    return three_runs(directory, lambda: {it.__name__: it(directory) for it in SCENARIOS})


# --- the tests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_replay_is_byte_for_byte_what_the_api_answered(
    scenario: Callable[[Path], Outcome], runs: Runs
) -> None:
    runs.check(scenario.__name__, says="content-type")
    status, _, body = runs.replayed[scenario.__name__]
    assert body == SCENARIOS[scenario]
    assert status == (b"400" if scenario is refused else b"200")


def test_the_api_gets_each_request_as_curl_sent_it(runs: Runs) -> None:
    assert len(runs.asked_directly) == len(SCENARIOS)
    assert essence(runs.asked_while_recording) == essence(runs.asked_directly)


def test_an_upload_replays_although_its_boundary_is_new_each_time(runs: Runs) -> None:
    boundaries = {
        request.header(b"content-type")
        for request in [*runs.asked_directly, *runs.asked_while_recording]
        if request.target == "/v1/files"
    }
    assert len(boundaries) == 2
    assert runs.replayed["upload"][0] == b"200"


def test_a_request_in_other_words_gets_the_same_answer(runs: Runs) -> None:
    turned = {"stream": False, **dict(reversed(chat(NOUN).items()))}
    with runs.replaying():
        assert curl("/chat/completions", data=turned) == runs.direct["plain"]


def test_an_upload_of_another_file_is_a_miss(runs: Runs, tmp_path: Path) -> None:
    other = tmp_path / "fine-tune.jsonl"
    other.write_bytes(TRAINING.replace(b"life", b"love", 1))
    with runs.replaying():
        form = ("--form", "purpose=fine-tune", "--form", f"file=@{other}")
        status, _, body = curl("/files", *form)
        assert (status, json.loads(body)["error"]["type"]) == (b"404", "cassette_miss")
        status, _, body = curl("/chat/completions", data=chat(UNKNOWN))
        assert (status, json.loads(body)["error"]["type"]) == (b"404", "cassette_miss")


def test_curl_reads_the_dummy_whole_and_streamed(tmp_path: Path) -> None:
    with dummy(tmp_path):
        *_, body = curl("/chat/completions", data=chat("안녕"))
        assert json.loads(body)["choices"][0]["message"]["content"] == "안녕의 응답 내용"
        *_, body = curl("/chat/completions", "--no-buffer", data=chat("안녕", stream=True))
        *events, done, end = body.split(b"\n\n")
        assert (done, end) == (b"data: [DONE]", b"")
        deltas = [json.loads(event[6:])["choices"][0]["delta"] for event in events]
        assert [it["content"] for it in deltas if it.get("content")] == list("안녕의 응답 내용")
