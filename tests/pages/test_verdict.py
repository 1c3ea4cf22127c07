"""The page on red, yellow and green: each command is run, and shows what its rows say."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from replay_proxy import pytest_plugin
from replay_proxy.answers import losses
from replay_proxy.cli.verdict.reasons import NO_REQUEST, REASONS
from replay_proxy.matching import miss
from replay_proxy.pytest_plugin.options import OPTIONS
from tests import docs
from tests.support.paths import ROOT
from tests.support.servers import Proxy, clean_environment

PAGE = (docs.DOCS / "verdict.md").read_text(encoding="utf-8")
COLOURS = ("green", "yellow", "red")


class Way(NamedTuple):
    """A row: how something may end, and the words by which it is known."""

    colour: str
    words: list[str]
    end: str


def tables(head: str, text: str = PAGE) -> Iterator[list[str]]:
    """The cells of each row of the tables whose first column has this head."""
    pattern = rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)*)"
    for table in re.findall(pattern, text, re.MULTILINE):
        for line in table.splitlines():
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def quoted(text: str) -> list[str]:
    return re.findall(r"`(.*?)`", text)


def blocks(text: str) -> list[tuple[str, str]]:
    """The language and the content of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


#: Each section, by its heading. A name of a way is unique in its section.
SECTIONS = dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", PAGE, re.MULTILINE))
FILES = {
    file[1]: content
    for _, content in blocks(PAGE)
    if (file := re.match(r"# (\w+\.\w+)\n", content))
}
WAYS = {
    f"{section}: {row[0]}": Way(row[1], quoted(row[3]), row[4])
    for section, text in SECTIONS.items()
    for row in tables("way", text)
}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command that is shown, with the names of its ways, which stand above it."""
    for section, text in SECTIONS.items():
        for language, content in blocks(text):
            if language == "sh" and content not in FILES.values():
                for names, command in re.findall(r"^(?:# (.*)\n)?([^#\n].*)\n", content, re.M):
                    yield command, [way(section, name) for name in names.split("; ") if name]


def way(section: str, name: str) -> str:
    """The key of a way, which may be that of another section."""
    own = f"{section}: {name}"
    return own if own in WAYS else next(key for key in WAYS if key.endswith(f": {name}"))


COMMANDS = dict(commands())
SETUP = [command for command in COMMANDS if f"\n{command}\n" in SECTIONS["Try it"]]
API, EXPORTS, *PREPARATION = SETUP
#: What shows a code: a script of the page, or a file of tests.
MISSES = {code: row[2] for row in tables("code") for code in quoted(row[0])}
LOSSES = {code: row[3] for row in tables("code of the loss") for code in quoted(row[0])}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """The directory of the page, with its files and recordings, and the environment."""
    directory, home = map(tmp_path_factory.mktemp, ("page", "home"))
    for name, content in FILES.items():
        (directory / name).write_text(content, encoding="utf-8")
    environment = clean_environment()
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # To compile takes a third of the time.
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OPENAI_API_KEY": "any",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "-p replay_proxy",
    }
    assert EXPORTS.endswith("OPENAI_API_KEY=any")
    (faults,) = re.findall("FAULTS='(.*?)'", API)
    with Proxy(home, MODE="dummy", FAULTS=faults) as proxy:
        environment["UPSTREAM_BASE_URL"] = proxy.base_url
        for command in PREPARATION:
            check(command, directory, environment)
        yield directory, environment


def check(command: str, directory: Path, environment: dict[str, str]) -> str:
    """Run a command. It has to show its ways; the result is what it prints."""
    code, printed = run(command, directory, environment)
    ways = [WAYS[name] for name in COMMANDS[command]]
    assert ways or code == 0, printed
    for way in ways:
        assert (code != 0) == (way.colour == "red"), printed
        assert not way.end.isdigit() or code == int(way.end), printed
        for words in way.words:
            assert words in printed, f"{words!r} is not in\n{printed}"
        if way.colour == "green" and "pytest" not in command:
            assert len(printed.split("\n\n")) == 2, f"something is told:\n{printed}"
    return printed


def run(command: str, directory: Path, environment: dict[str, str]) -> tuple[int, str]:
    """The exit code of a command, and all that it prints."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout.decode()


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in SETUP])
def test_each_command_shows_its_ways(
    command: str, prepared: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    directory = shutil.copytree(prepared[0], tmp_path / "page")
    printed = check(command, directory, prepared[1])
    for codes, script in ((MISSES, "misses.sh"), (LOSSES, "losses.sh")):
        if script in command:
            check_codes(codes, script, printed)


def check_codes(codes: dict[str, str], script: str, printed: str) -> None:
    """A script has a line for each code that it shows, and the verdict has that code."""
    expected = {code for code, by in codes.items() if quoted(by) == [script]}
    assert set(re.findall(r" # (\w+)$", FILES[script], re.MULTILINE)) == expected
    assert expected <= set(re.findall(r'^ +"code": "(\w+)"', printed, re.MULTILINE)), printed


# --- completeness -------------------------------------------------------------------------------


def test_each_row_has_a_colour_and_a_command() -> None:
    assert {way.colour for way in WAYS.values()} == set(COLOURS)
    assert sorted(name for names in COMMANDS.values() for name in names) == sorted(WAYS)
    assert all(way.words for way in WAYS.values())
    assert all(row[1] in COLOURS for row in tables("rare way"))


def test_each_reason_of_the_verdict_is_a_red_row() -> None:
    red = " ".join(word for way in WAYS.values() if way.colour == "red" for word in way.words)
    rare = {row[0] for row in tables("rare way") if row[1] == "red"}
    for reason in REASONS:
        assert reason.name in rare or reason.name in red or reason.plural in red, reason.name
    assert NO_REQUEST in red


def test_each_code_of_a_miss_and_of_a_loss_is_listed() -> None:
    found = {*miss._WHY, losses.CREDENTIAL, losses.TRANSIENT}
    found |= {losses.CUT_OFF.code, losses.BROKEN.code}
    found |= {losses.loss_of_departure(1).code, losses.loss_of_size("").code}
    for source in (ROOT / "replay_proxy").rglob("*.py"):
        found |= set(re.findall(r'^    code = "(\w+)"$', source.read_text("utf-8"), re.MULTILINE))
    others = {"configuration", "import_refused"}  # No request gets these.
    others |= set(quoted(SECTIONS["Misses by code"].partition("Not a miss")[2]))
    assert found - others == MISSES.keys() | LOSSES.keys()
    assert MISSES.keys() >= miss._WHY.keys()


def test_each_reaction_and_warning_of_pytest_is_listed() -> None:
    for name in set(OPTIONS) - {"store"}:
        assert f"--replay-{name}" in SECTIONS["A test"]
    for name in pytest_plugin.__all__:
        assert not name.endswith("Warning") or f"`{name}`" in SECTIONS["A test"]


def test_what_no_command_shows_has_a_test() -> None:
    for name in (file for row in tables("rare way") for file in quoted(row[-1])):
        assert (ROOT / name).is_file(), name
    for code, by in (*MISSES.items(), *LOSSES.items()):
        if not by.endswith(".sh`"):
            text = "".join((ROOT / name).read_text("utf-8") for name in quoted(by))
            assert code in text or code.title().replace("_", "") in text, code
