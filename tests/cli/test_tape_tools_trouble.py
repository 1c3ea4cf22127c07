"""Full disks, refused files, signals and closed pipes: cassettes are whole, as before or as after.

The tools run as processes here, and what the system does to them is real.
"""

import asyncio
import ctypes
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from replay_proxy.cli.commands import app
from replay_proxy.store import Store
from replay_proxy.store.archive import Archive
from tests.support.tape import make, recorded

#: Capabilities by which root may do what permissions forbid (linux/capability.h).
PR_CAPBSET_DROP, OVERRIDES = 24, (1, 2, 3)
Before = Callable[[], None]


def start(*words: object, before: Before | None = None, **streams: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "replay_proxy.cli", *map(str, words)],
        preexec_fn=before,
        stdout=streams.get("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
    )


def said(tool: subprocess.Popen[str], code: int) -> str:
    """What a tool has printed; it had to exit with ``code``, and with no traceback."""
    printed = "".join(filter(None, tool.communicate(timeout=60)))
    assert tool.returncode == code, printed
    assert "Traceback" not in printed
    return printed


def at_most(size: int) -> Before:
    """No file may grow beyond this size, as if the disk were full then."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def as_somebody() -> None:
    """Be held to permissions, root too."""
    if os.geteuid() == 0:
        for capability in OVERRIDES:
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def heeding_signals() -> None:
    """Also where the tests run in the background."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def many(name: str, count: int) -> Path:
    """A cassette of so many answers of 3 kB."""
    return make(
        Path(f"{name}.sqlite"), [recorded(f"{name} {n}", b"x" * 3000) for n in range(count)]
    )


def count(path: Path) -> int:
    with Archive(path) as archive:
        return sum(1 for _ in archive.rows())


def files() -> set[str]:
    return set(os.listdir())


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_full_disk_never_leaves_a_new_cassette_that_is_not_whole() -> None:
    many("a", 200), many("b", 100)
    before = files()
    limit = Path("a.sqlite").stat().st_size + 200_000
    for size in (4096, 50_000, limit):
        tool = start("merge", "new.sqlite", "a.sqlite", "b.sqlite", before=at_most(size))
        assert "Check the disk, its free space" in said(tool, 2)
        assert files() == before


def test_a_full_disk_changes_all_or_nothing_and_a_rest_in_the_journal_is_said_to_be_there() -> None:
    path, _ = many("a", 200), many("b", 100)
    size = path.stat().st_size
    before = files()
    tool = start("merge", "a.sqlite", "b.sqlite", before=at_most(100_000))
    assert "Check the disk" in said(tool, 2)
    assert (files(), count(path)) == (before, 200)
    tool = start("merge", "a.sqlite", "b.sqlite", before=at_most(size + 200_000))
    assert "is changed, but a.sqlite-wal still holds a part of the change" in said(tool, 2)
    said(start("ls", "a.sqlite"), 0)
    assert (files(), count(path)) == (before, 300)


def test_what_is_deleted_is_deleted_though_there_is_no_room_to_pack_the_file() -> None:
    names = [f"q{number}" for number in range(200)]
    takes = [[recorded(name, text * 3000) for name in names] for text in (b"a", b"b")]
    path = make(Path("a.sqlite"), *takes)
    size = path.stat().st_size
    assert "Deleted 200" in said(start("prune", "a.sqlite", before=at_most(size)), 0)
    assert (count(path), files()) == (200, {"a.sqlite"})
    assert path.stat().st_size == size, "there was room"


