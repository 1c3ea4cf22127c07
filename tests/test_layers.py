"""The architecture, as a table that the import graph is held to.

A module imports only what stands above its own layer, and third parties only where the table
allows them. Whoever wants to know how the package hangs together can read ``LAYERS``.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import replay_proxy

PACKAGE = Path(replay_proxy.__file__).parent

#: From the top. A part is a module or a package of its name; those of one layer do not import
#: each other.
LAYERS = {
    "0 names": ("credentials",),
    "0 rules of HTTP": ("target",),
    "0 words": (
        "errors",
        "aside",
        "bounded",
        "wire",
        "texts",
        "sse",
        "events",
        "timeline",
        "settings",
    ),
    "1 rules": (
        "budget",
        "redaction",
        "fingerprint",
        "provenance",
        "waits",
        "ending",
        "answer",
        "conduct",
    ),
    "1 rules on rules": ("apart", "room", "matching", "leaves", "transcript"),
    "1 rules on those": ("likeness", "nearness", "drift"),
    "1 rules on likeness": ("comparison",),
    "2 tape": ("cassette",),
    "2 what it can hold": ("soundness",),
    "2 its misses, its text": ("miss", "twin", "leaks"),
    "3 parts": (
        "upstream",
        "recorder",
        "player",
        "dummy",
        "faults",
        "store",
        "journal",
        "importers",
    ),
    "3 parts of two": ("latencies",),
    "4 composition": ("modes",),
    "5 faces": ("app", "server", "verdict", "tape_tools"),
    "6 entries": ("cli", "pytest_plugin"),
}
#: Modules that belong to a part of another name.
BELONGS_TO = {
    "answer_headers": "redaction",
    "answer_reader": "upstream",
    "assignments": "redaction",
    "chunk_stream": "upstream",
    "chunk_transport": "upstream",
    "browsers": "app",
    "child": "cli",
    "connection": "app",
    "forms": "credentials",
    "control": "app",
    "data_plane": "app",
    "departures": "app",
    "hosts": "app",
    "report": "app",
    "main": "cli",
    "protocol": "app",
    "pump": "recorder",
    "relay": "recorder",
    "request_body": "app",
    "run": "cli",
    "transport_errors": "upstream",
}
#: Everything may use these, their own layer too.
FOR_ALL = {"errors"}

#: Who may import what does not come with Python, and ``sqlite3``. Anything else: nobody.
ALLOWED = {
    "aiohttp": {"upstream"},
    "dotenv": {"settings"},
    "fastapi": {"app"},
    "httptools": {"upstream"},
    "httpx": {"upstream"},
    "multidict": {"upstream"},
    "jsonpath": {"matching"},
    "orjson": {
        "answer",
        "fingerprint",
        "provenance",
        "dummy",
        "store",
        "leaves",
        "likeness",
        "nearness",
        "miss",
        "app",
        "twin",
        "tape_tools",
        "latencies",
    },
    "pydantic": {"settings", "dummy"},
    "pydantic_core": {"dummy"},
    "pydantic_settings": {"settings"},
    "pytest": {"pytest_plugin"},
    "rich": {"tape_tools"},
    "sqlalchemy": {"store"},
    "sqlite3": {"store"},
    "sqlmodel": {"store"},
    "starlette": {"app"},
    "typer": {"cli", "tape_tools"},
    "uvicorn": {"cli", "app"},
    "yaml": {"importers"},
    "yarl": {"upstream"},
}
#: Of these the graph would not see what is imported.
NOBODY = {"importlib", "imp", "pkgutil", "runpy"}
#: Besides the settings, those that give an environment to a child process.
READS_THE_ENVIRONMENT = {"settings", "server", "cli"}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
LINES = 250

LAYER_OF = {part: number for number, parts in enumerate(LAYERS.values()) for part in parts}


def part_of(module: str) -> str:
    """``replay_proxy.store.tape`` is of the part ``store``; the package itself of none."""
    _, _, below = module.removesuffix(".__init__").partition(".")
    name = below.partition(".")[0]
    return BELONGS_TO.get(name, name)


def imports(tree: ast.Module, module: str) -> Iterator[str]:
    """Every name that is imported anywhere in a module, also inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def wrong_imports(source: str, module: str) -> list[str]:
    """What a module imports against the table."""
    part = part_of(module)
    wrong = []
    for name in imports(ast.parse(source), module):
        root = name.partition(".")[0]
        if root == "replay_proxy":
            other = part_of(name)
            if other in {part, *FOR_ALL} or other not in LAYER_OF:
                continue  # Its own, everybody's, or a name of the package such as __version__.
            if LAYER_OF[other] >= LAYER_OF.get(part, 0):
                wrong.append(f"{module} ({part}) imports {name} ({other}), which is not above it")
        elif root in ALLOWED:
            if part not in ALLOWED[root]:
                wrong.append(f"{module} imports {name}, which is for {sorted(ALLOWED[root])} only")
        elif root in NOBODY or root not in sys.stdlib_module_names:
            wrong.append(f"{module} imports {name}, which nobody may")
    return wrong


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


