"""The cost of the pytest plugin for a pytest run that does not use it.

    python -m benchmarks.plugin_import            # 40 pairs

Each pair runs a suite of one empty test in two processes, with the plugin and with
``-p no:replay_proxy``. The median of the differences is printed. Other plugins are blocked, since
their imports would hide those of this one.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from importlib.metadata import entry_points
from pathlib import Path

BUDGET_MS = 30.0


def start_ms(directory: Path, blocked: Collection[str]) -> tuple[float, float]:
    """Wall time and processor time of one pytest run, in milliseconds."""
    before, began = processor_s(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(f"-pno:{name}" for name in blocked)],
        cwd=directory,
        env={name: each for name, each in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    wall = time.perf_counter() - began
    return wall * 1e3, (processor_s() - before) * 1e3


def processor_s() -> float:
    """Processor time of the child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=40)
    pairs = parser.parse_args().pairs
    others = {found.name for found in entry_points(group="pytest11")} - {"replay_proxy"}
    blocked = {"with": others, "without": others | {"replay_proxy"}}
    differences: list[tuple[float, float]] = []
    without: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "test_nothing.py").write_text("def test_nothing(): pass\n")
        for names in blocked.values():
            start_ms(directory, names)  # compiles what is compiled once
        for number in range(pairs):
            order = sorted(blocked, reverse=bool(number % 2))
            taken = {which: start_ms(directory, blocked[which]) for which in order}
            one, other = taken["with"], taken["without"]
            differences.append((one[0] - other[0], one[1] - other[1]))
            without.append(other[0])
    print(f"a start without the plugin   {statistics.median(without):8.1f} ms")
    for column, what in enumerate(("wall time", "processor time")):
        values = [pair[column] for pair in differences]
        low, median, high = statistics.quantiles(values, n=4)
        print(f"the plugin adds, {what:<15} {median:5.1f} ms ({low:.1f} to {high:.1f})")
    print(f"{'the budget':<28} {BUDGET_MS:8.1f} ms")


if __name__ == "__main__":
    main()
