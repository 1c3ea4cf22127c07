"""The check of a file's pages when it is opened, and how much of the file can be content.

A hole takes no space on the disk: a file of a few kilobytes can have a size of terabytes, and a
copy of it would fill the disk.
"""

import os
import sqlite3
from pathlib import Path

from replay_proxy.store.files.troubles import damage

#: Files up to this size are checked completely when they are opened, and so are files that seem to
#: have a hole. Otherwise a page is checked when it is read; starting would take longer the larger
#: the file is.
CHECKED_WHOLE_BYTES = 8 * 1024 * 1024
#: Highest compression ratio of a file system.
_COMPRESSED = 32
#: The unit of ``st_blocks`` (POSIX).
_BLOCK_BYTES = 512


def content_bytes(status: os.stat_result) -> int:
    """The most bytes of content that a file can have: its size, if the system counts no blocks."""
    stored = status.st_blocks * _BLOCK_BYTES
    return min(status.st_size, stored * _COMPRESSED) if stored else status.st_size


def check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file whose pages are damaged or missing.

    Raises ``CassetteDamaged``, and what SQLite raises for a file that it cannot read.
    """
    status = path.stat()
    has_hole = content_bytes(status) < status.st_size
    if status.st_size > CHECKED_WHOLE_BYTES and not has_hole:
        return
    verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if has_hole:
        verdict = _without_hole(connection, status.st_size, verdict)
    if verdict != "ok":
        raise damage(path, verdict)


def _without_hole(connection: sqlite3.Connection, size: int, verdict: str) -> str:
    """The verdict on a file that has a hole, or only pages that compress well: "ok" for these."""
    pages, page_bytes, journal = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "page_size", "journal_mode")
    )
    # During recording, the file may be longer than its pages for a while.
    if verdict == "ok" and (pages * page_bytes == size or journal == "wal"):
        return "ok"
    return f"most of its {size:,} bytes are a hole ({verdict.splitlines()[-1]})"
