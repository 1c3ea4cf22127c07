"""Code that a child process runs before anything else, without a setting for it.

    env = child_environment(tmp_path, COARSE_CLOCK, SAME_PROCESS_NUMBER)
    with Proxy(tmp_path, **env, MODE="record"): ...

Python imports ``sitecustomize`` from ``PYTHONPATH`` when it starts, in workers too.
"""

import os
from pathlib import Path

from tests.support.servers import clean_environment

#: All clocks tick every 20 ms, so many requests of different processes get the same time.
COARSE_CLOCK = """
import time
def coarse(real):
    return lambda *which: real(*which) // 20_000_000 * 20_000_000
time.time_ns = coarse(time.time_ns)
time.monotonic_ns = coarse(time.monotonic_ns)
time.clock_gettime_ns = coarse(time.clock_gettime_ns)
"""
#: As in two containers, in each of which the proxy is process 1.
SAME_PROCESS_NUMBER = """
import secrets
secrets.randbelow = lambda below: 1
"""
#: The wall clock of each process is a day behind that of the previous process, and is set back an
#: hour by every reading.
CLOCK_SET_BACK = """
import os, tempfile, time
with open(os.path.join(os.path.dirname(__file__), "processes"), "a") as started:
    started.write(".")
    started.flush()
    days = os.fstat(started.fileno()).st_size
wall, hours = time.time_ns, 0
def set_back():
    global hours
    hours += 1
    return wall() - (days * 24 + hours) * 3_600_000_000_000
time.time_ns = set_back
time.time = lambda: set_back() / 1e9
"""


def child_environment(directory: Path, *pieces: str) -> dict[str, str]:
    """The environment in which child processes run these pieces first."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sitecustomize.py").write_text("\n".join(pieces))
    path = clean_environment()["PYTHONPATH"]
    return {"PYTHONPATH": os.pathsep.join([str(directory), path])}
