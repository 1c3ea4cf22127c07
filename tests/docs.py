"""The pages that show commands: run each command, and compare or rewrite its output.

    python -m tests.docs    # rewrites the output of the pages' commands

A page is a session in a new directory. ``console`` blocks are run from the first to the last;
blocks whose first line is ``# a/file.py`` are written to that file. A command ends in
``# exit code 1`` if it does not exit with 0. ``PAGES`` has the initial files of each page; the
real API is ``tests.support.standin``.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from glob import glob
from pathlib import Path
from unittest import mock

from replay_proxy.cli import main as replay_proxy
from tests.demo import CASSETTE
from tests.support.servers import clean_environment
from tests.support.standin import StandIn
from tests.support.upstream import Upstream

DOCS = Path(__file__).parents[1] / "docs"
IMPORTS = Path(__file__).parent / "data" / "imports"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (.*?)(?: +# exit code (\d+))?\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
_FOR_THE_SHELL = re.compile(r"[|<>;&$`]")

#: What differs in each run, unless it is in the demo: ids and times of new recordings.
_VOLATILE = re.compile(
    r"\b3[67]\d{17}\b|\b20\d\d-\d\d-\d\d(?:T[\d:+]+)?|_us\":\d+|\b[0-9a-f]{32}\b"
)
#: What differs in each run in any case: values from SQLite, git, a clock or the kernel.
_ALWAYS = re.compile(
    r"[\d,]+ bytes before|before, [\d,]+ now|\bindex [0-9a-f]+\.\.[0-9a-f]+|"
    r"\bBin \d+ -> \d+ bytes|\bin \d+\.\d+s\b|127\.0\.0\.1:\d+|[\d,.]+ ms\b"
)


def normalised(text: str) -> str:
    """The text without what differs in each run."""
    known = _of_the_demo()
    text = _VOLATILE.sub(lambda found: found[0] if found[0] in known else "…", text)
    return _ALWAYS.sub("…", text)


@cache
def _of_the_demo() -> frozenset[str]:
    """The ids and times in the demo cassette."""
    with Session(CASSETTE.parents[1]) as session:
        found = set[str]()
        for words in ("export demo", "ls demo --json"):
            found |= set(_VOLATILE.findall(session.run(f"replay-proxy {words}")[0]))
    return frozenset(found | {each.partition("T")[0] for each in found})


_OTHER_PLUGINS = ("asyncio", "xdist", "hypothesispytest", "anyio", "recording", "socket")


class Session:
    """Runs commands in a directory, as a user without any settings would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._upstream = Upstream(StandIn())

    def __enter__(self) -> "Session":
        self._upstream.__enter__()
        programs = Path(sys.executable).parent
        self._env = clean_environment() | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.directory),
            "UPSTREAM_BASE_URL": self._upstream.base_url,
            "OPENAI_API_KEY": "a-key-of-the-real-api",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "init.defaultBranch",
            "GIT_CONFIG_VALUE_0": "main",
            "COLUMNS": "80",
            # The pages show pytest with this plugin only.
            "PYTEST_ADDOPTS": " ".join(f"-p no:{plugin}" for plugin in _OTHER_PLUGINS),
        }
        self._env |= {
            f"GIT_{who}_{what}": "a@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._upstream.__exit__(kind, error, trace)

    def run(self, command: str) -> tuple[str, int]:
        """A command's output, including errors, and its exit code."""
        words = command.split()
        if words[0] == "replay-proxy" and words[1] != "run" and not _FOR_THE_SHELL.search(command):
            text, code = self._in_process(self._expanded(shlex.split(command)))
        else:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.directory,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=60,
            )
            text, code = done.stdout.decode(), done.returncode
        text = text.replace(str(self.directory), "~")
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines()), code

    def _expanded(self, words: list[str]) -> list[str]:
        """The words as a shell passes them to a command."""
        return [
            each
            for word in words
            for each in (sorted(glob(word, root_dir=self.directory)) if "*" in word else [word])
        ]

    def _in_process(self, words: list[str]) -> tuple[str, int]:
        """The same as in a new process, without its start of half a second."""
        printed = io.BytesIO()
        out = io.TextIOWrapper(printed, encoding="utf-8", write_through=True)
        code = 0
        with (
            contextlib.chdir(self.directory),
            mock.patch.dict(os.environ, self._env, clear=True),
            mock.patch.object(sys, "argv", words),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            try:
                replay_proxy()
            except SystemExit as end:
                code = int(end.code or 0)
        return printed.getvalue().decode(), code


def rewritten(page: str, session: Session) -> str:
    """The page with current output; output that differs only in volatile parts stays."""

    def block(found: re.Match[str]) -> str:
        language, content = found.groups()
        if language != "console":
            if file := _FILE.match(content):
                path = session.directory / file[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
            return found[0]
        return f"```console\n{_COMMAND.sub(command, content)}```"

    def command(found: re.Match[str]) -> str:
        text, code = session.run(found[1])
        if normalised(text) == normalised(found[3]):
            text = found[3]
        note = f"    # exit code {code}" if code else ""
        return f"$ {found[1]}{note}\n{text}"

    return _BLOCK.sub(block, page)


def _demo(directory: Path) -> None:
    (directory / "cassettes").mkdir()
    shutil.copyfile(CASSETTE, directory / "cassettes" / "demo.sqlite")


#: A fixture like those in aimock's documentation.
AIMOCK = """\
{
  "fixtures": [
    { "match": { "userMessage": "capital of Peru" }, "response": { "content": "Lima." } }
  ]
}
"""


def _other_tools(directory: Path) -> None:
    """Recordings in the directories where these tools keep them."""
    for target, source in {
        "fixtures/vcr_cassettes/embeddings_model_not_found.yaml": "elastic_embeddings.yaml",
        "tests/cassettes/test_images/test_sunset.yaml": "logfire_images.yaml",
        "tests/cassettes/test_images/test_size[256x256].yaml": "logfire_images.yaml",
    }.items():
        path = directory / target
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(IMPORTS / source, path)
    (directory / "fixtures" / "chat.json").write_text(AIMOCK)
    (directory / "cassettes").mkdir()


#: Each page, and the function that prepares its directory.
PAGES: dict[str, Callable[[Path], None]] = {
    "tape-tools.md": _demo,
    "cassette.md": _demo,
    "migrating.md": _other_tools,
}


@contextlib.contextmanager
def beginning(name: str) -> Iterator[Session]:
    """The session of a page."""
    with tempfile.TemporaryDirectory() as directory:
        PAGES[name](Path(directory))
        with Session(Path(directory)) as session:
            yield session


def main() -> None:
    for name in PAGES:
        page = DOCS / name
        before = page.read_text(encoding="utf-8")
        with beginning(name) as session:
            after = rewritten(before, session)
        page.write_text(after, encoding="utf-8")
        print(f"{name}: {'the same' if after == before else 'rewritten'}")


if __name__ == "__main__":
    main()
