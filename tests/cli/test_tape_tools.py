"""The tape tools as commands: what each of them finds, prints, changes, and exits with."""

import io
import json
import os
import re
import resource
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from replay_proxy.cli import paths
from replay_proxy.cli.commands import app
from replay_proxy.cli.tape_tools.export import write_twin
from replay_proxy.cli.tape_tools.recordings import name_of
from replay_proxy.cli.tape_tools.verify import findings_of
from replay_proxy.cli.terminal import Rows
from replay_proxy.errors import ConfigurationError, ImportRefused, ReplayProxyError, StoreError
from replay_proxy.importers import documents
from replay_proxy.store.archive import Archive
from replay_proxy.store.files.access import open_to_write
from replay_proxy.store.files.journals import wal
from replay_proxy.store.sqlite.rows import to_row
from replay_proxy.store.sqlite.statements import PUT_INTERACTION, PUT_NEARNESS
from tests.support.tape import EVENTS, make, recorded, stored

KEY = "sk-proj-" + "a1B2c3D4e5F6g7H8" * 3
Tool = Callable[..., Any]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Runs a tool in a directory whose store is ``cassettes``; gives what it prints.

    ``code`` is the exit code that it has to have. With ``--json`` the document is read.
    """
    (tmp_path / "cassettes").mkdir()
    monkeypatch.chdir(tmp_path)

    def run(*words: object, code: int = 0) -> Any:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if isinstance(result.exception, ReplayProxyError):
            raise result.exception
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if "--json" in words else result.stdout

    return run


@pytest.fixture
def cassettes(tmp_path: Path) -> Path:
    return tmp_path / "cassettes"


def change(path: Path, sql: str, *parameters: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql, parameters)


def ids(path: Path) -> list[int]:
    with Archive(path) as archive:
        return [each.id for _, each in archive.interactions()]


def test_ls_lists_cassettes_and_says_which_cannot_be_read(tool: Tool, cassettes: Path) -> None:
    old, other, new = recorded("1", b"a"), recorded("2", b"b"), recorded("1", b"c")
    make(cassettes / "a.sqlite", [old, other], [new])
    (cassettes / "broken.sqlite").write_bytes(b"x" * 1000)
    found = tool("ls", "--json")
    good, bad = found["cassettes"]
    assert {
        name: good[name]
        for name in ("cassette", "interactions_total", "requests_total", "takes_total")
    } == {
        "cassette": "a",
        "interactions_total": 3,
        "requests_total": 2,
        "takes_total": 2,
    }
    assert good["superseded_total"] == 1
    assert "file is not a database" in bad["error"]
    assert "broken" in tool("ls")


def test_ls_lists_interactions_a_page_at_a_time(tool: Tool, cassettes: Path) -> None:
    old, new = recorded("Hi?", b"a"), recorded("Hi?", b"b", b"c", headers=EVENTS)
    make(cassettes / "a.sqlite", [old], [new])
    found = tool("ls", "a", "--json")
    assert found["interactions_total"] == 2
    assert [each["superseded"] for each in found["interactions"]] == [True, False]
    last = found["interactions"][1]
    assert (last["number"], last["interaction"], last["chunks_total"]) == (2, str(new.id), 2)
    assert (last["last_message"], last["model"], last["status"]) == ("Hi?", "m", 200)
    assert [
        each["number"] for each in tool("ls", "a", "--json", "--offset", 1)["interactions"]
    ] == [2]
    assert "1 more interaction" in tool("ls", "a", "--limit", 1)
    assert "more" not in tool("ls", "a", "--limit", 1, "--offset", 1)


def test_ls_names_the_takes_that_diff_can_show(tool: Tool, cassettes: Path) -> None:
    make(cassettes / "a.sqlite", [recorded("1", b"a"), recorded("2", b"b")], [recorded("1", b"c")])
    old, new = tool("ls", "a", "--json")["takes"]
    assert (old["interactions_total"], new["interactions_total"]) == (2, 1)
    assert f"take {new['take']}, {new['recorded_at']}: 1 interaction\n" in tool("ls", "a")
    counts = tool("diff", "a", "--take", new["take"], "--json", code=1)["counts"]
    assert (counts["same_total"], counts["answers_changed_total"]) == (1, 1)
    make(cassettes / "b.sqlite", [recorded("1", b"a")])
    assert "take" not in tool("ls", "b")


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_on_a_terminal_each_row_is_one_line(columns: int) -> None:
    table = Rows("#", "recorded", "request", "last message", "answer", cut=["last message"])
    table.add("1", "2026-11-23", "POST /v1/chat/completions", "a " * 100, "200, 18 chunks")
    console = Console(width=columns, file=StringIO())
    with console.capture() as capture:
        console.print(table)
    _, row = capture.get().splitlines()
    assert len(row) <= columns
    assert "POST /v1/chat/completions  a a" in row
    assert "…  200, 18 chunks" in row


def test_a_pipe_gets_whole_rows(tool: Tool, cassettes: Path) -> None:
    make(cassettes / "a.sqlite", [recorded("long " * 20, b"a")])
    message = tool("ls", "a", "--json")["interactions"][0]["last_message"]
    long = "a" * 190
    make(cassettes / f"{long}.sqlite", [recorded("1", b"a")])
    _, row = tool("ls", "a").splitlines()
    assert message in row
    assert any(line.startswith(f"{long}  ") for line in tool("ls").splitlines())


def test_a_cassette_is_named_or_a_path(tool: Tool, cassettes: Path, tmp_path: Path) -> None:
    path = make(tmp_path / "elsewhere.sqlite", [recorded("1", b"a")])
    assert tool("ls", path, "--json")["interactions_total"] == 1
    assert tool("ls", "elsewhere", "--store", tmp_path, "--json")["interactions_total"] == 1
    with pytest.raises(
        ReplayProxyError, match=r"Cassette cassettes/elsewhere\.sqlite does not exist"
    ):
        tool("ls", "elsewhere")
    with pytest.raises(ConfigurationError, match="is not the name of a cassette"):
        tool("ls", "../elsewhere")


def test_tools_read_the_store_and_no_other_setting(
    tool: Tool,
    cassettes: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(cassettes / "a.sqlite", [recorded("1", b"a")])
    cassettes.rename("tapes")
    lines = ["MODE=production", "RPM=many", "REPLAY_API_KEY=x", "DUMMY_VAR=x", "STORE=tapes"]
    Path(".env").write_text("\n".join([*lines, "REPLAY_PROXY_MODE=x"]))
    assert tool("ls", "--json")["cassettes"][0]["cassette"] == "a"
    assert "0 findings" in tool("verify", "a")
    monkeypatch.setenv("STORE", "postgres://db/shop")
    assert paths.tool_settings("STORE").store == Path("cassettes")
    assert "STORE=postgres://db/shop is not valid" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="STORE=cassettes is not a directory"):
        tool("ls")
    monkeypatch.setenv("REPLAY_PROXY_STORE", "tapes")
    assert tool("ls", "--json")["store"] == "tapes"
    monkeypatch.setenv("REPLAY_PROXY_STOER", "tapes")
    with pytest.raises(ConfigurationError, match=r"STOER is not .* mean REPLAY_PROXY_STORE\?"):
        tool("ls")


def test_unused_is_what_no_report_has_used(tool: Tool, cassettes: Path, tmp_path: Path) -> None:
    one, two, three = (recorded(each, b"a") for each in "123")
    make(cassettes / "a.sqlite", [one, two, three])
    for name, used in {"x": [one.id], "y": [three.id]}.items():
        report = {"cassettes": {"a": {"used": [str(number) for number in used]}, "b": {}}}
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    (tmp_path / "other.json").write_text('{"cassettes": {}}')
    found = tool("unused", "a", "--report", "x.json", "--json", code=1)
    assert [each["interaction"] for each in found["unused"]] == [str(two.id), str(three.id)]
    reports = ("--report", "x.json", "--report", "y.json", "--report", "other.json")
    found = tool("unused", "a", *reports, "--json", code=1)
    assert [each["last_message"] for each in found["unused"]] == ["2"]
    assert found["unused_total"] == 1
    assert "1 recording of 'a'" in tool("unused", "a", *reports, code=1)


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"cassettes": {"a": {}}}', '{"cassettes": 1}']
)
def test_what_is_no_report_deletes_nothing(
    tool: Tool, cassettes: Path, tmp_path: Path, content: str | None
) -> None:
    path = make(cassettes / "a.sqlite", [recorded("1", b"a")])
    if content is not None:
        (tmp_path / "r.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"r\.json is not a report"):
        tool("prune", "a", "--report", "r.json")
    assert len(ids(path)) == 1


def test_prune_deletes_superseded_takes_and_with_a_report_what_is_unused(
    tool: Tool, cassettes: Path, tmp_path: Path
) -> None:
    old, idle, new = recorded("1", b"a"), recorded("2", b"b"), recorded("1", b"c")
    path = make(cassettes / "a.sqlite", [old, idle], [new])
    (tmp_path / "r.json").write_text(json.dumps({"cassettes": {"a": {"used": [str(new.id)]}}}))
    would = tool("prune", "a", "--report", "r.json", "--dry-run", "--json")
    assert (would["superseded_interactions"], would["unused_interactions"]) == (
        [str(old.id)],
        [str(idle.id)],
    )
    assert len(ids(path)) == 3
    assert tool("prune", "a", "--json")["superseded_interactions"] == [str(old.id)]
    assert ids(path) == [idle.id, new.id]
    assert "1 unused" in tool("prune", "a", "--report", "r.json")
    assert ids(path) == [new.id]
    assert stored(cassettes, new.request, cassette="a") == new


def test_reports_that_do_not_tell_of_a_cassette_delete_nothing_of_it(
    tool: Tool, cassettes: Path, tmp_path: Path
) -> None:
    one = recorded("1", b"a")
    path = make(cassettes / "renamed.sqlite", [one])
    (tmp_path / "r.json").write_text(json.dumps({"cassettes": {"old": {"used": [str(one.id)]}}}))
    for name in ("prune", "unused"):
        with pytest.raises(ConfigurationError, match=r"'renamed'.*They mention: old"):
            tool(name, "renamed", "--report", "r.json")
    assert ids(path) == [one.id]


def test_export_and_import_give_the_same_text_and_the_same_replay(
    tool: Tool, cassettes: Path, tmp_path: Path
) -> None:
    one = recorded("1", b"data: 1\n\n", b"data: \xff\n\n", headers=EVENTS)
    make(cassettes / "a.sqlite", [recorded("1", b"old")], [one])
    text = tool("export", "a")
    assert tool("export", "a", "-o", "b.jsonl") == ""
    assert (tmp_path / "b.jsonl").read_text() == text
    assert tool("import", "b.jsonl", "--json") == {
        "version": 2,
        "interactions_total": 2,
        "not_carried_total": 0,
        "files": [
            {
                "file": "b.jsonl",
                "format": "twin",
                "cassette": "b",
                "interactions_total": 2,
                "joined": False,
                "not_carried": [],
            }
        ],
        "unreadable": [],
        "other_files_total": 0,
    }
    assert tool("export", "b") == text
    assert stored(cassettes, one.request, cassette="b") == one
    (tmp_path / "c.jsonl").write_text(f"\ufeff{text}", "utf-8")
    tool("import", "c.jsonl")
    assert tool("export", "c") == text
    with pytest.raises(ConfigurationError, match="cannot be written"):
        tool("export", "a", "-o", "missing/a.jsonl")


def test_export_writes_to_what_is_no_file_and_not_through_links(
    tool: Tool, cassettes: Path, tmp_path: Path
) -> None:
    make(cassettes / "a.sqlite", [recorded("1", b"a")])
    pipe, link, target = (tmp_path / name for name in ("pipe", "link", "target"))
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    tool("export", "a", "-o", pipe)
    assert pipe.is_fifo()
    text = tool("export", "a")
    assert os.read(reader, 1_000_000).decode() == text
    os.close(reader)
    link.symlink_to(target)
    target.touch()
    with pytest.raises(ConfigurationError, match="symbolic link"):
        tool("export", "a", "-o", link)
    assert link.is_symlink()
    assert target.read_text() == ""


@pytest.mark.parametrize(
    "words",
    [
        ("ls",),
        ("ls", "a"),
        ("ls", "a", "--json"),
        ("show", "a", "1"),
        ("show", "a", "1", "--json"),
        ("diff", "a"),
        ("diff", "a", "--json"),
        ("verify", "a"),
        ("verify", "a", "--json"),
        ("unused", "a", "--report", "r.json"),
        ("export", "a"),
    ],
)
def test_nothing_that_was_recorded_reaches_a_terminal_as_a_command(
    tool: Tool, cassettes: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    hostile = "".join(map(chr, [*range(1, 10), *range(11, 32), *range(127, 160)]))
    unbroken = hostile.replace("\r", "")
    (tmp_path / "r.json").write_text('{"cassettes": {"a": {"used": []}}}')
    headers = ((b"content-type", b"application/json"), (b"x-hostile", unbroken.encode("latin-1")))
    old, new = (
        recorded(json.dumps(hostile, ensure_ascii=False)[1:-1], answer.encode(), headers=headers)
        for answer in (hostile, json.dumps({"error": {"message": hostile + KEY}}))
    )
    make(cassettes / "a.sqlite", [old], [new])
    result = CliRunner().invoke(app, words)
    assert "a" in result.output
    assert not [each for each in result.output if each not in "\n\t" and not each.isprintable()]


VCR = """
interactions:
- request: {method: POST, uri: "https://api.openai.com/v1/embeddings", body: '{"input":"a"}',
            headers: {content-type: [application/json]}}
  response: {status: {code: 200}, headers: {date: ["Sun, 26 Oct 2025 18:24:24 GMT"]},
             body: {string: '{"data": []}'}}
