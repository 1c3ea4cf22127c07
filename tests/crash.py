"""Kill the proxy at every dangerous moment, and check what remains.

    make crash
    python -m tests.crash --rounds 30

Each scenario kills with SIGKILL on one store, many times. Afterwards every file must be intact,
every answer that a client has seen whole must be in a cassette, and no answer may be torn.
"""

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from replay_proxy.errors import StoreError
from replay_proxy.store.archive import Archive
from replay_proxy.store.files.plain_files import settle
from tests.kill import Outcome, Target, answer, clients, whole
from tests.support.nursery import Child, Nursery
from tests.support.servers import Proxy
from tests.support.upstream import Upstream


@dataclass
class Crashes:
    """The tools of a scenario."""

    nursery: Nursery
    upstream: Upstream
    store: Path
    rounds: int
    random: random.Random
    outcome: Outcome

    def start(self) -> Child:
        return self.nursery.start(
            MODE="record", STORE=str(self.store), UPSTREAM_BASE_URL=self.upstream.base_url
        )

    def record(self, child: Target, *, kill_after: int, name: str, size: int = 0) -> None:
        """Let clients record until they have seen this many answers, then kill the proxy."""
        clients(child, name, kill_after, self.outcome, size=size)


def answer_ends(crashes: Crashes) -> None:
    """At the end of an answer."""
    for number in range(crashes.rounds):
        kill_after = crashes.random.randrange(1, 12)
        crashes.record(crashes.start(), kill_after=kill_after, name=str(number))


def checkpoint(crashes: Crashes) -> None:
    """While the journal is checkpointed into the file: every few large answers."""
    for number in range(crashes.rounds):
        kill_after = crashes.random.randrange(4, 14)
        crashes.record(crashes.start(), kill_after=kill_after, name=str(number), size=700_000)


def shutdown(crashes: Crashes) -> None:
    """During the milliseconds of a clean stop."""
    for number in range(crashes.rounds):
        child = crashes.start()
        crashes.record(_Spared(child), kill_after=4, name=str(number))
        os.kill(child.pid, signal.SIGTERM)
        time.sleep(crashes.random.random() * 0.15)
        _kill(child.pid)


def creation(crashes: Crashes) -> None:
    """While the cassette is created: the file is deleted before each round."""
    for number in range(crashes.rounds):
        child = crashes.start()
        killer = threading.Timer(crashes.random.random() * 0.5, _kill, [child.pid])
        if number:  # The first is killed once an answer was seen.
            killer.start()
        crashes.record(child, kill_after=2, name=str(number))
        if number:
            killer.join()
        for path in crashes.store.glob("default.sqlite"):
            path.rename(crashes.store / f"round-{number}.sqlite")


def two_proxies(crashes: Crashes) -> None:
    """One of two proxies that record one cassette, and then the other."""
    other = crashes.start()
    for number in range(crashes.rounds):
        child = crashes.start()
        crashes.record(child, kill_after=3, name=f"{number}a")
        crashes.record(other, kill_after=3, name=f"{number}b")
        other = crashes.start()
    _kill(other.pid)


def four_at_once(crashes: Crashes) -> None:
    """Four proxies that record one cassette, as workers do, all at the same instant."""
    for number in range(crashes.rounds):
        several = _Several([crashes.start() for _ in range(4)])
        crashes.record(several, kill_after=12, name=str(number))


