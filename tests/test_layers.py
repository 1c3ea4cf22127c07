"""The architecture as a table, compared with the import graph.

The rooms of the table are the folders and files that a listing of the package shows. A room
imports only from rows above its own, and from rooms to its left.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import replay_proxy

CONTRIBUTING = Path(replay_proxy.__file__).parents[1] / "CONTRIBUTING.md"
PACKAGE = Path(replay_proxy.__file__).parent

#: From the top. Each name is a module or a folder of the package.
ROWS = {
    "words": ("errors", "wire", "target", "timeline", "cassette", "settings", "bounds"),
    "rules": ("sse", "redaction", "matching", "answers"),
    "keeping": ("store", "importers"),
    "answering": ("transports",),
    "nesting": ("modes", "assembly"),
    "faces": ("serving",),
    "entries": ("main", "cli", "pytest_plugin", "__main__"),
}
ROOMS = {
    room: (row, place)
    for row, rooms in enumerate(ROWS.values())
    for place, room in enumerate(rooms)
}

#: The rooms that may import a third-party package, or ``sqlite3``. No room may import any other.
ALLOWED: dict[str, set[str]] = {
    "aiohttp": {"transports"},
    "brotli": {"matching"},
    "dotenv": {"settings"},
    "fastapi": {"serving"},
    "httptools": {"serving", "transports"},
    "httpx": {"transports"},
    "jsonpath": {"matching"},
    "regex": {"matching"},
    "multidict": {"transports"},
    "orjson": {"answers", "cli", "matching", "serving", "store", "transports"},
    "pydantic": {"settings", "transports"},
    "pydantic_core": {"transports"},
    "pytest": {"pytest_plugin"},
    "rich": {"cli"},
    "sqlalchemy": {"store"},
    "sqlite3": {"store"},
    "sqlmodel": {"store"},
    "starlette": {"serving"},
    "typer": {"cli"},
    "uvicorn": {"serving"},
    "yaml": {"importers"},
    "yarl": {"transports"},
    "zstandard": {"matching"},
}
#: The folder of the HTTP client, which a strict replay must not load.
CLIENTS_HOME = "transports.upstream"
HTTP_CLIENTS = {"aiohttp", "httpx", "multidict", "yarl"}
#: Modules whose imports the graph does not show. No room may use them.
NOBODY = {"importlib", "imp", "pkgutil", "runpy"}
#: Rooms that read the environment: the settings, and those that start child processes.
READS_THE_ENVIRONMENT = {"settings", "serving", "cli", "pytest_plugin"}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
LINES, FUNCTION_LINES = 250, 50
FILES_PER_FOLDER = 15
MODULES, FOLDERS = 10, 12


def room_of(module: str) -> str:
    """``replay_proxy.store.tape`` is in the room ``store``; the package itself is in none."""
    _, _, below = module.removesuffix(".__init__").partition(".")
    return below.partition(".")[0]


def transport_of(module: str) -> str | None:
    """``replay_proxy.transports.dummy.sayings`` is part of the transport ``dummy``."""
    parts = module.removesuffix(".__init__").split(".")
    return parts[2] if len(parts) > 2 and parts[1] == "transports" else None


def imports(tree: ast.Module, module: str) -> Iterator[str]:
    """Every name that is imported anywhere in a module, also inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def wrong_import(name: str, module: str) -> str | None:
    """The error in an import, or None."""
    room = room_of(module)
    root = name.partition(".")[0]
    if root == "replay_proxy":
        other = room_of(name)
        if other not in ROOMS:
            return None  # A name of the package itself, such as __version__.
        if other == room:
            here, there = transport_of(module), transport_of(name)
            if here and there and here != there:
                return f"{module} imports {name}: no transport imports another"
            return None
        if room not in ROOMS or ROOMS[other] >= ROOMS[room]:
            return f"{module} imports {name}, which is neither above it nor to its left"
    elif root in ALLOWED:
        if room not in ALLOWED[root]:
            return f"{module} imports {name}, which is for {sorted(ALLOWED[root])} only"
        if root in HTTP_CLIENTS and not module.startswith(f"replay_proxy.{CLIENTS_HOME}"):
            return f"{module} imports {name}, which is for {CLIENTS_HOME} only"
    elif root in NOBODY or root not in sys.stdlib_module_names:
        return f"{module} imports {name}, which nobody may"
    return None


