"""Errors of SQLite and of the system while a cassette is used, as errors of replay-proxy."""

import re
import sqlite3
from pathlib import Path

from replay_proxy.errors import CassetteDamaged, CassetteInUse, StoreError

#: What the sqlite3 module raises: UnicodeDecodeError if SQLite quotes a damaged schema in its
#: message, MemoryError if a damaged index claims more than there is memory.
ERRORS = (sqlite3.Error, UnicodeDecodeError, MemoryError)

#: A pointer of Git LFS (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md), in its versions
#: before the release too. Each is shorter than ``POINTER_BYTES``.
POINTER_BYTES = 1024
_POINTER = re.compile(rb"version https?://(?:git-lfs|hawser|git-media)\S*\r?\n[\x20-\x7e\r\n]*")
GET_BY_LFS = (
    "Get the file itself with `git lfs pull`. In CI, check out with LFS (actions/checkout: "
    "`lfs: true`)."
)


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
    if code is not None and code & 0xFF == sqlite3.SQLITE_NOTADB:
        return no_database(path, cause)
    broken = cause.startswith("no such") or (
        # The lower byte is the kind: virtual tables and indexes have codes of their own.
        code is not None and code & 0xFF == sqlite3.SQLITE_CORRUPT
    )
    if broken or isinstance(error, UnicodeError) or cause.startswith("Could not decode"):
        return damage(path, cause)
    return StoreError(
        f"cannot be used: {cause}",
        thing=f"Cassette {path}",
        remedy="Check the disk, its free space, and that the file can be written by this user.",
    )


def is_lfs_pointer(content: bytes) -> bool:
    """Whether this is a pointer of Git LFS, which git puts in the place of a file."""
    return len(content) < POINTER_BYTES and _POINTER.fullmatch(content) is not None


def lfs_pointer(path: Path) -> str | None:
    """The text of a pointer in the place of a file, or None.

    A file that may be a database is not opened (``access`` says why).
    """
    try:
        if not 0 < path.stat().st_size < POINTER_BYTES:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    return content.decode() if is_lfs_pointer(content) else None


def no_database(path: Path, cause: str) -> CassetteDamaged:
    """The error for a file that is no database: it is damaged, or a Git LFS pointer."""
    if lfs_pointer(path) is None:
        return damage(path, cause)
    return CassetteDamaged(
        "is a Git LFS pointer, and not the cassette itself",
        thing=f"Cassette {path}",
        remedy=GET_BY_LFS,
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
