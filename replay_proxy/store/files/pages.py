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
#: File systems that compress store a page in at least a 32nd of its size.
_COMPRESSED = 32
#: The unit of ``st_blocks`` (POSIX).
_BLOCK_BYTES = 512


def content_bytes(found: os.stat_result) -> int:
    """The most bytes of content that a file can have: its size, if blocks are not counted."""
    stored = found.st_blocks * _BLOCK_BYTES
    return min(found.st_size, stored * _COMPRESSED) if stored else found.st_size


def check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file whose pages are damaged or missing.

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
    """The verdict on a file that seems to have a hole, or only has pages that compress well."""
    pages, page_bytes, journal = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "page_size", "journal_mode")
    )
    # While it is being recorded, the file may be longer than its pages for a while.
    if verdict == "ok" and (pages * page_bytes == size or journal == "wal"):
        return "ok"
    return f"most of its {size:,} bytes are a hole ({verdict.splitlines()[-1]})"
