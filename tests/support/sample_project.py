"""``tests/sample_project`` as its users have it: copied, and its suite run by pytest.

Every run is a process of its own, with a proxy of its own; what it records comes from a scripted
API. Other plugins are not loaded unless a test names them, since some take seconds to import.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from replay_proxy.cassette import interaction_id
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction
from tests.support.paths import ROOT
from tests.support.script import JSON, Answer, Received
from tests.support.servers import clean_environment
from tests.support.upstream import Upstream

SAMPLE = ROOT / "tests" / "sample_project"
KEY = "sk-sample-real-key"
PLUGINS = ("-p", "replay_proxy", "-p", "xdist", "-p", "asyncio", "-p", "no:cacheprovider")
CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Peru": "Lima", "Italy": "Rome"}
#: How many requests the sample's suite makes.
REQUESTS = 14


def api() -> Upstream:
    """An API that knows some capitals, counts, and wants its key."""
    counted = 0

    def script(request: Received) -> Answer:
        nonlocal counted
        if request.header(b"authorization") != f"Bearer {KEY}".encode():
            return Answer(401, JSON, [b"{}"], "length")
        question = json.loads(request.body)["messages"][-1]["content"]
        said = CAPITALS.get(question.rstrip("?").rpartition(" ")[2], "unknown")
        if "number" in question:
            counted += 1
            said = str(counted)
        answer = {"choices": [{"message": {"content": said}}], "usage": {"total_tokens": 7}}
        return Answer(headers=JSON, steps=[json.dumps(answer).encode()], framing="length")

    return Upstream(script)


@dataclass(frozen=True)
class Done:
    """A run that is over: ``-rA`` in words a test, and what is shown below each title."""

    code: int
    output: str

    @property
    def outcomes(self) -> dict[str, str]:
        """``PASSED``, ``FAILED`` and so on of each test, joined where a test has several."""
        found: dict[str, str] = {}
        for word, nodeid in re.findall(r"^([A-Z]{5,6}) (\S+::\S+)", self.output, re.MULTILINE):
            found[nodeid] = " ".join(sorted(filter(None, [found.get(nodeid), word])))
        return found

    def shown(self, title: str) -> str:
        """What stands below a title of the failures."""
        parts = re.split(r"^(?:_{3,}|={3,}) (.+?) (?:_{3,}|={3,})$", self.output, flags=re.M)
        return dict(zip(parts[1::2], parts[2::2], strict=True)).get(title, "")

    @property
    def summary(self) -> str:
        """The plugin's line."""
        lines = [line for line in self.output.splitlines() if line.startswith("replay-proxy:")]
        assert len(lines) <= 1
        return lines[0] if lines else ""


@dataclass(frozen=True)
class Project:
    """A copy of the sample."""

    path: Path

    @property
    def cassettes(self) -> Path:
        return self.path / "cassettes"

    def copy(self, to: Path) -> "Project":
        shutil.copytree(self.path, to, ignore=shutil.ignore_patterns("__pycache__"))
        return Project(to)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.path / name).read_text("utf-8")
        assert old in text
        (self.path / name).write_text(text.replace(old, new), "utf-8")

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, "utf-8")

    def start(self, *args: str, **env: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *PLUGINS, "-rA", "-q", *args],
            cwd=self.path,
            env=clean_environment()
            | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}
            | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *args: str, **env: str) -> Done:
        """Run the suite. Whatever happens in it, no proxy outlives it."""
        process = self.start(*args, **env)
        try:
            output, _ = process.communicate(timeout=90)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        assert self.proxies() == []
        return Done(process.returncode, output)

    def proxies(self) -> list[int]:
        """The proxies that run with a store of this project."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes()
            except OSError:  # It ended meanwhile.
                continue
            if (
                b"replay_proxy.serving.child" in command
                and f"STORE={self.path}/".encode() in environment
            ):
                found.append(int(entry.name))
        return found

    def age(self, days: int) -> None:
        """Make every recording so many days older."""
        for path in self.cassettes.glob("*.sqlite"):
            with Archive(path) as archive:
                recorded = list(archive.interactions())
            with transaction(path) as change:
                for take_id, each in recorded:
                    older_us = each.request.arrived_us - days * 86_400_000_000
                    request = replace(each.request, arrived_us=older_us)
                    change.delete(each.id)
                    change.add(
                        take_id, replace(each, id=interaction_id(older_us, 7), request=request)
                    )


def recording(upstream: Upstream) -> dict[str, str]:
    return {"UPSTREAM_BASE_URL": upstream.base_url, "OPENAI_API_KEY": KEY}
