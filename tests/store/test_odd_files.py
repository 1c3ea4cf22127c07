"""What has the name of a cassette and is none: no proxy and no tool waits for it, or breaks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.rawclient import RawClient
from tests.support.servers import Proxy
from tests.support.tape import make, recorded

TOOLS = (
    "ls",
    "ls {}",
    "show {} 1",
    "verify {}",
    "import {}.sqlite --cassette other",
    "export {}",
)
KINDS = ("pipe", "device", "directory", "hole", "hole with a header", "freelist")


def put(kind: str, path: Path) -> None:
    whole = make(path.with_name("whole.sqlite"), [recorded("1", b"abc")]).read_bytes()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "directory":
            path.mkdir()
        case "hole":
            path.touch()
            os.truncate(path, 300 << 30)
        case "hole with a header":  # Of as many pages as there can be.
            path.write_bytes(whole[:28] + (2**31 - 1).to_bytes(4, "big") + whole[32:])
            os.truncate(path, 300 << 30)
        case "freelist":
            trash = b"\xa5" * 4096 * 10
            pages = ((len(whole) + len(trash)) // 4096).to_bytes(4, "big")
            head = whole[:28] + pages + pages + (10).to_bytes(4, "big")
            path.write_bytes(head + whole[40:] + trash)


@pytest.mark.parametrize("kind", KINDS)
def test_no_odd_file_holds_up_a_tool_or_a_proxy(kind: str, tmp_path: Path) -> None:
    put(kind, tmp_path / "odd.sqlite")
    calls = [
        subprocess.Popen(
            [sys.executable, "-m", "replay_proxy.cli", *words.format("odd").split()],
            cwd=tmp_path,
            env=os.environ | {"STORE": "."},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for words in TOOLS
    ]
    try:
        for words, call in zip(TOOLS, calls, strict=True):
            said, _ = call.communicate(timeout=100)
            assert "Traceback" not in said, words
            assert "odd" in said, words
            assert call.returncode == (0 if words == "ls" else 1 if "verify" in words else 2), said
    finally:
        for call in calls:
            call.kill()
            call.wait()
    with Proxy(tmp_path, STORE=".") as proxy, RawClient(proxy.base_url) as client:
        answer = client.request("POST", "/cassettes/odd/v1/chat/completions", body=b"{}")
        assert answer.status >= 400
        assert "code" in json.loads(answer.body)["error"]
        kind_of_report = client.request("GET", "/_replay/api/report").status
        assert kind_of_report in (200, 500)
    assert "Traceback" not in proxy.stderr


def test_a_journal_in_the_header_of_a_file_that_nobody_may_write_beside_is_no_hindrance(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "odd.sqlite", [recorded("1", b"abc")])
    content = bytearray(path.read_bytes())
    content[18:20] = b"\2\2"
    path.write_bytes(content)
    tmp_path.chmod(0o555)
    try:
        for words in TOOLS[:4]:
            done = subprocess.run(
                [sys.executable, "-m", "replay_proxy.cli", *words.format("odd").split()],
                cwd=tmp_path,
                env=os.environ | {"STORE": "."},
                capture_output=True,
                text=True,
                check=False,
                timeout=100,
            )
            assert "Traceback" not in done.stdout + done.stderr
            assert done.returncode == 0, done.stderr
    finally:
        tmp_path.chmod(0o755)
