"""The servers that benchmarks compare: how each is started, queried, timed and stopped.

Not in here: which of them are compared.
"""

import dataclasses
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.load import Job

ROOT = Path(__file__).parents[1]
AIMOCK = ROOT / ".cache" / "aimock"
AIMOCK_VERSION = "@copilotkit/aimock@1.43"
START_S = 60.0
STOP_S = 10.0
#: Maximum time by which a load may exceed its duration, to finish the answers that have begun.
LATE_S = 60.0


def free_port() -> int:
    """A free port below those for clients: a client could take one of these before it is used."""
    while True:
        port = random.randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


class Contestant:
    """A process that serves on ``port``, which replaces ``PORT`` in its command."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        settings: Mapping[str, str],
        *,
        cwd: Path = ROOT,
    ) -> None:
        self.name = name
        self.port = free_port()
        self._process = subprocess.Popen(
            [str(self.port) if word == "PORT" else word for word in command],
            env={"PATH": os.environ["PATH"], **settings},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        """Wait until it listens. Raises ``RuntimeError`` if it ends before, or takes too long."""
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    raise RuntimeError(f"{self.name} did not start; see its errors above") from None
                time.sleep(0.01)
            else:
                return

    def processor_s(self) -> float:
        """Processor time of the process without its children, in steps of nanoseconds; Linux only.

        It is read from the clock of another process, as of clock_getcpuclockid(3).
        """
        return time.clock_gettime(~self._process.pid << 3 | 2)

    def waited_s(self) -> float:
        """How long its main thread has waited for a core; Linux only."""
        return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[1]) / 1e9

    def memory_mb(self, field: str = "VmRSS") -> float:
        """See ``memory_mb``."""
        return memory_mb(self._process.pid, field)

    def load(self, job: Job) -> tuple[float | None, float]:
        """Processor ms per answer (None if the system does not report it), and answers per second.

        Raises ``RuntimeError`` at the first wrong answer.
        """
        before_s = processor_s(self._process.pid)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load"],
            input=json.dumps(dataclasses.asdict(job)),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            timeout=job.seconds + LATE_S,
            check=False,
        )
        after_s = processor_s(self._process.pid)
        if done.returncode:
            raise RuntimeError(f"{self.name} gave a wrong answer, or none; see above")
        count, took_s = json.loads(done.stdout)
        used = before_s is not None and after_s is not None
        return (1000 * (after_s - before_s) / count if used else None), count / took_s

    def stop(self) -> None:
        """End the process, by force if necessary."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def processor_s(root: int) -> float | None:
    """Processor time of a process and its children, ended ones included; None without /proc."""
    if not Path(f"/proc/{root}/stat").exists():
        return None
    used, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # The process has ended meanwhile.
            continue
        number = int(path.parent.name)
        parents[number] = int(fields[1])
        used[number] = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    tree = {root}
    while more := {number for number, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sum(used.get(number, 0) for number in tree) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, field: str = "VmRSS") -> float:
    """Memory as the kernel counts it; ``VmHWM`` is its peak. Needs /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if field in line) / 1024


def uvicorn(name: str, app: str, **settings: str) -> Contestant:
    command = [sys.executable, "-m", "uvicorn", app, "--port", "PORT", "--no-access-log"]
    # With uvicorn's 5 s, an idle upstream would close connections just before their next use.
    quiet = ("--log-level", "warning", "--timeout-keep-alive", "600")
    return Contestant(name, [*command, *quiet], settings)


def proxy(name: str, **settings: str) -> Contestant:
    return uvicorn(name, "replay_proxy.main:app", **settings)


def aimock(name: str, fixtures: Path, *options: str) -> Contestant:
    program = str(AIMOCK / "node_modules" / ".bin" / "llmock")
    quiet = ("--log-level", "silent")
    return Contestant(name, [program, "-f", str(fixtures), "-p", "PORT", *quiet, *options], {})


def has_aimock() -> bool:
    """Whether aimock can run. It is installed if npm is present and reaches its registry."""
    if not shutil.which("npm"):
        return False
    if not (AIMOCK / "node_modules" / ".bin" / "llmock").exists():
        AIMOCK.mkdir(parents=True, exist_ok=True)
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")
        command = ["npm", "install", "--prefix", str(AIMOCK), *quiet, AIMOCK_VERSION]
        try:
            subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"aimock could not be installed: {error}", file=sys.stderr)
            return False
    return True


def write_fixtures(path: Path, answers: Mapping[str, str]) -> Path:
    """Write aimock's file of prompts and their answers."""
    fixtures = [
        {"match": {"userMessage": prompt}, "response": {"content": text}}
        for prompt, text in answers.items()
    ]
    path.write_text(json.dumps({"fixtures": fixtures}))
    return path


def first_text(contestant: Contestant, body: str) -> str:
    """The text of the answer to one request, joined from its events. Raises if it is not whole."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{contestant.port}/v1/chat/completions",
        body.encode(),
        {"content-type": "application/json", "authorization": "Bearer x"},
    )
    with urllib.request.urlopen(request, timeout=START_S) as answer:
        content = answer.read().decode()
    if '"stream":true' not in body:
        return str(json.loads(content)["choices"][0]["message"]["content"])
    *events, last = [line[6:] for line in content.splitlines() if line.startswith("data: ")]
    if last != "[DONE]":
        raise RuntimeError(f"{contestant.name}'s stream ends with {last!r}")
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
    return "".join(delta.get("content") or "" for delta in deltas)
