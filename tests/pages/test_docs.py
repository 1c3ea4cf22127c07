"""The pages on the tape tools: commands print what is shown; options and fields are complete."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from replay_proxy.cli.commands import app
from replay_proxy.cli.refresh.result import RefreshResult
from replay_proxy.cli.tape_tools import verify
from replay_proxy.importers import FORMATS
from tests import docs
from tests.demo import CASSETTE
from tests.support.tape import EVENTS, make, recorded

PAGE = (docs.DOCS / "tape-tools.md").read_text(encoding="utf-8")
COMMANDS = {
    name: command
    for name, command in vars(typer.main.get_command(app))["commands"].items()
    if not command.hidden
}
#: Options that are described once for all commands.
COMMON = {"--store", "--json"}
TYPES = {"text": str, "number": int, "true or false": bool, "null": type(None)}


@pytest.mark.parametrize("name", docs.PAGES)
def test_its_commands_print_what_it_shows(name: str) -> None:
    page = (docs.DOCS / name).read_text(encoding="utf-8")
    with docs.beginning(name) as session:
        assert docs.rewritten(page, session) == page, "`make docs` writes it anew"


def test_a_page_that_shows_something_else_is_rewritten(tmp_path: Path) -> None:
    wrong = "```console\n$ printf 'a\\nb\\n'; exit 3\na\nc\n```\n"
    with docs.Session(tmp_path) as session:
        right = docs.rewritten(wrong, session)
        assert right == "```console\n$ printf 'a\\nb\\n'; exit 3    # exit code 3\na\nb\n```\n"
        assert docs.rewritten(right, session) == right


def test_only_what_differs_in_each_run_may_differ() -> None:
    known, new = "3677012767865635629", "3677409921393684480"
    assert docs.normalised(f"{known} 2026-11-23") == f"{known} 2026-11-23"
    assert docs.normalised(f"{new} 2027-01-02T03:04:05+00:00, 5 answers") == "… …, 5 answers"


def test_no_page_has_a_path_of_this_machine() -> None:
    for page in docs.DOCS.glob("**/*.md"):
        assert str(docs.DOCS.parent) not in page.read_text(encoding="utf-8"), page


# --- options ------------------------------------------------------------------------------------


def section(name: str) -> str:
    """The page's section on a command."""
    found = re.search(rf"^##+ `{name}`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"{name} is not described"
    return found[1]


def rows(text: str, head: str) -> list[list[str]]:
    """The cells of all tables with this heading."""
    tables = re.findall(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)*)", text, re.MULTILINE)
    return [line.strip("| ").split(" | ") for table in tables for line in table.splitlines()]


