"""A cassette whose pages lead to one page many times over, which gives rows without end."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.support.tape import make, recorded


def test_pages_that_lead_to_one_page_many_times_over_give_no_rows_without_end(
    tmp_path: Path,
) -> None:
    """SQLite notices none of it but in a check of the whole file, which large ones do not get."""
    path = make(tmp_path / "a.sqlite", [recorded(str(n), b"x" * 3000) for n in range(200)])
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(
            "UPDATE interaction SET body = zeroblob(9000000) "
            "WHERE id = (SELECT max(id) FROM interaction)"
        )
        found = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'interaction'")
        (root,) = found.fetchone()
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[16:18])
    at = (root - 1) * size
    assert content[at] == 5, "the root is no inner page"
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
    for words in (["verify", "a"], ["export", "a", "-o", "-"]):
        command = [sys.executable, "-m", "replay_proxy.cli", *words, "--store", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (1, 2)
        assert "more than once" in done.stdout + done.stderr
