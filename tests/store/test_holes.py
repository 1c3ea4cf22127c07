"""A cassette of kilobytes whose size is a terabyte: a hole is neither read nor copied."""

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from replay_proxy.cli.commands import app
from replay_proxy.errors import CassetteDamaged, StoreError
from replay_proxy.store import Store
from replay_proxy.store.files import pages
from tests.support.tape import make, recorded

TERABYTE = 1 << 40
TOOLS = (
    "ls",
    "ls odd",
    "show odd 1",
    "verify odd",
    "export odd -o twin.jsonl",
    "diff odd",
    "diff odd good",
    "diff good odd",
    "merge new odd good",
    "merge new good odd",
    "merge good odd",
    "merge odd good",
    "prune odd",
    "prune odd --dry-run",
    "unused odd --report report.json",
    "refresh odd",
    "fit odd",
    "git-merge good.sqlite odd.sqlite good.sqlite name",
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store, in which nobody can write more than some megabytes to a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE", ".")
    (tmp_path / "report.json").write_text(json.dumps({"cassettes": {"odd": {"used": []}}}))
    make(tmp_path / "good.sqlite", [recorded("1", b"x")])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def stretch(path: Path, *, told: bool) -> None:
    """Make it a terabyte long; ``told`` is whether its header says so too."""
    content = bytearray(path.read_bytes())
    if told:
        content[28:32] = (TERABYTE // int.from_bytes(content[16:18])).to_bytes(4)
    path.write_bytes(content)
    os.truncate(path, TERABYTE)


@pytest.mark.parametrize("told", [False, True], ids=["size", "size and header"])
def test_a_tool_refuses_a_cassette_that_is_mostly_a_hole(store: Path, *, told: bool) -> None:
    path = make(store / "odd.sqlite", [recorded("1", b"abc")], [recorded("1", b"abd")])
    stretch(path, told=told)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, limit))
    for words in TOOLS:
        result = CliRunner().invoke(app, words.split())
        said = result.output + str(result.exception)
        if words == "ls" or words.startswith("verify"):
            assert result.exit_code == (0 if words == "ls" else 1), words
        else:
            assert isinstance(result.exception, StoreError), (words, said)
        assert "1,099,511,627,776 bytes are a hole" in said, words
    assert not (store / "new.sqlite").exists()
    assert not list(store.glob(".*.part"))
    opened = Store(store, writable=False)
    with pytest.raises(CassetteDamaged, match="hole"):
        opened.open("odd")
    opened.close()


def test_pages_that_a_file_system_has_compressed_are_no_hole(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(store / "odd.sqlite", [recorded("1", b"abc")])
    monkeypatch.setattr(pages, "content_bytes", lambda found: found.st_size // 1000)
    for words in ("verify odd", "merge new odd good"):
        assert CliRunner().invoke(app, words.split()).exit_code == 0
