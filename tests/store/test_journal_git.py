"""git beside a recorder: whatever it does to a cassette, no file is mixed and no answer is lost.

A model holds what the cassette has to hold: what git put there, and what was recorded since. Each
answer that a client has seen whole is there, in a cassette of another name, or in git.
"""

import os
import random
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from replay_proxy.store.files.journals import has_journal
from replay_proxy.store.files.plain_files import settle
from tests.store.test_journal import Proxy, at_rest, bodies, kept_bodies
from tests.support.nursery import Nursery
from tests.support.tape import make, recorded
from tests.support.upstream import Upstream

BRANCHES = ["main", "one", "two"]


class History:
    """A repository whose branches have a cassette each, and a proxy that records into it."""

    def __init__(self, root: Path, seed: int, start: Callable[[Path], Proxy]) -> None:
        self.root, self.store = root, root / "cassettes"
        self.path = self.store / "default.sqlite"
        self.start_proxy = start
        self.random = random.Random(seed)
        self.proxy: Proxy | None = None
        self.seen: list[bytes] = []
        self.done: list[str] = []
        self.git("init", "--quiet", "--initial-branch=main")
        (root / ".gitignore").write_text("*.sqlite-*\n*-kept-*\n")
        for branch in BRANCHES:
            if branch != "main":
                self.git("checkout", "--quiet", "-b", branch, "main")
            make(self.path, [recorded(branch, branch.encode())])
            self.git("add", "--all")
            self.git("commit", "--quiet", "--message", branch)
        self.current = bodies(self.path)

    def git(self, *words: str) -> bytes:
        """What git prints; whether it refuses is its own affair."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": "true",
            **{f"GIT_{who}_NAME": "a" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "a@example.org" for who in ("AUTHOR", "COMMITTER")},
        }
        done = subprocess.run(
            ["git", *words], cwd=self.root, env=environment, capture_output=True, check=False
        )
        return done.stdout

    def step(self) -> None:
        steps = [self.ask, self.ask, self.start, self.kill, self.stop, self.commit, self.look]
        steps += [self.check_out, self.check_out, self.stash, self.stash, self.merge, self.rebase]
        if self.proxy or has_journal(self.path):  # Else it would be the user who discards them.
            steps += [self.reset, self.force]
        if self.proxy:
            steps += [self.clean]
        self.random.choice(steps)()

    def ask(self) -> None:
        if self.proxy is None:
            return
        word = f"answer {len(self.seen)}"
        self.done.append(word)
        assert self.proxy.ask(word) == 200, self.done
        self.seen.append(self.proxy.seen[-1])
        self.current = [*self.current, self.seen[-1]]

    def start(self) -> None:
        if self.proxy is None:
            self.done.append("start")
            self.proxy = self.start_proxy(self.store)
        self.ask()

    def kill(self) -> None:
        if self.proxy is not None:
            self.done.append("kill")
            self.proxy.kill()
            self.proxy = None

    def stop(self) -> None:
        if self.proxy is not None:
            self.done.append("stop")
            self.proxy.stop()
            self.proxy = None
            self.commit()

    def look(self) -> None:
        """A tool reads the cassette."""
        self.done.append("look")
        if self.path.exists():
            assert sorted(bodies(self.path)) == sorted(self.current), "; ".join(self.done)

    def commit(self) -> None:
        if not self.proxy:
            settle(self.path)
        self._git("commit", "--quiet", "--all", "--message=x")

    def check_out(self) -> None:
        self._git("checkout", "--quiet", self.random.choice(BRANCHES))

    def force(self) -> None:
        self._git("checkout", "--quiet", "--force", self.random.choice(BRANCHES))

    def reset(self) -> None:
        self._git("reset", "--quiet", "--hard", self.random.choice(["HEAD", *BRANCHES]))

    def stash(self) -> None:
        self._git("stash", self.random.choice(["push", "pop"]))

    def merge(self) -> None:
        self._git("merge", "--quiet", "--no-edit", self.random.choice(BRANCHES))
        self._git("merge", "--abort")

    def rebase(self) -> None:
        self._git("rebase", "--quiet", self.random.choice(BRANCHES))
        self._git("rebase", "--abort")

    def clean(self) -> None:
        """Deletes the journal too: what it held is taken back at the next answer."""
        self._git("clean", "--quiet", "-fdX", "--exclude=!*-kept-*")
        self.ask()

    def _git(self, *words: str) -> None:
        before = self._file()
        self.git(*words)
        self.done.append(" ".join(words))
        if self._file() != before:
            self.done.append("…replaced it")
            self.current = plain_bodies(self.path)

    def _file(self) -> tuple[int, int]:
        """Tells files apart: an inode is used again."""
        found = self.path.stat() if self.path.exists() else None
        return (found.st_ino, found.st_mtime_ns) if found else (0, 0)

    def check(self) -> None:
        self.look()
        self.kill() if self.random.random() < 0.5 else self.stop()
        self.look()
        settle(self.path)
        at_rest(self.store)
        found = {*self.current, *kept_bodies(self.store)}
        for commit in self.git("rev-list", "--all", "--reflog").split():
            blob = self.root / "blob"
            blob.write_bytes(self.git("show", f"{commit.decode()}:cassettes/default.sqlite"))
            found.update(plain_bodies(blob))
        assert set(self.seen) <= found, (set(self.seen) - found, self.done)


def plain_bodies(path: Path) -> list[bytes]:
    """What the file itself holds, whatever is beside it."""
    if not path.exists() or not path.stat().st_size:
        return []
    copy = path.with_name(".copy")
    copy.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(f"{copy.as_uri()}?immutable=1", uri=True)) as connection:
        found = [row[0] for row in connection.execute("SELECT body FROM interaction ORDER BY id")]
    copy.unlink()
    return found


@pytest.mark.parametrize("seed", range(4))
def test_whatever_git_does_beside_a_recorder_nothing_is_mixed_or_lost(
    seed: int, nursery: Nursery, upstream: Upstream, tmp_path: Path
) -> None:
    history = History(tmp_path, seed, lambda store: Proxy(nursery, upstream, store))
    history.start()
    for _ in range(25):
        history.step()
    history.check()
