"""Errors of SQLite and of the system while a cassette is used, as errors of replay-proxy."""

import sqlite3
from pathlib import Path

from replay_proxy.errors import CassetteDamaged, CassetteInUse, StoreError

#: What the sqlite3 module raises: UnicodeDecodeError if SQLite quotes a damaged schema in its
#: message, MemoryError if a damaged index claims more than there is memory.
ERRORS = (sqlite3.Error, UnicodeDecodeError, MemoryError)


def trouble(path: Path, error: Exception) -> StoreError:
    """The error for one that SQLite raises while a cassette is used."""
    cause = str(error)
    # The sqlite3 module has errors of its own, without SQLite's code.
    code = getattr(error, "sqlite_errorcode", None)
    if is_in_use(error):
        return CassetteInUse(
            f"is in use by another process: {cause}",
            thing=f"Cassette {path}",
            remedy="Wait until that process is done, or end it, and try again.",
        )
    if isinstance(error, MemoryError):
        return damage(path, "reading it takes more memory than there is")
    if code == sqlite3.SQLITE_INTERRUPT:  # By ``StepLimit``.
        return damage(path, "reading it takes more steps than it has bytes")
    broken = cause.startswith("no such") or (
        # The lower byte is the kind: virtual tables and indexes have codes of their own.
        code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    )
    if broken or isinstance(error, UnicodeError) or cause.startswith("Could not decode"):
        return damage(path, cause)
    return StoreError(
        f"cannot be used: {cause}",
        thing=f"Cassette {path}",
        remedy="Check the disk, its free space, and that the file can be written by this user.",
    )


def is_in_use(error: Exception) -> bool:
    """Whether another process holds a lock. The lower byte of SQLite's codes is the kind."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def damage(path: Path, cause: str) -> CassetteDamaged:
    """The error for a file that cannot be trusted."""
    return CassetteDamaged(
        f"is damaged: {cause}",
        thing=f"Cassette {path}",
        remedy="Restore it (git checkout) or delete it and record it again.",
    )


def system_trouble(path: Path, error: OSError) -> StoreError:
    """The error for one that the system raises while a cassette is used."""
    return StoreError(
        f"cannot be used: {error.strerror or error}",
        thing=f"Cassette {path}",
        remedy="Check the disk, its free space, and that this user can write to the directory.",
    )
