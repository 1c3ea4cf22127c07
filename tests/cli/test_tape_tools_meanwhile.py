"""Tools beside a proxy that records: each sees one state, no answer is lost, none fails."""

import http.client
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from replay_proxy.cli.commands import app
from replay_proxy.store.archive import Archive
from tests.support.nursery import Nursery
from tests.support.script import JSON, Answer, Received
from tests.support.tape import make, recorded
from tests.support.upstream import Upstream


def echo(request: Received) -> Answer:
    return Answer(headers=JSON, steps=[request.body], framing="length")


class Asking(threading.Thread):
    """A client that asks one thing after another until it is told to stop."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.stop = threading.Event()
        self.answered: list[bytes] = []
        self.failed: list[tuple[int, bytes]] = []
        self.begun = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.stop.is_set():
            body = b'{"model":"m","n":%d}' % (len(self.answered) % 50 + len(self.answered) // 100)
            connection.request("POST", "/v1/chat/completions", body)
            answer = connection.getresponse()
            got = answer.read()
            if (answer.status, got) == (200, body):
                self.answered.append(got)
            else:
                self.failed.append((answer.status, got))
            self.begun.set()
        connection.close()


def run(*words: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert result.exit_code == code, (words, result.output, result.exception)
    return json.loads(result.stdout)


def test_every_tool_finds_one_state_and_disturbs_no_recorder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "cassettes"
    store.mkdir()
    make(store / "other.sqlite", [recorded(f"q{n}", b"x" * 1000) for n in range(50)])
    with Upstream(echo) as upstream, Nursery() as nursery:
        proxy = nursery.start(
            MODE="record", STORE=str(store), CASSETTE="a", UPSTREAM_BASE_URL=upstream.base_url
        )
        client = Asking(proxy.port)
        client.start()
        try:
            assert client.begun.wait(30)
            listed = run("ls", "a", "--limit", 10**6)
            assert len(listed["interactions"]) == listed["interactions_total"]
            assert run("ls")["cassettes"][0]["error"] is None
            assert run("verify", "a")["cassettes"][0]["findings"] == []
            run("diff", "a", code=1)
            assert CliRunner().invoke(app, ["export", "a", "-o", "a.jsonl"]).exit_code == 0
            run("import", "a.jsonl", "--cassette", "copy")
            run("import", "a.jsonl", "--cassette", "a")
            run("merge", "new", "a", "other")
            run("merge", "a", "other")
            run("prune", "a")
            for words in (["rename", "a", "b"], ["rm", "a"]):
                result = CliRunner().invoke(app, words)
                assert "in use by a proxy" in str(result.exception)
        finally:
            client.stop.set()
            client.join()
            proxy.kill()
        assert client.failed == []
        with Archive(store / "a.sqlite") as archive:
            kept = [each.body for _, each in archive.interactions()]
        assert sorted(each for each in kept if each[:1] == b"{") == sorted(client.answered)
        assert run("verify")["verdict"] == "passed"
        assert {path.name for path in store.glob("*.sqlite")} == {
            f"{name}.sqlite" for name in ("a", "copy", "new", "other")
        }
        assert not list(store.glob(".*"))
