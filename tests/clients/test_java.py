"""The JDK's ``HttpClient``, which offers HTTP/2 with each request, through the proxy."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.paths import ROOT
from tests.support.script import EVENT_STREAM, Answer, Received
from tests.support.upstream import Upstream

QUESTIONS = ["one", "two", "둘"]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


@pytest.fixture(scope="module")
def java() -> str:
    """The ``java`` of a JDK. CI installs one and must find it."""
    if shutil.which("javac") and (found := shutil.which("java")):
        return found
    if os.environ.get("CI"):
        pytest.fail(".ci/run installs default-jdk-headless, and there is no javac")
    pytest.skip("there is no JDK: apt-get install default-jdk-headless")


def answers(java: str, base_urls: list[str]) -> list[str]:
    quick = ["-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8"]
    source = str(ROOT / "tests" / "java" / "Client.java")
    done = subprocess.run(
        [java, *quick, source, ",".join(base_urls), *QUESTIONS],
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def echo(request: Received) -> Answer:
    """A stream that says what was asked."""
    assert request.header(b"upgrade") is None
    asked = json.loads(request.body)["messages"][0]["content"].encode()
    return Answer(headers=EVENT_STREAM, steps=[b"data: " + asked + b"\n\n", b"data: [DONE]\n\n"])


def test_a_client_of_the_jdk_records_and_replays_what_it_asks(
    java: str, nursery: Nursery, tmp_path: Path
) -> None:
    with Upstream(echo) as upstream:
        recording = nursery.start(
            MODE="record", STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url
        )
        replay = nursery.start(MODE="replay", STORE=str(tmp_path))
        seen = answers(java, [recording.base_url, replay.base_url])
        assert len(upstream.requests) == len(QUESTIONS)
        replay.kill()
        recording.kill()
    assert seen == [
        f"200 {source} data: {question}||data: [DONE]|"
        for source in ("upstream", "cassette")
        for question in QUESTIONS
    ]
