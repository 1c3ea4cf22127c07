"""The check of a file's pages when it is opened, and how much of the file can be pages.

A hole takes no room on the disk: a file of a few kilobytes can have a size of terabytes, and a copy
of it would fill the disk.
"""

import os
import sqlite3
from pathlib import Path

from replay_proxy.store.files.troubles import damage

#: A file up to this size is checked to its last page when it is opened, and so is one that seems
#: to have a hole. Of a larger file each page is checked when it is read, or starting would take
#: longer the more it holds.
CHECKED_WHOLE_BYTES = 8 * 1024 * 1024
#: File systems that compress store a page in a 32nd of its size at the least.
_COMPRESSED = 32
#: The unit in which ``os.stat`` says what a file takes on the disk (POSIX).
_BLOCK_BYTES = 512


def content_bytes(found: os.stat_result) -> int:
    """The most bytes of content that a file can have; its size where blocks are not counted."""
    stored = found.st_blocks * _BLOCK_BYTES
    return min(found.st_size, stored * _COMPRESSED) if stored else found.st_size


def check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file whose pages are damaged, or are not there.

    Raises ``CassetteDamaged``, and what SQLite raises for a file that it cannot read.
    """
    found = path.stat()
    has_hole = content_bytes(found) < found.st_size
    if found.st_size > CHECKED_WHOLE_BYTES and not has_hole:
        return
    verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if has_hole:
        verdict = _without_hole(connection, found.st_size, verdict)
    if verdict != "ok":
        raise damage(path, verdict)


def _without_hole(connection: sqlite3.Connection, size: int, verdict: str) -> str:
    """The verdict on a file that seems to have a hole. Pages that compress well are none."""
    pages, page_bytes, journal = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "page_size", "journal_mode")
    )
    # While it is recorded, the file may be longer for a while than it will be.
    if verdict == "ok" and (pages * page_bytes == size or journal == "wal"):
        return "ok"
    return f"most of its {size:,} bytes are a hole ({verdict.splitlines()[-1]})"
