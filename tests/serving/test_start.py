"""Starting, refusing to start, and stopping: exit codes and words."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo import CASSETTE
from tests.support.rawclient import RawClient
from tests.support.script import JSON, Answer
from tests.support.servers import Proxy, clean_environment
from tests.support.upstream import Upstream

UVICORN = (sys.executable, "-m", "uvicorn", "replay_proxy.main:app", "--port", "0")
SERVE = (sys.executable, "-m", "replay_proxy.cli", "serve", "--port", "0")


def start(cwd: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment() | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


REFUSED = {
    "an unknown mode": ({"MODE": "replya"}, "MODE=replya"),
    "an unknown name": (
        {"MODE": "dummy", "REPLAY_PROXY_REPEAT": "1"},
        "REPLAY_PROXY_REPEAT is not a setting. Did you mean REPLAY_PROXY_REPEATS?",
    ),
    "a misspelt name that may be the cause": ({"CASETTE": "a"}, "Did you mean CASSETTE?"),
    "a contradiction": ({"MODE": "dummy", "ON_MISS": "record"}, "contradicts MODE=dummy"),
    "a value of the wrong type": ({"MODE": "dummy", "DRAIN_S": "soon"}, "DRAIN_S=soon"),
    "a store that does not exist": ({"STORE": "nowhere"}, "STORE=nowhere"),
    "a cassette that does not exist": ({"STORE": ".", "CASSETTE": "mine"}, "CASSETTE=mine"),
    "a cassette out of the store": ({"STORE": ".", "CASSETTE": "../x"}, "CASSETTE=../x"),
}


@pytest.mark.parametrize(("env", "words"), REFUSED.values(), ids=REFUSED)
def test_it_refuses_to_start_and_says_why(env: dict[str, str], words: str, tmp_path: Path) -> None:
    done = start(tmp_path, *UVICORN, **env)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_cassette_stops_the_start_in_every_mode(tmp_path: Path) -> None:
    (tmp_path / "default.sqlite").write_text("garbage")
    for env in ({"MODE": "record"}, {"ON_MISS": "record"}, {"ON_MISS": "dummy"}, {}):
        done = start(tmp_path, sys.executable, "-c", "import replay_proxy.main", STORE=".", **env)
        assert (done.returncode, "is damaged" in done.stderr) == (2, True), env


def test_a_missing_default_cassette_is_no_reason_to_refuse(tmp_path: Path) -> None:
    done = start(tmp_path, sys.executable, "-c", "import replay_proxy.main", STORE=".")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [UVICORN, SERVE], ids=["uvicorn", "serve"])
def test_workers_that_cannot_start_are_not_started_forever(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    done = start(tmp_path, *command, "--workers", "2", MODE="bogus")
    assert "MODE=bogus" in done.stderr
    if command is SERVE:
        assert done.returncode == 2


def test_a_dotenv_file_sets_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MODE=dummy\nOPENAI_API_KEY=somebody-elses\n")
    with Proxy(tmp_path) as proxy, RawClient(proxy.base_url) as client:
        assert b'"dummy"' in client.request("GET", "/healthz").body
    done = start(tmp_path, *UVICORN, MODE="bogus")
    assert done.returncode == 2


def test_a_server_without_a_lifespan_is_told_once_in_the_log(tmp_path: Path) -> None:
    for option, times in (("off", 1), ("on", 0)):
        with Proxy(tmp_path, "--lifespan", option, MODE="dummy") as proxy:
            for _ in range(3):
                with RawClient(proxy.base_url) as client:
                    assert client.request("GET", "/v1/models").status == 200
            assert proxy.stop().count("--lifespan off") == times


def test_stopping_leaves_one_plain_file_although_a_recording_is_under_way(tmp_path: Path) -> None:
    with Upstream(lambda _: Answer(headers=JSON, steps=[b"1"], framing="length")) as upstream:
        proxy = Proxy(
            tmp_path, MODE="record", STORE="store", UPSTREAM_BASE_URL=upstream.base_url
        ).start()
        with RawClient(proxy.base_url) as client:
            client.request("POST", "/v1/embeddings", body=b"{}")
        assert (tmp_path / "store" / "default.sqlite-wal").exists()
        proxy.stop()
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["default.sqlite"]


def test_serve_replays_a_cassette(tmp_path: Path) -> None:
    shutil.copyfile(CASSETTE, tmp_path / "demo.sqlite")
    process = subprocess.Popen(
        SERVE,
        cwd=tmp_path,
        env=clean_environment() | {"STORE": ".", "CASSETTE": "demo"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr as lines:
        line = next(line for line in lines if "running on" in line)
        port = line.split("http://127.0.0.1:")[1].split(" ")[0]
        with RawClient(f"http://127.0.0.1:{port}/v1") as client:
            assert b"gpt-4-0613" in client.request("GET", "/v1/models").body
        process.terminate()
        process.wait()


def test_a_full_garbage_collection_does_not_look_through_what_was_loaded(tmp_path: Path) -> None:
    code = "import gc, replay_proxy.main; print(gc.get_freeze_count())"
    done = start(tmp_path, sys.executable, "-c", code, MODE="dummy")
    assert int(done.stdout) > 10_000
