"""The time that each tape tool takes on a large cassette.

    python -m benchmarks.tools           # 100,000 interactions

Every command is a process of its own, and its start counts. The fastest of three runs counts;
commands that change a cassette run once. Processor time is shown too, since other work on the
machine does not change it. The cassette is that of ``benchmarks.growth``.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import chats
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction

ROUNDS = 3
#: Copies made before a merge: the first large file that a virtual machine writes is slow.
COPIES = 4


def reports(directory: Path, unused: int) -> None:
    """A report that uses all interactions of ``a`` except ``unused`` ones."""
    with Archive(directory / "a.sqlite") as archive:
        ids = sorted(archive.answers().ids())
    report = {"cassettes": {name: {"used": ids[unused:]} for name in "ab"}}
    (directory / "report.json").write_text(json.dumps(report))


def small(directory: Path) -> None:
    """A cassette with one of the interactions of ``a``."""
    with Archive(directory / "a.sqlite") as archive:
        take_id, one = next(archive.interactions())
        with transaction(directory / "small.sqlite") as change:
            for take in archive.takes():
                change.add_take(take)
            change.add(take_id, one)


def seconds(directory: Path, command: str, rounds: int) -> tuple[float, float]:
    """The fastest of some runs: wall time and processor time."""
    taken = []
    for number in range(rounds):
        if rounds == COPIES and number:
            (directory / "b.sqlite").unlink()
        began, used = time.perf_counter(), processor()
        done = subprocess.run(
            [sys.executable, "-m", "replay_proxy.cli", *command.split(), "--store", "."],
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        taken.append((time.perf_counter() - began, processor() - used))
        assert done.returncode < 2, done.stderr
    return min(each for each, _ in taken), min(each for _, each in taken)


def processor() -> float:
    """Processor time of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=100_000)
    size = parser.parse_args().size
    directory = Path(tempfile.mkdtemp())
    try:
        shutil.copy(chats.cached(size) / "default.sqlite", directory / "a.sqlite")
        reports(directory, unused=size // 100)
        small(directory)
        for command, rounds in (
            ("ls", ROUNDS),
            ("ls a", ROUNDS),
            (f"ls a --offset {size - 50}", ROUNDS),
            (f"show a {size // 2}", ROUNDS),
            ("unused a --report report.json", ROUNDS),
            ("diff a", ROUNDS),
            ("merge b a", COPIES),
            ("diff a b", ROUNDS),
            ("diff small a", ROUNDS),
            ("merge a small", ROUNDS),
            ("merge b a", 1),
            ("prune b --report report.json", 1),
            ("rename b c", 1),
            ("rm c", 1),
        ):
            clock, cpu = seconds(directory, command, rounds)
            print(f"{command:>34}{clock:>8.1f} s{cpu:>8.1f} s of the processor", flush=True)
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