- request: {method: GET, uri: "https://example.org/", body: null, headers: {}}
  response: {status: {code: 200}, headers: {}, body: {string: ''}}
version: 1
"""


def test_import_takes_what_other_tools_recorded_and_lists_what_it_leaves(
    tool: Tool, cassettes: Path, tmp_path: Path
) -> None:
    for name in ("test_it[a].yaml", "other.yml"):
        (tmp_path / name).write_text(VCR)
    found = tool("import", "test_it[a].yaml", "other.yml", "--json")
    assert (found["interactions_total"], found["not_carried_total"]) == (2, 2)
    assert [(each["cassette"], each["format"]) for each in found["files"]] == [
        ("test_it_a_", "vcrpy"),
        ("other", "vcrpy"),
    ]
    lost = found["files"][0]["not_carried"][0]
    assert "example.org" in lost["reason"]
    assert "interaction 2: not carried over, since example.org" in tool("import", "other.yml")
    with Archive(cassettes / "other.sqlite") as archive:
        ((_, one),) = archive.interactions()
        assert len(archive.takes()) == 1
    assert one.body == b'{"data": []}'
    assert one.request.arrived_us // 1_000_000 == 1761503064
    tool("import", "other.yml", "test_it[a].yaml", "--cassette", "one")
    assert ids(cassettes / "one.sqlite") == [one.id]


def test_import_keeps_nothing_of_a_file_that_cannot_be_read(
    tool: Tool, cassettes: Path, tmp_path: Path
) -> None:
    make(cassettes / "a.sqlite", [recorded("1", b"a"), recorded("2", b"b")])
    broken = tool("export", "a").replace('"total_us"', '"total"')
    (tmp_path / "b.jsonl").write_text(broken)
    (tmp_path / "c.txt").write_text("hello")
    (tmp_path / "d.yaml").write_text(VCR.replace("/v1/embeddings", "/other"))
    with pytest.raises(ImportRefused, match=r"b\.jsonl .* Line"):
        tool("import", "b.jsonl")
    with pytest.raises(ImportRefused, match=rf"^{tmp_path}/c\.txt does not look like a recording"):
        tool("import", tmp_path / "c.txt")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        tool("import", "missing.yaml")
    with pytest.raises(ImportRefused, match=r"a\.sqlite is a cassette already.*merge"):
        tool("import", "cassettes/a.sqlite", "--cassette", "b")
    assert tool("import", "d.yaml", "--json", code=1)["not_carried_total"] == 2
    assert [each.name for each in cassettes.iterdir()] == ["a.sqlite"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("test_a.yaml", "test_a"),
        ("a/b.c.har.gz", "b.c"),
        ("should-work_123/recording.har", "should-work_123"),
        ("should-work_123/recording.har.yaml", "should-work_123"),
        ("TestClient.httprr", "TestClient"),
        ("VCR.yml.zz", "VCR"),
        ("no ending[x]", "no_ending_x_"),
        ("...", "imported"),
        ("x" * 300 + ".json", "x" * 200),
    ],
)
def test_a_file_becomes_the_cassette_of_its_name(file: str, name: str) -> None:
    assert name_of(Path(file)) == name


def reel(answer: int) -> str:
    """A cassette of reel with one exchange."""
    request = {"method": "POST", "path": "/v1/chat/completions", "body": {}}
    response = {"status": 200, "headers": {}, "body": {"id": answer}}
    return json.dumps({"schema_version": 1, "request": request, "response": response}) + "\n"


def test_import_names_a_file_that_cannot_be_read_and_goes_on(tool: Tool, cassettes: Path) -> None:
    Path("one.jsonl").write_text(reel(1) + "{\n")
    Path("none.txt").write_text("no recording")
    Path("broken.yaml").write_text("interactions: [")
    Path("two.jsonl").write_text(reel(2))
    files = ["one.jsonl", "none.txt", "missing.har", "broken.yaml", "two.jsonl"]
    document = tool("import", *files, "--json", code=2)
    assert (document["interactions_total"], document["not_carried_total"]) == (2, 1)
    assert [each["file"] for each in document["files"]] == ["one.jsonl", "two.jsonl"]
    assert [each["file"] for each in document["unreadable"]] == files[1:4]
    for each, said in zip(
        document["unreadable"],
        ["does not look like a recording", "No such file", "not YAML"],
        strict=True,
    ):
        assert each["file"] in each["reason"]
        assert said in each["reason"]
    assert ids(cassettes / "one.sqlite")
    assert ids(cassettes / "two.sqlite")
    said = tool("import", *files, code=2)
    assert "Not imported: none.txt does not look like a recording" in said
    assert said.endswith("2 files; 1 not carried over; 3 files unreadable\n")


def test_import_reads_the_recordings_below_a_directory(tool: Tool, cassettes: Path) -> None:
    for name in ("a/b/one.jsonl", "a/two.JSON", "a/.git/x.json", "a/node_modules/c/y.json"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(reel(1))
    Path("a/recorded_1").mkdir()
    entry = {
        "request": {"method": "GET", "url": "https://api.openai.com/v1/models"},
        "response": {"status": 200, "content": {"text": "hi"}},
    }
    Path("a/recorded_1/recording.har").write_text(json.dumps({"log": {"entries": [entry]}}))
    Path("a/README.md").write_text("no recording")
    document = tool("import", "a", "--json")
    assert [(each["file"], each["cassette"]) for each in document["files"]] == [
        ("a/b/one.jsonl", "one"),
        ("a/recorded_1/recording.har", "recorded_1"),
        ("a/two.JSON", "two"),
    ]
    assert (document["unreadable"], document["other_files_total"]) == ([], 1)
    assert "3 files; 0 not carried over; 1 other file not read" in tool("import", "a")
    Path("a/settings.json").write_text("{}")
    document = tool("import", "a", "--json", code=2)
    assert [each["file"] for each in document["unreadable"]] == ["a/settings.json"]
    Path("empty").mkdir()
    with pytest.raises(ConfigurationError, match="empty has no file with a recording's ending"):
        tool("import", "empty")


def test_importing_a_file_without_dates_again_replaces_its_interactions(
    tool: Tool, cassettes: Path
) -> None:
    Path("one.jsonl").write_text(reel(1) + reel(2))
    tool("import", "one.jsonl")
    first = ids(cassettes / "one.sqlite")
    assert len(first) == 2
    tool("import", "one.jsonl")
    assert ids(cassettes / "one.sqlite") == first


def test_import_says_that_files_of_one_name_share_a_cassette(tool: Tool, cassettes: Path) -> None:
    for number, name in enumerate(("a", "b", "c")):
        Path(name).mkdir()
        Path(name, "chat.jsonl").write_text(reel(number))
    said = tool("import", "a", "b")
    assert "b/chat.jsonl shares the cassette chat with other recordings" in said
    assert "a/chat.jsonl shares" not in said
    document = tool("import", "c/chat.jsonl", "--json")
    assert document["files"][0]["joined"] is True
    assert "shares" in tool("import", "c")
    assert "shares" not in tool("import", "a", "b", "c", "--cassette", "all")
    assert (
        tool("import", "a/chat.jsonl", "--cassette", "one", "--json")["files"][0]["joined"] is False
    )
    tool("export", "one", "-o", "one.jsonl")
    assert "shares" not in tool("import", "one.jsonl")


def test_import_reads_a_file_of_lines_that_is_larger_than_the_memory_line_by_line(
    tool: Tool, cassettes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(number: int) -> str:
        request = {"method": "POST", "path": "/v1/chat/completions", "body": {"user": number}}
        response = {"status": 200, "headers": {}, "body": {"id": number}}
        entry = {"schema_version": 1, "ts": f"2026-01-01T00:00:0{number}Z", "request": request}
        return json.dumps(entry | {"response": response}) + "\n"

    Path("reel.jsonl").write_text("".join(map(line, range(4))) + "{\n")
    monkeypatch.setattr(documents, "MAX_BYTES", 2 * len(line(0)))
    document = tool("import", "reel.jsonl", "--json")
    assert (document["interactions_total"], document["not_carried_total"]) == (4, 1)
    (lost,) = document["files"][0]["not_carried"]
    assert lost["where"] == "line 5"
    assert lost["reason"].endswith("line 1 column 2 (char 1)")
    with Archive(cassettes / "reel.sqlite") as archive:
        bodies = [each.body for _, each in archive.interactions()]
    assert bodies == [b'{"id": %d}' % number for number in range(4)]
    Path("other.yaml").write_text("interactions:\n" + "# long\n" * 1000)
    with pytest.raises(ImportRefused, match=r"larger than"):
        tool("import", "other.yaml")


def test_merge_puts_all_takes_into_one_and_the_newest_replays(tool: Tool, cassettes: Path) -> None:
    old, other, new = recorded("1", b"a"), recorded("2", b"b"), recorded("1", b"c")
    make(cassettes / "a.sqlite", [old])
    make(cassettes / "b.sqlite", [other], [new])
    found = tool("merge", "all", "a", "b", "--json")
    assert found["merged"] == [
        {"cassette": "a", "interactions_total": 1},
        {"cassette": "b", "interactions_total": 2},
    ]
    assert ids(cassettes / "all.sqlite") == [old.id, other.id, new.id]
    assert stored(cassettes, old.request, cassette="all") == new
    assert "2 interactions into 'a'" in tool("merge", "a", "b")
    with pytest.raises(ConfigurationError, match="into itself"):
        tool("merge", "a", "cassettes/a.sqlite")


def test_merge_copies_what_a_recorder_still_has_in_its_journal(tool: Tool, cassettes: Path) -> None:
    first, second = recorded("1", b"a"), recorded("2", b"b")
    path = make(cassettes / "a.sqlite", [first])
    with closing(open_to_write(path)) as recorder:
        with closing(sqlite3.connect(path)) as connection, connection:
            (take_id,) = connection.execute("SELECT id FROM take").fetchone()
        row = to_row(second, take_id)
        recorder.execute(PUT_NEARNESS, row)
        recorder.execute(PUT_INTERACTION, row)
        assert wal(path).stat().st_size > 0
        tool("merge", "all", "a")
    assert ids(cassettes / "all.sqlite") == [first.id, second.id]
    assert tool("verify", "all", "--json")["verdict"] == "passed"


def test_merge_on_a_full_disk_leaves_nothing_behind(tool: Tool, cassettes: Path) -> None:
    path = make(cassettes / "a.sqlite", [recorded("1", b"a" * 9_000_000)])
    with closing(open_to_write(path)):
        before = sorted(cassettes.iterdir())
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, most))
        try:
            with pytest.raises(StoreError, match=r"all\.sqlite cannot be used"):
                tool("merge", "all", "a")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        assert sorted(cassettes.iterdir()) == before


def test_rename_and_rm_move_and_delete_whole_cassettes(tool: Tool, cassettes: Path) -> None:
    path = make(cassettes / "a.sqlite", [recorded("1", b"a")])
    make(cassettes / "b.sqlite", [recorded("2", b"b")])
    with pytest.raises(ReplayProxyError, match="already"):
        tool("rename", "a", "b")
    with pytest.raises(ConfigurationError, match="is not the name of a cassette"):
        tool("rename", "a", "elsewhere/c.sqlite")
    assert tool("rename", "a", "c") == "Renamed 'a' to 'c'\n"
    assert not path.exists()
    assert len(ids(cassettes / "c.sqlite")) == 1
    with pytest.raises(ReplayProxyError, match="does not exist"):
        tool("rm", "b", "none")
    assert sorted(each.stem for each in cassettes.iterdir()) == ["b", "c"]
    assert tool("rm", "b", "c", "b") == "Deleted 'b', 'c'\n"
    assert list(cassettes.iterdir()) == []


def kinds(found: Any) -> list[tuple[str, str | None]]:
    return [(each["kind"], each["interaction"]) for each in found["cassettes"][0]["findings"]]


def test_verify_passes_what_was_recorded(tool: Tool, cassettes: Path) -> None:
    make(cassettes / "a.sqlite", [recorded("1", b"data: 1\n\n", b"", headers=EVENTS)])
    assert tool("verify", "--json")["verdict"] == "passed"
    assert "0 findings in 1 interaction of 1 cassette" in tool("verify", "a")


def test_verify_of_no_cassette_at_all_is_an_error(tool: Tool) -> None:
    with pytest.raises(ReplayProxyError, match="no cassette in cassettes"):
        tool("verify")


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("body", b"ac", "checksum"),
        ("status", 201, "checksum"),
        ("response_headers", "[]", "checksum"),
        ("head_us", 6, "checksum"),
        ("timeline", "[[10000,1]]", "chunks"),
        ("timeline", "[[10000,2],[20000,1]]", "chunks"),
        ("timeline", "[[20000,1],[10000,2]]", "chunks"),
        ("timeline", "[[20000,2]]", "checksum"),
        ("timeline", "{}", "chunks"),
        ("timeline", "[", "damaged"),
        ("request_headers", "[[1]]", "damaged"),
        ("fingerprint", "v1:0", "damaged"),
        ("fingerprint", "v1:" + "0" * 64, "fingerprint"),
        ("request_body", b'{"model":"m"}', "fingerprint"),
        ("path", "/v1/responses", "fingerprint"),
        ("model", "other", "column"),
        ("streams", 1, "column"),
        ("media_type", "text/html", "column"),
        ("take_id", 5, "column"),
        ("request_body", b' {"model":"m","messages":[{"role":"user","content":"2"}]}', "checksum"),
        ("request_headers", "[]", "checksum"),
        ("arrived_us", 5, "checksum"),
    ],
)
def test_verify_names_what_is_wrong_with_an_interaction(
    tool: Tool, cassettes: Path, column: str, value: object, kind: str
) -> None:
    good, bad = recorded("1", b"a", b"b"), recorded("2", b"a", b"b")
    path = make(cassettes / "a.sqlite", [good, bad])
    change(path, f"UPDATE interaction SET {column} = ? WHERE id = ?", value, bad.id)  # noqa: S608
    found = tool("verify", "a", "--json", code=1)
    assert found["verdict"] == "failed"
    assert kinds(found)[0] == (kind, str(bad.id))
    assert {number for _, number in kinds(found)} == {str(bad.id)}
    assert kind in tool("verify", "a", code=1)


def test_verify_finds_a_flipped_byte_wherever_it_changes_something(
    tool: Tool, cassettes: Path
) -> None:
    path = make(cassettes / "a.sqlite", [recorded("What?", b"abcdefgh" * 8, b"ijkl" * 8)])
    whole = path.read_bytes()
    for needle in (b"abcdefgh", b"ijkl", b"What?", b"/v1/chat", b"v1:"):
        at = whole.index(needle)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert tool("verify", "a", "--json", code=1)["verdict"] == "failed", needle


def test_verify_finds_each_flipped_byte_that_changes_what_the_cassette_says(
    tool: Tool, cassettes: Path
) -> None:
    def said() -> bytes:
        text = io.BytesIO()
        write_twin(path, text)
        return re.sub(rb'"started_us":-?\d+', b"", text.getvalue())  # Nothing goes by it.

    again = recorded("What?", b"data: 2\n\n", headers=EVENTS)
    path = make(cassettes / "a.sqlite", [recorded("What?", b'{"a": 1}')], [again])
    whole, before = path.read_bytes(), said()
    used = [at for at, byte in enumerate(whole) if byte]
    for at in used[::13]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (0xFF, 0x20)[at % 2]]) + whole[at + 1 :])
        if not findings_of(path)["findings"]:
            assert said() == before, at
        for journal in cassettes.glob("a.sqlite-*"):
            journal.unlink()


def test_a_checksum_of_the_answer_alone_as_in_older_cassettes_is_enough(
    tool: Tool, cassettes: Path
) -> None:
    one = recorded("1", b"a")
    path = make(cassettes / "a.sqlite", [one])
    change(path, "UPDATE interaction SET checksum = checksum & 0xFFFFFFFF")
    tool("verify", "a")
    assert stored(cassettes, one.request, cassette="a") == one
    change(path, "UPDATE interaction SET body = CAST('b' AS BLOB)")
    tool("verify", "a", code=1)


def test_verify_finds_what_is_no_longer_in_the_schema(tool: Tool, cassettes: Path) -> None:
    path = make(cassettes / "a.sqlite", [recorded("1", b"a")])
    change(path, "DROP VIEW chunk")
    assert "no view 'chunk'" in tool("verify", "a", code=1)


def test_verify_says_that_a_file_is_damaged_and_goes_on(tool: Tool, cassettes: Path) -> None:
    path = make(cassettes / "a.sqlite", [recorded(f"{each}", b"x" * 5000) for each in range(20)])
    path.write_bytes(path.read_bytes()[:-20_000])
    make(cassettes / "b.sqlite", [recorded("1", b"a")])
    found = tool("verify", "--json", code=1)
    assert kinds(found)[0][0] == "damaged"
    assert found["cassettes"][1]["findings"] == []
    with pytest.raises(ReplayProxyError, match="does not exist"):
        tool("verify", "none")


def test_verify_finds_a_planted_key_and_does_not_repeat_it(tool: Tool, cassettes: Path) -> None:
    one = recorded(f"my key is {KEY}", b"a")
    make(cassettes / "a.sqlite", [one])
    found = tool("verify", "a", "--json", code=1)
    assert kinds(found) == [("secret", str(one.id))]
    what = found["cassettes"][0]["findings"][0]["what"]
    assert what == "OpenAI key in request body $.messages[0].content: sk-proj-…"
    assert KEY not in tool("verify", "a", code=1)


def test_diff_shows_what_the_newest_take_has_changed(tool: Tool, cassettes: Path) -> None:
    old = [recorded(each, b'{"id":1,"a":"x"}') for each in ("same", "again", "What is it?")]
    new = [
        recorded("again", b'{"id":2}'),
        recorded("What is that?", b"{}"),
        recorded("Something else entirely: 42", b"{}", status=201),
    ]
    make(cassettes / "a.sqlite", old, new)
    found = tool("diff", "a", "--json", code=1)
    assert found["counts"] == {
        "same_total": 2,
        "answers_changed_total": 1,
        "requests_changed_total": 1,
        "added_total": 1,
        "removed_total": 0,
    }
    (answer,) = found["answers_changed"]
    assert (answer["answers_before"], answer["answers_after"]) == (
        [str(old[1].id)],
        [str(new[0].id)],
    )
    assert {
        "change": "removed",
        "place": "$.a",
        "value_before": "string",
        "value_after": "absent",
    } in answer["findings"]
    (pair,) = found["requests_changed"]
    assert (pair["request_before"]["interaction"], pair["request_after"]["interaction"]) == (
        str(old[2].id),
        str(new[1].id),
    )
    assert [each["place"] for each in pair["differences"]] == ["$.messages[0].content"]
    shown = tool("diff", "a", code=1)
    for words in ("answer changed: POST", "removed $.a", 'before: "What is it?"', "1 added"):
        assert words in shown
    oldest = tool("ls", "a", "--json")["interactions"][0]["take"]
    added = tool("diff", "a", "--take", oldest, "--json", code=1)["added"]
    assert [each["last_message"] for each in added] == ["same", "again", "What is it?"]
    with pytest.raises(ConfigurationError, match="has no take 5"):
        tool("diff", "a", "--take", 5)


def test_diff_compares_two_cassettes_by_what_replay_gets(tool: Tool, cassettes: Path) -> None:
    make(cassettes / "a.sqlite", [recorded("1", b"x")], [recorded("1", b"a"), recorded("2", b"b")])
    make(cassettes / "b.sqlite", [recorded("2", b"b"), recorded("1", b"a")])
    assert tool("diff", "a", "b", "--json")["counts"]["same_total"] == 2
    make(cassettes / "c.sqlite", [recorded("1", b"a"), recorded("1", b"c")])
    found = tool("diff", "a", "c", "--json", code=1)
    assert (found["counts"]["answers_changed_total"], found["counts"]["removed_total"]) == (1, 1)
    assert "1 answer before, 2 after" in tool("diff", "a", "c", code=1)
    assert found["removed"][0]["last_message"] == "2"
    with pytest.raises(ConfigurationError, match="--take applies to one"):
        tool("diff", "a", "c", "--take", 1)


def test_show_tells_an_interaction_by_id_number_or_fingerprint(tool: Tool, cassettes: Path) -> None:
    events = [
        b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text
        for text in (b"Par", b"is\\u001b[31m")
    ]
    one = recorded("Where?", *events, b"data: [DONE]\n\n", headers=EVENTS)
    other = recorded("Sound?", b"\xff\xfe", headers=((b"content-type", b"audio/mpeg"),))
    make(cassettes / "a.sqlite", [one, other])
    found = [tool("show", "a", name, "--json") for name in (one.id, 1, one.fingerprint)]
    assert found[0] == found[1] == found[2]
    assert found[0]["answer"]["text"] == "Paris\x1b[31m"
    assert found[0]["answer"]["body"] == one.body.decode()
    assert [each["at_us"] for each in found[0]["timeline"]["chunks"]] == [10000, 20000, 30000]
    shown = tool("show", "a", 1)
    assert "Paris" in shown
    assert "\x1b" not in shown
    assert "20.0 ms" in shown
    assert tool("show", "a", 2, "--json")["answer"]["body_base64"] == "//4="
    assert "2 bytes of audio/mpeg" in tool("show", "a", 2)
    for name in ("3", "0", "v1:0", "x", "9" * 19, "9" * 25):
        with pytest.raises(ConfigurationError, match="has no interaction"):
            tool("show", "a", name)


def test_unused_lists_a_hundred_for_a_person_and_counts_all(
    tool: Tool, cassettes: Path, tmp_path: Path
) -> None:
    make(cassettes / "a.sqlite", [recorded(f"question {each}", b"a") for each in range(101)])
    (tmp_path / "r.json").write_text('{"cassettes": {"a": {"used": []}}}')
    shown = tool("unused", "a", "--report", "r.json", code=1)
    assert "101 recordings of 'a' that no report has used, of which the first 100" in shown
    assert ("question 99" in shown, "question 100" in shown) == (True, False)
    assert len(tool("unused", "a", "--report", "r.json", "--json", code=1)["unused"]) == 101
