"""A cassette whose pages lead to one page many times over, which gives rows without end."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from replay_proxy.errors import CassetteDamaged
from replay_proxy.store.reading.keys import Keys
from replay_proxy.store.reading.news import TOP, News
from replay_proxy.store.reading.order import check_order
from replay_proxy.store.reading.readers import Readers
from tests.support.tape import make, recorded

#: Runs commands in one process, then what a proxy reads, and prints how each of them ended.
RUN = """
import asyncio, pathlib, sys
from typer.testing import CliRunner
from replay_proxy.cli.commands import app
from replay_proxy.errors import StoreError
from replay_proxy.matching.rules import Rule
from replay_proxy.store.sqlite import step_limit
from replay_proxy.store import Store
from replay_proxy.store.reading.keys import Keys
from replay_proxy.store.reading.news import News
from replay_proxy.store.reading.readers import Readers

step_limit._ASKS = 100_000
for words in sys.argv[1:]:
    result = CliRunner().invoke(app, words.split())
    said = result.output + str(result.exception)
    print(words, said.replace("\\n", " "), sep=" | ", flush=True)


def read(name, attempt):
    try:
        said = attempt()
    except StoreError as error:
        said = error
    print(name, said, sep=" | ", flush=True)


here = pathlib.Path(".")
plain = Store(here, writable=False).cassette("a")
ruled = Store(here, writable=False, rule=Rule(["$.model"])).cassette("a")
news = News(pathlib.Path("a.sqlite"), Readers(), Keys())
read("counts", lambda: asyncio.run(plain.counts()))
read("unused", lambda: asyncio.run(plain.unused(())))
read("ruled", lambda: asyncio.run(ruled.answer_count("key")))
read("all", news.is_all)
read("unknown", lambda: len(news.unknown()))
"""
TOOLS = (
    "ls a",
    "verify a",
    "export a -o twin",
    "diff a good",
    "prune a",
    "unused a --report report.json",
    "merge copy a good",
    "merge good a",
)
READS = ("counts", "unused", "ruled", "all", "unknown")
#: What reads only the table, or only the index.
FINE = {
    "interaction": {"prune a", "counts", "unused", "all", "unknown"},
    "interaction_by_fingerprint": set[str](),
}


def shared(path: Path, name: str) -> Path:
    """Let the pages of a table, or of an index, lead to one of its leaves many times over."""
    make(path, [recorded(str(n), b"x" * 3000) for n in range(200)])
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(  # A file of this size is not checked whole.
            "UPDATE interaction SET body = zeroblob(9000000) "
            "WHERE id = (SELECT max(id) FROM interaction)"
        )
        find = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (root,) = file.execute(find, (name,)).fetchone()
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[16:18])
    at = (root - 1) * size
    assert content[at] in (2, 5), "the root is no inner page"
    cells = int.from_bytes(content[at + 3 : at + 5])
    places = [int.from_bytes(content[at + 12 + 2 * n : at + 14 + 2 * n]) for n in range(cells)]
    child = bytes(content[at + places[0] : at + places[0] + 4])
    for _ in range(12):
        page = content[at : at + size]
        for place in (8, *places):
            page[place : place + 4] = child
        content += page
        child = (len(content) // size).to_bytes(4)
    content[at : at + size] = content[-size:]
    content[28:32] = (len(content) // size).to_bytes(4)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["interaction", "interaction_by_fingerprint"])
def test_pages_that_lead_to_one_page_many_times_over_give_no_rows_without_end(
    name: str, tmp_path: Path
) -> None:
    """SQLite notices none of it but in a check of the whole file, which large ones do not get."""
    shared(tmp_path / "a.sqlite", name)
    make(tmp_path / "good.sqlite", [recorded("1", b"x")])
    (tmp_path / "report.json").write_text(json.dumps({"cassettes": {"a": {"used": []}}}))
    done = subprocess.run(
        [sys.executable, "-c", RUN, *TOOLS],
        cwd=tmp_path,
        env={"STORE": "."},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    ends = dict(line.split(" | ", 1) for line in done.stdout.splitlines())
    assert list(ends) == [*TOOLS, *READS], done.stderr
    assert {words for words, said in ends.items() if "is damaged" not in said} == FINE[name]


def test_pages_of_an_index_that_do_not_advance_are_damage() -> None:
    places = [("v1:a", 1, 1), ("v1:a", 1, 2), ("v1:a", 2, 3), ("v1:b", 1, 1)]
    path = Path("a.sqlite")
    check_order(path, None, places)
    check_order(path, places[0], places[1:])
    with pytest.raises(CassetteDamaged, match="not in order"):
        check_order(path, places[0], places)
    with pytest.raises(CassetteDamaged, match="not in order"):
        check_order(path, None, [*places, places[2]])
    with pytest.raises(CassetteDamaged, match="of the wrong type"):
        check_order(path, None, [(b"v1:a", 1, 1)])


def test_news_that_do_not_descend_are_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = Readers()
    monkeypatch.setattr(readers, "read", lambda *_: [(9,), (7,), (8,)])
    news = News(tmp_path / "a.sqlite", readers, Keys())
    for below in (TOP, 9):
        with pytest.raises(CassetteDamaged, match="order of their ids"):
            news.page(below)