def test_a_journal_that_a_killed_process_has_left_is_rolled_back_by_whoever_reads() -> None:
    path = many("a", 20)
    half = """
import os, sqlite3
c = sqlite3.connect("a.sqlite", isolation_level=None)
c.execute("PRAGMA cache_size = 1")
c.execute("BEGIN IMMEDIATE")
c.execute("UPDATE interaction SET body = zeroblob(5000)")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", half], check=False)
    assert "a.sqlite-journal" in files()
    assert "0 findings in 20 interactions" in said(start("verify", path), 0)
    assert files() == {"a.sqlite"}


@pytest.mark.parametrize(
    "words",
    [
        ["ls", "a.sqlite", "--limit", "1000"],
        ["show", "a.sqlite", "1"],
        ["export", "a.sqlite"],
        ["verify", "a.sqlite", "--json"],
    ],
)
def test_what_cannot_be_printed_is_no_traceback(words: list[str]) -> None:
    many("a", 100)
    with open("/dev/full", "w") as full:
        assert "No space left on device. Check" in said(start(*words, stdout=full.fileno()), 2)
    reader, writer = os.pipe()
    os.close(reader)
    assert said(start(*words, stdout=writer), 128 + signal.SIGPIPE) == ""
    os.close(writer)


def test_what_the_user_may_not_do_is_said_with_the_name_of_the_file() -> None:
    Path("store").mkdir()
    many("store/a", 3), many("store/b", 3)
    said(start("export", "store/a.sqlite", "-o", "a.jsonl"), 0)
    Path("store").chmod(0o555)
    for words, name in (
        (["rm", "a", "b"], "store/a.sqlite"),
        (["rename", "a", "c"], "store/a.sqlite"),
        (["merge", "a", "b"], "store/a.sqlite"),
        (["merge", "c", "b"], "store/c.sqlite"),
        (["import", "a.jsonl", "--cassette", "c"], "store/c.sqlite"),
    ):
        printed = said(start(*words, "--store", "store", before=as_somebody), 2)
        assert f"{name} cannot be" in printed
        assert "Check" in printed
    Path("store").chmod(0o444)
    assert "Permission denied" in said(start("ls", "--store", "store", before=as_somebody), 2)
    Path("store").chmod(0o755)
    assert set(os.listdir("store")) == {"a.sqlite", "b.sqlite"}


def test_what_is_no_file_is_said_to_be_none() -> None:
    def error(*words: str) -> str:
        return str(CliRunner().invoke(app, words).exception)

    Path("d.sqlite").mkdir()
    os.mkfifo("f.sqlite")
    Path("l.sqlite").symlink_to("nowhere")
    many("a", 1)
    for name in ("d.sqlite", "f.sqlite"):
        for words in (["ls", name], ["export", name], ["merge", "a.sqlite", name], ["prune", name]):
            assert f"{name} is not a file" in error(*words)
    assert "f.sqlite is not a file" in said(start("verify", "f.sqlite"), 1)
    assert "l.sqlite is a link to a missing file" in error("merge", "l.sqlite", "a.sqlite")
    listed = said(start("ls", "--store", "."), 0)
    assert "l: Cassette l.sqlite does not exist" in listed
    assert "d: Cassette d.sqlite is not a file" in listed


def test_rm_deletes_all_or_none() -> None:
    many("a", 1), many("b", 1)
    with closing(sqlite3.connect("b.sqlite")) as recorder:
        recorder.execute("PRAGMA journal_mode = WAL")
        recorder.execute("UPDATE take SET run = 'x'")
        assert "b.sqlite is in use" in said(start("rm", "a.sqlite", "b.sqlite"), 2)
    assert {"a.sqlite", "b.sqlite"} <= files()


@pytest.mark.parametrize(
    ("number", "target"),
    [
        (signal.SIGINT, "new"),
        (signal.SIGTERM, "new"),
        (signal.SIGTERM, "a"),
        (signal.SIGHUP, "a"),
        (signal.SIGKILL, "new"),
        (signal.SIGKILL, "a"),
    ],
)
def test_a_signal_leaves_a_cassette_as_it_was(number: signal.Signals, target: str) -> None:
    many("a", 5)
    said(start("export", many("b", 1000), "-o", "b.jsonl"), 0)
    before = files()
    tool = start(
        "import",
        "b.jsonl",
        "--cassette",
        f"{target}.sqlite",
        before=heeding_signals,
    )
    while files() == before:
        assert tool.poll() is None, "it has begun to write"
    tool.send_signal(number)
    killed = number == signal.SIGKILL
    assert said(tool, -number if killed else 128 + number) == ""
    assert count(Path("a.sqlite")) == 5
    assert killed or files() == before
    said(start("import", "b.jsonl", "--cassette", f"{target}.sqlite"), 0)
    listed = said(start("verify", "--store", "."), 0)
    assert "0 findings in 2,005 interactions" in listed


def test_a_pipe_can_be_imported() -> None:
    text = said(start("export", many("a", 2)), 0)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "replay_proxy.cli",
            "import",
            "/dev/stdin",
            "--cassette",
            "b.sqlite",
        ],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Imported 2 interactions" in done.stdout, done.stderr
    assert count(Path("b.sqlite")) == 2


def test_what_a_tool_deletes_takes_no_recorder_its_take(directory: Path) -> None:
    async def meanwhile() -> None:
        await recorder.cassette("a").add(recorded("q", b"new"))
        assert "Deleted 1" in said(start("prune", "a.sqlite"), 0)
        await recorder.cassette("a").add(recorded("r", b"kept"))

    make(Path("a.sqlite"), [recorded("q", b"old")])
    recorder = Store(directory, writable=True)
    try:
        asyncio.run(meanwhile())
    finally:
        recorder.close()
    assert "0 findings in 2 interactions" in said(start("verify", "a.sqlite"), 0)


def test_who_reads_a_text_slowly_holds_up_no_recorder() -> None:
    many("a", 100)
    pager = start("export", "a.sqlite")
    assert pager.stdout is not None
    assert pager.stdout.readline() == '{"cassette":1}\n'
    with closing(sqlite3.connect("a.sqlite", timeout=0)) as recorder:
        recorder.execute("BEGIN EXCLUSIVE")  # Raises when the pager's tool has a lock.
    said(pager, 0)


def test_import_of_what_has_no_end_or_is_no_file_says_so() -> None:
    os.mkfifo("pipe.jsonl")
    Path("directory.jsonl").mkdir()
    with open("hole.jsonl", "wb") as hole:
        hole.truncate(300 << 30)
    for name, cause in {
        "pipe.jsonl": "is a named pipe",
        "/dev/zero": "is a device",
        "directory.jsonl": "has no file with a recording's ending",
        "hole.jsonl": "larger than 512 MiB",
    }.items():
        assert cause in said(start("import", name, "--cassette", "b"), 2)
    assert not Path("b.sqlite").exists()
