"""Creating a cassette: it is made whole under another name, and then linked to its own."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from replay_proxy.errors import StoreError
from replay_proxy.store.files.drafts import draft


def create(path: Path) -> None:
    """Make an empty cassette unless it exists; other processes may be doing the same.

    Raises ``StoreError``.
    """
    try:
        if path.exists():
            return
        from replay_proxy.store.sqlite.tables import (
            SCHEMA,  # Loads slowly, and replay never needs it.
        )

        path.parent.mkdir(parents=True, exist_ok=True)
        with draft(path.parent) as part:
            part.touch()  # SQLite would not let the group write.
            with closing(sqlite3.connect(part)) as connection:
                for statement in SCHEMA:
                    connection.execute(statement)
            with suppress(FileExistsError):  # Another worker was faster, with the same.
                os.link(part, path)
    except (OSError, sqlite3.Error) as error:
        cause = getattr(error, "strerror", None) or error
        raise StoreError(
            f"cannot be created: {cause}",
            thing=f"Cassette {path}",
            remedy="Check the disk, its free space, and that this user can write to the directory.",
        ) from error
