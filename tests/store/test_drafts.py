"""Drafts: what a process makes under a hidden name, and what is left of it when it is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from replay_proxy.cli.paths import replacement
from replay_proxy.store.files.drafts import draft
from replay_proxy.store.transaction import transaction
from tests.support.paths import ROOT
from tests.support.tape import make, recorded

#: Each is killed while it makes a file in the directory that it is told.
KILLED = {
    "a new cassette": """
os.link = die
create(directory / "b.sqlite")
""",
    "a cassette of a tool": """
with transaction(directory / "b.sqlite", directory / "a.sqlite") as change:
    change.join_take("run")
    die()
""",
    "an export": """
with replacement(directory / "twin.jsonl") as content:
    content.write(b"half")
    content.flush()
    die()
""",
}
START = """
import os, signal, sys
from pathlib import Path
from replay_proxy.store.transaction import transaction
from replay_proxy.store.files.creation import create
from replay_proxy.cli.paths import replacement
directory = Path(sys.argv[1])
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
"""


def hidden(directory: Path) -> set[str]:
    return {name for name in os.listdir(directory) if name.startswith(".")}


def killed(what: str, directory: Path) -> None:
    command = [sys.executable, "-c", START + KILLED[what], str(directory)]
    assert subprocess.run(command, check=False, timeout=60).returncode < 0


@pytest.mark.parametrize("what", KILLED)
def test_what_a_killed_process_has_not_finished_goes_at_the_next_opening_to_write(
    what: str, tmp_path: Path
) -> None:
    path = make(tmp_path / "a.sqlite", [recorded("1", b"one")])
    killed(what, tmp_path)
    assert hidden(tmp_path)

    with transaction(path) as change:
        change.join_take("another")

    assert not hidden(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} <= {"a.sqlite", "b.sqlite"}


def test_an_export_removes_what_one_before_has_left(tmp_path: Path) -> None:
    killed("an export", tmp_path)

    with replacement(tmp_path / "twin.jsonl") as content:
        content.write(b"whole")

    assert os.listdir(tmp_path) == ["twin.jsonl"]


def test_a_draft_of_a_living_process_stays(tmp_path: Path) -> None:
    with draft(tmp_path) as mine:
        mine.write_bytes(b"half")
        child = (
            START + "\nwith transaction(directory / 'a.sqlite') as change: change.join_take('r')"
        )
        command = [sys.executable, "-c", child, str(tmp_path)]
        subprocess.run(command, check=True, timeout=60)
        with transaction(tmp_path / "a.sqlite") as change:
            change.join_take("mine")
        assert mine.read_bytes() == b"half"

    assert os.listdir(tmp_path) == ["a.sqlite"]


def test_only_drafts_are_removed(tmp_path: Path) -> None:
    others = {".gitignore", ".env", ".a.part", f".{'0' * 32}.part", f"{'0' * 32}.part-lock"}
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / f".{'1' * 32}.part-lock").symlink_to(tmp_path / ".env")
    (tmp_path / f".{'2' * 32}.part-lock").mkdir()

    make(tmp_path / "a.sqlite", [recorded("1", b"one")])

    assert others < set(os.listdir(tmp_path))
    assert all((tmp_path / name).read_bytes() == b"mine" for name in others)


def test_git_does_not_see_drafts(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    git("init", "--quiet")
    store = tmp_path / "cassettes"
    make(store / "a.sqlite", [recorded("1", b"one")])
    setup = [sys.executable, "-m", "replay_proxy.cli", "git-setup"]
    subprocess.run(setup, cwd=tmp_path, check=True, capture_output=True)
    for what in KILLED:
        killed(what, store)
    assert hidden(store)
    assert "part" not in git("status", "--porcelain", "--untracked-files=all")

    (tmp_path / ".gitignore").write_bytes((ROOT / ".gitignore").read_bytes())
    assert "part" not in git("status", "--porcelain", "--untracked-files=all")