def name_of(file: Path) -> str:
    """``replay_proxy.store.tape``, and ``replay_proxy.store.__init__`` for a package."""
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)


SOURCES = {name_of(file): file.read_text("utf-8") for file in sorted(PACKAGE.rglob("*.py"))}
every_module = pytest.mark.parametrize("module", SOURCES)


@every_module
def test_a_module_imports_only_what_stands_above_it(module: str) -> None:
    assert not wrong_imports(SOURCES[module], module)


@every_module
def test_a_module_has_its_place_in_the_table(module: str) -> None:
    assert module == "replay_proxy.__init__" or part_of(module) in LAYER_OF


def test_the_table_names_nothing_that_is_not_there() -> None:
    modules = {module.removesuffix(".__init__").partition(".")[2] for module in SOURCES}
    assert {*LAYER_OF, *BELONGS_TO} <= modules
    allowed_to = set().union(*ALLOWED.values())
    assert allowed_to | set(BELONGS_TO.values()) | READS_THE_ENVIRONMENT <= set(LAYER_OF)


def test_every_permission_is_used() -> None:
    used = {
        (name.partition(".")[0], part_of(module))
        for module, source in SOURCES.items()
        for name in imports(ast.parse(source), module)
    }
    reading = {part_of(module) for module, source in SOURCES.items() if reads_environment(source)}
    assert reading == READS_THE_ENVIRONMENT
    unused = [
        (name, part) for name in ALLOWED for part in ALLOWED[name] if (name, part) not in used
    ]
    assert not unused


@every_module
def test_only_the_settings_read_the_environment(module: str) -> None:
    assert not reads_environment(SOURCES[module]) or part_of(module) in READS_THE_ENVIRONMENT


@every_module
def test_a_module_opens_with_what_it_is(module: str) -> None:
    assert ast.get_docstring(ast.parse(SOURCES[module]))


@every_module
def test_a_module_fits_in_the_head(module: str) -> None:
    assert len(SOURCES[module].splitlines()) <= LINES


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
        ("redaction", "from replay_proxy.fingerprint import fingerprint"),
        ("cassette", "from replay_proxy import store"),
        ("player", "from replay_proxy.recorder import Recorder"),
        ("player", "def later():\n    from replay_proxy.upstream import Upstream"),
        ("recorder", "from replay_proxy.chunk_transport import ChunkTransport"),
        ("store.tape", "from replay_proxy.dummy.text import answer_to"),
        ("store.tape", "from ..dummy import Dummy"),
        ("dummy.__init__", "from ..modes import Assembly"),
        ("dummy.text", "from ..modes import Assembly"),
        ("__init__", "from replay_proxy.errors import StoreError\nimport replay_proxy.wire"),
        ("modes", "from replay_proxy.app import ReplayProxy"),
        ("data_plane", "from replay_proxy.cli import app"),
        ("app", "from replay_proxy.main import app"),
        ("recorder", "import httpx"),
        ("recorder", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import aiohttp"),
        ("player", "import sqlite3"),
        ("player", "from sqlalchemy.orm import Session"),
        ("modes", "from sqlmodel import SQLModel"),
        ("modes", "from fastapi import FastAPI"),
        ("upstream", "import starlette.requests"),
        ("app", "import typer"),
        ("wire", "from pydantic import BaseModel"),
        ("sse", "import orjson"),
        ("app", "import requests"),
        ("player", "import langchain_openai"),
        ("player", "import tests.support.script"),
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
        ("store.tape", "from . import statements\nfrom .rows import to_row"),
        ("store.__init__", "from .tape import Tape\nfrom ..cassette import Cassette"),
        ("upstream", "from replay_proxy.chunk_transport import ChunkTransport\nimport httpx"),
        ("chunk_transport", "import aiohttp.client\nfrom yarl import URL"),
        ("app", "from replay_proxy.data_plane import DataPlane\nimport fastapi"),
        ("app", "from replay_proxy import __version__\nimport replay_proxy"),
        ("cli", "from replay_proxy.main import app\nimport typer, uvicorn, asyncio"),
        ("recorder", "import os.path\nfrom collections.abc import Iterator"),
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
