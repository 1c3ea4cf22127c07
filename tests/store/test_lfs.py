"""A pointer of Git LFS in the place of a cassette: every tool and the proxy say what it is."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from replay_proxy.cli.commands import app
from replay_proxy.errors import CassetteDamaged, ImportRefused, StoreError
from replay_proxy.store import Store
from tests.cli.test_git import Repository
from tests.support.nursery import Nursery
from tests.support.rawclient import RawClient
from tests.support.servers import Proxy, ProxyDidNotStartError
from tests.support.tape import make, recorded

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 143360\n"
)
EXTENSIONS = "".join(f"ext-{n}-name sha256:{n}{'0' * 63}\n" for n in range(8))
POINTERS = {
    "of today": POINTER,
    "with line ends of Windows": POINTER.replace("\n", "\r\n"),
    "of an early version": POINTER.replace(
        "git-lfs.github.com/spec/v1", "hawser.github.com/spec/v1"
    ),
    "larger than a page": POINTER.replace("oid", f"{EXTENSIONS}oid"),
}
WORDS = "is a Git LFS pointer, and not the cassette itself"


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("pointer", POINTERS.values(), ids=POINTERS)
def test_a_pointer_is_told_as_one_and_stays(pointer: str, writable: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_text(pointer, newline="")
    store = Store(tmp_path, writable=writable)
    with pytest.raises(CassetteDamaged, match=WORDS) as told:
        store.cassette("a")
    store.close()
    assert "git lfs pull" in told.value.remedy
    assert path.read_bytes() == pointer.encode()
    assert os.listdir(tmp_path) == ["a.sqlite"]


@pytest.mark.parametrize(
    "content",
    [
        b"version https://git-lfs.github.com/spec/v1\n\0",
        POINTER.encode() * 9,
        b"version 1\n",
        b"x" + POINTER.encode(),
    ],
)
def test_what_only_resembles_a_pointer_is_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(content)
    with pytest.raises(CassetteDamaged, match="is damaged"):
        Store(tmp_path, writable=False).cassette("a")


@pytest.mark.parametrize(
    "words",
    [
        "ls a", "show a 1", "diff a", "unused a --report r.json", "fit a", "prune a",
        "export a", "refresh a", "merge b a", "rm a --interaction 1",
        "import a.sqlite --cassette c",
    ],
)  # fmt: skip
def test_every_tool_says_so(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPLAY_PROXY_STORE", ".")
    Path("a.sqlite").write_text(POINTER)
    Path("r.json").write_text(json.dumps({"cassettes": {"a": {"used": []}}}))
    error = CliRunner().invoke(app, words.split()).exception
    assert isinstance(error, (StoreError, ImportRefused)), error
    assert "is a Git LFS pointer, and not the" in error.message
    assert "git lfs pull" in error.message


def test_verify_and_ls_list_it_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.sqlite").write_text(POINTER)
    make(Path("b.sqlite"), [recorded("1", b"1")])
    for tool, other in (("verify", "1 interaction of 2 cassettes"), ("ls", "\nb ")):
        shown = CliRunner().invoke(app, [tool, "--store", "."]).stdout
        assert f"Cassette a.sqlite {WORDS}" in shown
        assert other in shown


def test_git_shows_which_pointer_it_is_and_merges_none(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.record(recorded("1", b"base"))
    repository.branch("theirs")
    repository.cassette.write_text(POINTER)
    repository.commit()
    shown = repository.git("show")
    assert f"+This version {WORDS}" in shown
    assert "+oid sha256:4d7a" in shown
    repository.cassette.write_text(POINTER.replace("4d7a", "0000"))
    assert "-oid sha256:4d7a" in (shown := repository.git("diff", "--unified=0"))
    assert WORDS not in shown, "the line is the same"
    repository.git("checkout", "--", ".")
    repository.git("checkout", "main")
    repository.record(recorded("2", b"ours"))
    ours = repository.cassette.read_bytes()
    said = repository.git("merge", "theirs", code=1)
    assert f"Cassette cassettes/a.sqlite (theirs) {WORDS}" in said
    assert "CONFLICT" in said
    assert repository.cassette.read_bytes() == ours


def test_the_proxy_says_so(nursery: Nursery, tmp_path: Path) -> None:
    (tmp_path / "default.sqlite").write_text(POINTER)
    with pytest.raises(ProxyDidNotStartError, match=WORDS):
        Proxy(tmp_path, STORE=".").start()
    (tmp_path / "default.sqlite").rename(tmp_path / "a.sqlite")
    make(tmp_path / "default.sqlite", [recorded("1", b"1")])
    proxy = nursery.start(STORE=str(tmp_path))
    with RawClient(proxy.base_url) as client:
        answer = client.request("GET", "/cassettes/a/v1/models")
    proxy.kill()
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (500, "cassette_damaged")
    assert WORDS in error["message"]
    assert "git lfs pull" in error["message"]
