"""A linked worktree of git is a place like any other, and tracked side files do no harm."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from replay_proxy.store.files.journals import wal
from replay_proxy.store.files.plain_files import settle
from tests.store.test_journal import Proxy, bodies, kept_bodies
from tests.support.nursery import Nursery
from tests.support.tape import make, recorded
from tests.support.upstream import Upstream


def git(root: Path, *words: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@example.org"}
    done = subprocess.run(
        ["git", *words], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A repository of two branches, each with a recording of its own in one cassette."""
    root = tmp_path / "main"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=one")
    (root / ".gitignore").write_text("*.sqlite-*\n.*.sqlite*\n*-kept-*\n")
    for branch in ("one", "two"):
        if branch == "two":
            git(root, "checkout", "--quiet", "-b", branch)
        make(root / "cassettes" / "default.sqlite", [recorded(branch, branch.encode())])
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--message", branch)
    return root


def place(main: Path, linked: bool) -> Path:
    """The main worktree on branch two, or a linked one on a branch that begins there."""
    if not linked:
        return main
    git(main, "worktree", "add", "--quiet", "-b", "three", "../linked", "two")
    return main.parent / "linked"


def killed(
    nursery: Nursery, upstream: Upstream, root: Path, words: Sequence[str] = ("first", "second")
) -> list[bytes]:
    """What a proxy has recorded in a worktree before it was killed."""
    proxy = Proxy(nursery, upstream, root / "cassettes")
    for word in words:
        assert proxy.ask(word) == 200
    proxy.kill()
    assert wal(root / "cassettes" / "default.sqlite").exists()
    return proxy.seen


@pytest.mark.parametrize("linked", [False, True], ids=["main", "linked"])
def test_a_kill_in_a_linked_worktree_is_as_one_in_the_main_worktree(
    main: Path, nursery: Nursery, upstream: Upstream, *, linked: bool
) -> None:
    root = place(main, linked)
    path = root / "cassettes" / "default.sqlite"
    seen = killed(nursery, upstream, root)
    if linked:  # What stands in the other worktree is not touched.
        assert bodies(main / "cassettes" / "default.sqlite") == [b"one", b"two"]
        git(main, "worktree", "move", str(root), "../moved")
        root = main.parent / "moved"
        path = root / "cassettes" / "default.sqlite"
    assert bodies(path) == [b"one", b"two", *seen]
    assert not wal(path).exists()
    git(root, "commit", "--quiet", "--all", "--message=recorded")
    assert git(root, "status", "--porcelain") == ""
    more = killed(nursery, upstream, root, ["third"])
    git(root, "checkout", "--quiet", "--force", "HEAD~1", "--", ".")
    assert bodies(path) == [b"one", b"two"]
    assert kept_bodies(root / "cassettes") == [*seen, *more]


@pytest.mark.parametrize("linked", [False, True], ids=["main", "linked"])
def test_side_files_that_git_tracks_do_no_harm(
    main: Path, nursery: Nursery, upstream: Upstream, *, linked: bool
) -> None:
    """``git add -f`` after a kill: a checkout brings them back without what binds them."""
    root = place(main, linked)
    seen = killed(nursery, upstream, root)
    path = root / "cassettes" / "default.sqlite"
    journal = wal(path).read_bytes()
    git(root, "add", "--all", "--force")
    git(root, "commit", "--quiet", "--message=all of it")
    tracked = git(root, "ls-files", "cassettes").split()
    assert len(tracked) > 2
    copy = root.parent / "copy"
    git(root, "clone", "--quiet", ".", str(copy))
    assert bodies(copy / "cassettes" / "default.sqlite") == [b"one", b"two"]
    (kept,) = (copy / "cassettes").glob("default-kept-*-wal")
    assert kept.read_bytes() == journal
    # Here the journal is settled; git then puts the old one, and all beside it, back.
    assert bodies(path) == [b"one", b"two", *seen]
    settle(path)
    plain = path.read_bytes()
    for each in tracked:
        if not each.endswith("default.sqlite"):
            git(root, "checkout", "--quiet", "HEAD", "--", each)
    assert bodies(path) == [b"one", b"two", *seen]
    assert path.read_bytes() == plain
    proxy = Proxy(nursery, upstream, root / "cassettes")
    assert proxy.ask("third") == 200
    proxy.stop()
    assert bodies(path) == [b"one", b"two", *seen, *proxy.seen]
