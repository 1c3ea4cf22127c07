"""The README is true: its commands run, and print what it shows."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from replay_proxy.settings import Settings
from replay_proxy.settings.names import PLAIN, PREFIX
from replay_proxy.transports.dummy import ENDPOINTS
from tests import docs
from tests.demo import CASSETTE
from tests.support.node import installed_node
from tests.support.paths import ROOT
from tests.support.servers import clean_environment

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands(start: str) -> list[str]:
    """The commands of the README's ``sh`` blocks that start with these words."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [re.split(r" +# ", line)[0] for line in lines if line.startswith(start)]


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(command: str, port: int, ready: str, **env: str) -> Iterator[str]:
    """Run a ``make`` command that serves; gives its first answer at the path ``ready``."""
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=ROOT,
        env=clean_environment() | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5) as answer:
                    yield answer.read().decode()
                    return
            except OSError:
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.1)  # The port is not open yet.
        raise TimeoutError(command)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()


@pytest.fixture(scope="module")
def make_run() -> Iterator[int]:
    """The port of ``make run`` as the README has it."""
    port = free_port()
    with running("make run", port, "/healthz", PORT=str(port)) as health:
        assert '"mode":"replay"' in health
        yield port


def run_console(block: str, ports: dict[str, int]) -> None:
    """Run each ``$ command`` of a block. Its output must have the lines below it, in order."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        for said, actual in ports.items():
            command = command.replace(said, f"127.0.0.1:{actual}")
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=30
        )
        at = 0
        for line in filter(None, expected.splitlines()):
            found = done.stdout.find(line, at)
            assert found >= 0, f"{command}\ndoes not print\n{line}\nbut\n{done.stdout}"
            at = found + len(line)


def test_its_first_commands_print_what_it_shows(make_run: int) -> None:
    shown = [block for block in blocks("console") if "localhost:7777" in block]
    assert len(shown) == 2
    for block in shown:
        run_console(block, {"localhost:7777": make_run})


@pytest.mark.parametrize(
    ("said", "printed"),
    [("from openai import", "4242"), ("from langchain_openai import", "4242")],
    ids=["openai", "langchain"],
)
def test_its_python_runs_with_nothing_but_the_environment(
    said: str, printed: str, make_run: int
) -> None:
    (code,) = [block for block in blocks("python") if said in block and "def " not in block]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=clean_environment()
        | {
            "OPENAI_BASE_URL": f"http://localhost:{make_run}/v1",
            "OPENAI_API_KEY": "any-placeholder",
        },
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


def test_its_javascript_runs_with_nothing_but_the_environment(
    make_run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://localhost:{make_run}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "any-placeholder")
    (code,) = blocks("js")
    assert installed_node().run(code).strip()


def test_its_environment_leads_curl_to_the_proxy(make_run: int) -> None:
    (block,) = [block for block in blocks("sh") if "export OPENAI_BASE_URL" in block]
    script = block.replace("localhost:7777", f"localhost:{make_run}").replace("curl", "curl -sSf")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert '"object": "list"' in done.stdout


def test_its_pytest_commands_record_and_replay(tmp_path: Path) -> None:
    (code,) = [block for block in blocks("python") if "replay_proxy" in block]
    record, replay = commands("pytest")
    (tmp_path / "test_capital.py").write_text(code)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    with docs.Session(tmp_path) as session:
        for command, verdict in (
            (record, "0 hits, 0 misses, 1 recorded"),
            (replay, "1 hit, 0 misses, 0 recorded"),
        ):
            said, exit_code = session.run(command)
            assert exit_code == 0, said
            assert verdict in said


def test_its_run_commands_record_and_replay(tmp_path: Path) -> None:
    # Stands for a test suite in any language.
    body = '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Peru?"}]}'
    (tmp_path / "npm").write_text(
        f"#!/bin/sh\ncurl -sSf $OPENAI_BASE_URL/chat/completions -d '{body}'"
    )
    (tmp_path / "npm").chmod(0o755)
    with docs.Session(tmp_path) as session:
        for command, source in zip(
            commands("replay-proxy run"), ("from the API", "from the cassette"), strict=True
        ):
            said, exit_code = session.run(command.replace("npm", "./npm"))
            assert exit_code == 0, said
            assert f"1 answer: 1 {source}" in said


@pytest.mark.parametrize(
    "command",
    [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()
     if re.match(r"\w+=\S+ .*make run", line)],
)  # fmt: skip
def test_its_modes_start_as_written(command: str, tmp_path: Path) -> None:
    shutil.copyfile(CASSETTE, tmp_path / "mine.sqlite")
    port = free_port()
    mode = command.split()[0].removeprefix("MODE=")
    with running(command, port, "/healthz", PORT=str(port), STORE=str(tmp_path)) as health:
        assert f'"mode":"{mode}"' in health


def test_the_caller_answers_as_in_the_blog() -> None:
    (block,) = [block for block in blocks("console") if "localhost:8000" in block]
    proxy, caller = free_port(), free_port()
    url = f"http://127.0.0.1:{proxy}/v1"
    with (
        running("make run", proxy, "/healthz", MODE="dummy", PORT=str(proxy)),
        running("make caller", caller, "/docs", CALLER_PORT=str(caller), OPENAI_BASE_URL=url),
    ):
        run_console(block, {"localhost:8000": caller})


def test_each_of_its_shell_commands_is_run_by_a_test_of_these() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    tested = r"make (run|test) |MODE=|export |curl \$OPENAI|pytest( |$)|replay-proxy run "
    assert [line for line in lines if not re.match(tested, line)] == []


def test_make_test_is_what_ci_runs() -> None:
    assert "make test" in blocks("sh")[0]
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^test: .*\n\t.* -m pytest\b", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_its_table_has_every_setting_with_its_default() -> None:
    expected = []
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        cell = f"`{shown}`" if default not in (None, "") else ""
        variable = name.upper() if name.upper() in PLAIN else PREFIX + name.upper()
        expected.append(f"| `{variable}` | {cell} | {field.description} |")
    table = re.search(r"\|---\|---\|---\|\n(.*?)\n<!-- end of settings", README, re.DOTALL)
    assert table
    # The model has the mixins' settings first; the table begins with MODE.
    assert sorted(table[1].splitlines()) == sorted(expected)


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")]), ids=str)
def test_its_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_page_of_the_dummy_has_every_endpoint_and_setting() -> None:
    page = (ROOT / "docs" / "dummy.md").read_text(encoding="utf-8")
    for endpoint in ENDPOINTS:
        assert f"| `{endpoint.method} /v1{endpoint.path}` |" in page
    for name in ("DUMMY_TEXT", "DUMMY_TOKENS", "DUMMY_CHUNK", "DUMMY_SEED"):
        assert f"`{name}=" in page


def test_the_cassette_page_describes_the_tables_and_its_question_can_be_asked() -> None:
    page = (ROOT / "docs" / "cassette.md").read_text(encoding="utf-8")
    with closing(sqlite3.connect(f"file:{CASSETTE}?mode=ro", uri=True)) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"
        ):
            assert f"`{name.partition('_')[0]}`" in page
        for table in ("take", "interaction", "chunk"):
            for _, column, *_ in connection.execute(f"PRAGMA table_info({table})"):
                assert f"`{column}`" in page, f"{table}.{column}"
        question = re.search(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        assert question
        rows = connection.execute(question[1]).fetchall()
    shown = re.search(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown
    assert rows
    assert shown[1].splitlines() == ["|".join(map(str, row)) for row in rows]
