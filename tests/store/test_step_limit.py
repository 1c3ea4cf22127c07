"""Files that are made to cost without end, or to break who reads the index of words."""

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from replay_proxy.errors import CassetteDamaged, StoreError
from replay_proxy.store import Store
from replay_proxy.store.archive import Archive
from replay_proxy.store.reading.readers import Readers
from replay_proxy.store.sqlite import step_limit
from replay_proxy.store.transaction import transaction
from tests.support.tape import make, recorded

#: How many files are tried, and the first seed. Seed 1000 + n is file n.
FILES, SEED = 40, 1000
BYTES = (0, 127, 128, 255)
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT {} FROM n"


def alter(path: Path, chances: random.Random) -> None:
    """Put anything into the tables behind the index of words."""
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = connection.execute("SELECT id, block FROM nearness_data").fetchall()
        for _ in range(chances.choice((1, 2, 5))):
            number, block = chances.choice(rows)
            changed = bytearray(block)
            match chances.randrange(4):
                case 0:
                    changed[:] = chances.randbytes(chances.choice((0, 1, 4, 10, 100, 5000)))
                case 1:
                    changed[:] = chances.choice(rows)[1]
                case 2:
                    changed[chances.randrange(len(changed) + 1) :] = b"\xff" * chances.randrange(30)
                case _:
                    for _ in range(chances.choice((1, 2, 8, 40)) if changed else 0):
                        changed[chances.randrange(len(changed))] = chances.choice(
                            (0, 127, 128, 255)
                        )
            connection.execute(
                "UPDATE nearness_data SET block = ? WHERE id = ?", (bytes(changed), number)
            )
        if chances.random() < 0.3:
            page = chances.choice((0, -1, 3, 2**40, 2**62))
            connection.execute("UPDATE nearness_idx SET pgno = ?", (page,))
        if chances.random() < 0.2:
            setting = chances.choice(("pgsz", "automerge", "crisismerge", "version"))
            value = chances.choice((0, 1, 5, -1, 2**31))
            connection.execute(
                "INSERT OR REPLACE INTO nearness_config VALUES (?, ?)", (setting, value)
            )


def test_whatever_the_index_of_words_holds_a_request_and_a_change_end_with_an_error_of_ours(
    tmp_path: Path,
) -> None:
    known = [recorded(f"question {n} of {n % 7} and {n % 11}", b"a") for n in range(60)]
    whole = make(tmp_path / "whole.sqlite", known[:30], known[30:])
    path = tmp_path / "altered.sqlite"
    refused = 0

    async def near(question: str) -> None:
        store = Store(tmp_path, writable=False)
        try:
            await store.cassette(path.stem).near(recorded(question, b"").request)
        finally:
            store.close()

    def change() -> None:
        with transaction(path) as opened:
            take = opened.join_take("another")
            opened.delete(known[3].id)
            for n in range(5):
                opened.add(take, recorded(f"new {n} question", b"b"))

    for number in range(FILES):
        shutil.copy(whole, path)
        alter(path, random.Random(SEED + number))
        try:
            asyncio.run(near("question 5 of 5 and 5"))
        except StoreError:
            refused += 1
        try:
            change()
        except StoreError:
            refused += 1
    assert FILES // 2 < refused < 2 * FILES


def test_more_than_there_is_memory_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.sqlite", [recorded("1", b"a")])
    with pytest.raises(CassetteDamaged, match="more memory"), transaction(path):
        raise MemoryError


@pytest.mark.parametrize("what", ["count(*)", "max(x)"])
def test_a_statement_without_end_is_damage(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_limit, "_ASKS", 100_000)
    path = make(tmp_path / "a.sqlite", [recorded("1", b"a")])
    readers = Readers()
    with pytest.raises(CassetteDamaged, match="more steps than it has bytes"):
        readers.read(path, ENDLESS.format(what))
    assert readers.read(path, "SELECT count(*) FROM interaction")[0][0] == 1
    readers.close()
    with Archive(path) as archive, pytest.raises(CassetteDamaged, match="more steps"):
        archive._tuples(ENDLESS.format(what))


def test_a_scan_that_gives_rows_without_end_is_damage(tmp_path: Path) -> None:
    path = make(tmp_path / "a.sqlite", [recorded("1", b"a")])

    def scan(archive: Archive) -> None:
        for _ in archive._query(ENDLESS.format("x")):
            assert list(archive._query("SELECT count(*) FROM interaction"))

    with Archive(path) as archive, pytest.raises(CassetteDamaged, match="more rows"):
        scan(archive)
