"""A symbolic link in a store is read through and never written through."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from replay_proxy.cli.commands import app
from replay_proxy.errors import ReplayProxyError, StoreError
from replay_proxy.store import Store
from tests.support.tape import make, recorded, stored


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store whose cassette ``a`` is a link to a file outside."""
    outside, store = tmp_path / "outside", tmp_path / "store"
    outside.mkdir()
    store.mkdir()
    make(outside / "other.sqlite", [recorded("1", b"a")], [recorded("1", b"b")])
    make(store / "b.sqlite", [recorded("2", b"c")])
    (store / "a.sqlite").symlink_to(outside / "other.sqlite")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE", "store")
    return store


def test_nothing_is_recorded_through_a_link(store: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (store / "new.sqlite").symlink_to(outside / "new.sqlite")
    before = {each: each.read_bytes() for each in outside.iterdir()}
    for name in ("a", "new"):
        it = Store(store, writable=True)
        with pytest.raises(StoreError, match="symbolic link"):
            asyncio.run(it.cassette(name).add(recorded("3", b"d")))
        it.close()
    assert {each: each.read_bytes() for each in outside.iterdir()} == before


@pytest.mark.parametrize(
    "words",
    [
        "prune a",
        "merge a b",
        "import twin.jsonl --cassette a",
        "git-merge b.sqlite store/a.sqlite store/b.sqlite name",
        "export b -o store/link.jsonl",
    ],
)
def test_no_tool_writes_through_a_link(words: str, store: Path, tmp_path: Path) -> None:
    target = tmp_path / "outside" / "target"
    target.write_text("mine")
    (store / "link.jsonl").symlink_to(target)
    twin = CliRunner().invoke(app, ["export", "b"]).stdout_bytes
    (tmp_path / "twin.jsonl").write_bytes(twin)
    (tmp_path / "b.sqlite").write_bytes((store / "b.sqlite").read_bytes())
    before = {each: each.read_bytes() for each in (tmp_path / "outside").iterdir()}
    result = CliRunner().invoke(app, words.split())
    assert isinstance(result.exception, ReplayProxyError), result.output
    assert "symbolic link" in str(result.exception)
    assert {each: each.read_bytes() for each in (tmp_path / "outside").iterdir()} == before


def test_a_link_is_read_and_can_be_renamed_and_removed(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "outside" / "other.sqlite"
    before = target.read_bytes()
    answer = stored(store, recorded("1", b"").request, cassette="a")
    assert answer is not None
    assert answer.body == b"b"
    for words in ("ls a", "verify a", "rename a c", "rm c"):
        assert CliRunner().invoke(app, words.split()).exit_code == 0, words
    assert target.read_bytes() == before


def test_the_store_itself_may_be_a_link(store: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(store)
    it = Store(tmp_path / "linked", writable=True)
    asyncio.run(it.cassette("b").add(one := recorded("3", b"d")))
    it.close()
    assert stored(store, one.request, cassette="b") == one


def test_a_journal_that_is_a_link_is_not_written_through(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "outside" / "target"
    target.write_text("mine")
    for ending in ("-wal", "-shm", "-journal"):
        (store / f"b.sqlite{ending}").symlink_to(target)
        it = Store(store, writable=True)
        try:
            asyncio.run(it.cassette("b").add(recorded("3", b"d")))
        except StoreError:
            pass
        finally:
            it.close()
        assert target.read_text() == "mine", ending
        (store / f"b.sqlite{ending}").unlink(missing_ok=True)


def test_a_mark_that_leads_to_a_device_is_not_read(store: Path) -> None:
    """A repository can hold such a link; /dev/zero in its place would fill the memory."""
    (store / "b.sqlite-link").touch()
    os.mkfifo(store / "pipe")  # It would be waited for.
    (store / "b.sqlite-mark").symlink_to("pipe")
    command = [sys.executable, "-m", "replay_proxy.cli", "ls", "b"]
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


def test_a_link_to_itself_is_refused_in_words(store: Path) -> None:
    (store / "loop.sqlite").symlink_to("loop.sqlite")
    it = Store(store, writable=True)
    with pytest.raises(StoreError, match="symbolic link"):
        asyncio.run(it.cassette("loop").add(recorded("3", b"x")))
    it.close()