def wrong_imports(source: str, module: str) -> list[str]:
    """What a module imports against the table."""
    found = (wrong_import(name, module) for name in imports(ast.parse(source), module))
    return [each for each in found if each]


def reads_environment(source: str) -> bool:
    """Whether a module reads environment variables."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in ENVIRONMENT:
                return True
            case ast.ImportFrom(module="os", names=names):
                if any(alias.name in ENVIRONMENT for alias in names):
                    return True
    return False


def long_functions(source: str) -> list[str]:
    """The functions of a module that are longer than ``FUNCTION_LINES``."""
    return [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]


def name_of(file: Path) -> str:
    """``replay_proxy.store.tape``, and ``replay_proxy.store.__init__`` for a package."""
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)


SOURCES = {name_of(file): file.read_text("utf-8") for file in sorted(PACKAGE.rglob("*.py"))}
every_module = pytest.mark.parametrize("module", SOURCES)
every_folder = pytest.mark.parametrize(
    "folder", sorted({file.parent for file in PACKAGE.rglob("*.py")}), ids=lambda f: f.name
)


@every_module
def test_a_module_imports_only_what_stands_above_it_or_to_its_left(module: str) -> None:
    assert not wrong_imports(SOURCES[module], module)


def test_the_table_is_the_listing() -> None:
    listed = {file.stem for file in PACKAGE.glob("*.py")} | {
        file.parent.name for file in PACKAGE.glob("*/__init__.py")
    }
    assert set(ROOMS) == listed - {"__init__"}
    assert len(ROWS) <= 7
    assert set().union(*ALLOWED.values()) | READS_THE_ENVIRONMENT <= set(ROOMS)


def test_a_listing_is_read_at_a_glance() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MODULES
    assert len(list(PACKAGE.glob("*/__init__.py"))) <= FOLDERS


@every_folder
def test_a_folder_holds_few_files_and_opens_with_what_belongs_in_it(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) <= FILES_PER_FOLDER
    if folder != PACKAGE:
        opening = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
        assert opening
        assert re.search(r"(?m)^Not in here: ", opening), "says what does not belong inside"


def test_every_permission_is_used() -> None:
    used = {
        (name.partition(".")[0], room_of(module))
        for module, source in SOURCES.items()
        for name in imports(ast.parse(source), module)
    }
    reading = {room_of(module) for module, source in SOURCES.items() if reads_environment(source)}
    assert reading == READS_THE_ENVIRONMENT
    unused = [
        (name, room) for name in ALLOWED for room in ALLOWED[name] if (name, room) not in used
    ]
    assert not unused


@every_module
def test_only_the_settings_read_the_environment(module: str) -> None:
    assert not reads_environment(SOURCES[module]) or room_of(module) in READS_THE_ENVIRONMENT


@every_module
def test_a_module_opens_with_what_it_is(module: str) -> None:
    assert ast.get_docstring(ast.parse(SOURCES[module]))


@every_module
def test_a_module_and_its_functions_fit_in_the_head(module: str) -> None:
    assert len(SOURCES[module].splitlines()) <= LINES
    assert not long_functions(SOURCES[module])


def test_the_example_application_knows_nothing_of_the_proxy() -> None:
    files = list((PACKAGE.parent / "caller").rglob("*.py"))
    assert files
    for file in files:
        names = imports(ast.parse(file.read_text("utf-8")), "caller")
        assert not [name for name in names if name.startswith("replay_proxy")], file.name


# --- the test itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("wire", "from replay_proxy.timeline import Timeline"),
        ("errors", "import replay_proxy.wire"),
        ("redaction.display", "from replay_proxy.matching.fingerprint import fingerprint"),
        ("cassette", "from replay_proxy import store"),
        ("transports.player", "from replay_proxy.transports.recorder.recorder import Recorder"),
        (
            "transports.player",
            "def later():\n    from replay_proxy.transports.upstream import Upstream",
        ),
        ("transports.recorder.pump", "from replay_proxy.transports.upstream import Upstream"),
        ("store.tape", "from replay_proxy.transports.dummy.sayings.text import answer_pieces"),
        ("store.tape", "from ..transports.dummy import Dummy"),
        ("transports.dummy.__init__", "from ...assembly import Assembly"),
        ("transports.dummy.sayings.text", "from ....modes import nested"),
        ("__init__", "from replay_proxy.errors import StoreError\nimport replay_proxy.wire"),
        ("modes", "from replay_proxy.serving.app import ReplayProxy"),
        ("modes", "from replay_proxy.assembly import Assembly"),
        ("serving.data_plane", "from replay_proxy.cli.commands import app"),
        ("serving.app", "from replay_proxy.main import app"),
        ("transports.recorder.recorder", "import httpx"),
        (
            "transports.recorder.pump",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import aiohttp",
        ),
        ("transports.player", "import sqlite3"),
        ("transports.player", "from sqlalchemy.orm import Session"),
        ("modes", "from sqlmodel import SQLModel"),
        ("modes", "from fastapi import FastAPI"),
        ("transports.upstream.__init__", "import starlette.requests"),
        ("serving.app", "import typer"),
        ("wire", "from pydantic import BaseModel"),
        ("sse.events", "import orjson"),
        ("serving.app", "import requests"),
        ("transports.player", "import langchain_openai"),
        ("transports.player", "import tests.support.script"),
        ("modes", "from importlib import import_module"),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str) -> None:
    assert wrong_imports(source, f"replay_proxy.{module}")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("wire", "from replay_proxy.errors import ReplayProxyError"),
        ("settings", "from replay_proxy.errors import ConfigurationError\nimport pydantic"),
        ("store.tape", "from replay_proxy.store import statements\nimport sqlite3"),
        ("store.tape", "from .sqlite import statements\nfrom .sqlite.rows import to_row"),
        ("store.__init__", "from .tape import Tape\nfrom ..cassette import Cassette"),
        ("transports.upstream.__init__", "from replay_proxy.wire import Request\nimport httpx"),
        ("transports.upstream.chunk_transport", "import aiohttp.client\nfrom yarl import URL"),
        ("serving.app", "from replay_proxy.serving.data_plane import DataPlane\nimport fastapi"),
        ("serving.app", "from replay_proxy import __version__\nimport replay_proxy"),
        ("cli.run", "from replay_proxy.serving.app import ReplayProxy\nimport typer, asyncio"),
        ("transports.recorder.pump", "import os.path\nfrom collections.abc import Iterator"),
    ],
)
def test_a_right_import_is_left_alone(module: str, source: str) -> None:
    assert not wrong_imports(source, f"replay_proxy.{module}")


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("import os\nos.environ['A']", True),
        ("import os\nos.getenv('A')", True),
        ("from os import environ", True),
        ("def f():\n    import os\n    return {**os.environ}", True),
        ("import os\nos.getpid()", False),
        ("environ = {}", False),
    ],
)
def test_reading_the_environment_is_found(source: str, reads: bool) -> None:
    assert reads_environment(source) == reads


def test_what_a_change_touches_exists() -> None:
    table = CONTRIBUTING.read_text("utf-8").partition("| to add |")[2].partition("\n\n")[0]
    paths = re.findall(r"`((?:replay_proxy|docs)/[^`]*)`", table)
    assert len(paths) > 15
    assert [path for path in paths if not (CONTRIBUTING.parent / path).exists()] == []