def options(command: Any) -> set[str]:
    return {
        name
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.hidden
        for name in parameter.opts
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_described_with_its_options_and_no_others(name: str) -> None:
    page = section(name)
    if name == "run":
        page = (docs.DOCS / "ci.md").read_text(encoding="utf-8")
    described = {each for row in rows(page, "option") for each in re.findall(r"`(-.*?)`", row[0])}
    common = COMMON if name != "run" else set()
    assert described == options(COMMANDS[name]) - common - {"--help"}


def test_what_is_common_is_described_once() -> None:
    shared = PAGE[: PAGE.index("### JSON")]
    described = {row[0].strip("`") for row in rows(shared, "option")}
    assert described == COMMON | {"--help"}


def test_every_command_and_option_has_a_help() -> None:
    for name, command in COMMANDS.items():
        assert command.help, name
        for parameter in command.params:
            hidden = getattr(parameter, "hidden", False)
            assert hidden or parameter.help, f"{name} {parameter.name}"


def test_the_words_of_tables_are_those_of_the_tools() -> None:
    kinds = {row[0].strip("`"): row[1] for row in rows(section("verify"), "kind")}
    assert kinds == verify.KINDS
    outcomes = [row[0].strip("`") for row in rows(section("refresh"), "outcome")]
    assert tuple(outcomes) == RefreshResult.OUTCOMES
    (formats,) = (row[1] for row in rows(section("import"), "option") if "--format" in row[0])
    assert re.findall(r"`(.*?)`", formats) == ["twin", *FORMATS]


# --- JSON ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Any]]]:
    """The JSON documents of each tool, for cassettes that have something of everything."""
    directory = tmp_path_factory.mktemp("documents")
    store = directory / "cassettes"
    store.mkdir()
    shutil.copyfile(CASSETTE, store / "demo.sqlite")
    sound = recorded("Sound?", b"\xff\xfe", headers=((b"content-type", b"audio/mpeg"),))
    error = recorded("What?", b'{"error": {"message": "no"}}', status=404)
    call = (
        b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm","tool_calls":'
        b'[{"index":0,"function":{"name":"f","arguments":"{}"}}]}}]}\n\n'
    )
    make(store / "a.sqlite", [sound, error, recorded("What is it?", b"a"), recorded("S", b"s")])
    make(store / "b.sqlite", [recorded("What?", b'{"a": 1}'), recorded("What is that?", b"b")])
    make(store / "b.sqlite", [recorded("Something else entirely: 42", call, headers=EVENTS)])
    (store / "bad.sqlite").write_bytes(b"?" * 1000)
    (directory / "a.har").write_text(HAR)
    (directory / "recordings").mkdir()
    (directory / "recordings" / "b.har").write_text(HAR)
    (directory / "run.json").write_text('{"cassettes": {"demo": {"used": []}}}')
    with docs.Session(directory) as session:

        def document(words: str) -> Any:
            text, _ = session.run(f"replay-proxy {words} --json")
            return json.loads(text)

        found: dict[str, list[Any]] = {}
        for words in (
            "ls",
            "ls demo",
            "show demo 1",
            "show demo 5",
            "show a 1",
            "show a 2",
            "fit demo",
            "verify",
            "verify a",
            "refresh demo --record",
            "diff demo",
            "diff a b",
            "unused demo --report run.json",
            "prune demo --dry-run --report run.json",
            "merge all a b",
            "rename all every",
            "rm every",
            "rm demo --interaction 3677012767865635629",
            "import a.har run.json recordings",
        ):
            found.setdefault(words.split()[0], []).append(document(words))
        yield found


def _entry(url: str) -> dict[str, Any]:
    answer = {"status": 200, "headers": [], "content": {"text": "{}"}}
    return {"request": {"method": "GET", "url": url, "headers": []}, "response": answer}


HAR = json.dumps(
    {
        "log": {
            "version": "1.2",
            "entries": [
                _entry("https://api.openai.com/v1/models"),
                _entry("https://example.org/telemetry"),
            ],
        }
    }
)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, type]]:
    """The path and the type of every leaf of a document."""
    if isinstance(value, dict):
        for name, each in value.items():
            name = "MODEL" if path == "models" else name
            yield from leaves(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, f"{path}[]")
    else:
        yield path, int if isinstance(value, float) else type(value)  # JSON has only numbers


def documented(name: str) -> dict[str, set[type]]:
    """The fields of a command's documents on the page, and their types."""
    fields: dict[str, set[type]] = {}
    for cells in rows(section(name), "field"):
        kinds = {TYPES[cells[1]]} if cells[1] in TYPES else {
            TYPES[kind] for kind in cells[1].split(" or ")
        }  # fmt: skip
        for field in re.findall(r"`(.*?)`", cells[0]):
            fields.setdefault(field, set()).update(kinds)
    return fields


@pytest.mark.parametrize(
    "name", [name for name, command in COMMANDS.items() if "--json" in options(command)]
)
def test_every_field_of_a_document_is_described_and_is_of_its_type(
    name: str, documents: dict[str, list[Any]]
) -> None:
    described = documented(name)
    seen: dict[str, set[type]] = {}
    for document in documents[name]:
        assert document.pop("version") == 2
        for path, kind in leaves(document):
            seen.setdefault(path, set()).add(kind)
    assert seen.keys() == described.keys()
    for path, kinds in seen.items():
        assert kinds <= described[path], path