def four_workers(crashes: Crashes) -> None:
    """One uvicorn with four workers; a third of the rounds, since it starts slowly."""
    for number in range(max(1, crashes.rounds // 3)):
        settings = {"MODE": "record", "UPSTREAM_BASE_URL": crashes.upstream.base_url}
        with Proxy(
            crashes.store, "--workers", "4", STORE=str(crashes.store), **settings
        ) as workers:
            kill_after = crashes.random.randrange(8, 16)
            clients(workers, str(number), kill_after, crashes.outcome)


def checkout(crashes: Crashes) -> None:
    """Before or after the kill, git puts another file in the cassette's place."""
    git = _git(crashes.store)
    path = crashes.store / "default.sqlite"
    crashes.record(crashes.start(), kill_after=2, name="first")
    with Archive(path):
        pass  # Settles the file.
    git("add", ".")
    git("commit", "--quiet", "--message=x")
    for number in range(crashes.rounds):
        child = crashes.start()
        crashes.record(_Spared(child), kill_after=3, name=f"{number}a")
        before = crashes.random.random() < 0.5
        if not before:
            _kill(child.pid)
        path.unlink()
        git("checkout", "--quiet", "--force", "HEAD", "--", ".")
        if before:
            crashes.record(child, kill_after=3, name=f"{number}b")


SCENARIOS: dict[str, Callable[[Crashes], None]] = {
    "end of an answer": answer_ends,
    "checkpoint": checkpoint,
    "shutdown": shutdown,
    "creation": creation,
    "two proxies": two_proxies,
    "four at once": four_at_once,
    "four workers": four_workers,
    "git checkout": checkout,
}


class _Spared:
    """A proxy that its clients do not kill."""

    def __init__(self, child: Child) -> None:
        self.base_url = child.base_url

    def kill(self) -> None:
        """Do nothing: the scenario kills later."""


class _Several:
    """Several proxies; each request goes to the next one."""

    def __init__(self, children: list[Child]) -> None:
        self._children = children
        self._next = itertools.cycle(children)

    @property
    def base_url(self) -> str:
        return next(self._next).base_url

    def kill(self) -> None:
        """Kill all of them."""
        for child in self._children:
            child.kill()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _git(directory: Path) -> Callable[..., None]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@example.org"}

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=directory, env=environment, check=True)

    git("init", "--quiet")
    (directory / ".gitignore").write_text("*.sqlite-*\n*-kept-*\n")
    return git


def judge(store: Path, outcome: Outcome) -> None:
    """Compare the stored answers with the seen ones."""
    found: dict[bytes, bytes] = {}
    for path in sorted(store.glob("*.sqlite")):
        try:
            with Archive(path) as archive:
                for error in archive.integrity_errors():
                    outcome.damaged.append(f"{path.name}: {error}")
                for _, each in archive.interactions():
                    outcome.stored += 1
                    found[each.request.body] = each.body
                    if each.body != whole(each.request.body):
                        outcome.torn.append(each.request.body)
        except StoreError as error:
            outcome.damaged.append(f"{path.name}: {error}")
    outcome.lost += [body for body in outcome.seen if found.get(body) != whole(body)]


def crash(scenario: str, directory: Path, *, rounds: int, seed: int = 1) -> Outcome:
    """Run a scenario in a directory."""
    outcome = Outcome(rounds)
    with Upstream(answer) as upstream, Nursery() as nursery:
        chance = random.Random(seed)
        crashes = Crashes(nursery, upstream, directory, rounds, chance, outcome)
        SCENARIOS[scenario](crashes)
    # Opening a cassette whose file is gone keeps the content of its journal.
    settle(directory / "default.sqlite")
    judge(directory, outcome)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    failed = False
    print("killed at         rounds   seen  stored  lost  torn  damaged", flush=True)
    for name in SCENARIOS:
        with tempfile.TemporaryDirectory() as directory:
            outcome = crash(name, Path(directory), rounds=arguments.rounds, seed=arguments.seed)
        counts = (outcome.lost, outcome.torn, outcome.damaged)
        lost, torn, damaged = (len(each) for each in counts)
        print(
            f"{name:<18}{outcome.rounds:>7}{len(outcome.seen):>7}{outcome.stored:>8}"
            f"{lost:>6}{torn:>6}{damaged:>9}",
            flush=True,
        )
        failed = failed or any(counts)
    sys.exit(failed)


if __name__ == "__main__":
    main()
