"""A bound on the work of one statement, for files that somebody has made to cost without end.

The pages of a b-tree may share their children, and a full-text index may be of anything: to read
such a file could take for ever. A sound one takes few of SQLite's steps per byte.
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from replay_proxy.store.files.journals import wal
from replay_proxy.store.files.pages import content_bytes

#: SQLite asks after so many steps: some tenths of a second.
_ASKS = 10_000_000
#: An interaction takes more bytes than this, and a take, in each table and index.
_ROW_BYTES = 20


class StepLimit:
    """Interrupts a statement of a connection that takes more steps than the file has bytes.

    ``begin`` comes before each statement; a connection for one statement does without.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._path = path.resolve()
        self._asked = 0
        connection.set_progress_handler(self._ask, _ASKS)

    def begin(self) -> None:
        """Count anew, for the next statement."""
        self._asked = 0

    def most_rows(self) -> int:
        """How many rows a statement can give of a sound file."""
        return 1_000 + self._size() // _ROW_BYTES

    def _ask(self) -> bool:
        self._asked += 1
        return (self._asked - 1) * _ASKS > self._size()

    def _size(self) -> int:
        size = 0
        for file in (self._path, wal(self._path)):
            with suppress(OSError):
                size += content_bytes(os.stat(file))
        return size
