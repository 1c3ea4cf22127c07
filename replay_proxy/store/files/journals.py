"""Which file a journal belongs to.

SQLite finds a journal by the name of the database, and merges it into whatever file has that name:
after a ``git checkout``, into another one. So whoever writes to a cassette holds a hard link to its
file, ``NAME.sqlite-link``, for as long as it may have a journal. The link keeps the inode from
being reused, so that "the link and the cassette are one file" can be trusted. A mark,
``NAME.sqlite-mark``, shows whether a file was overwritten: it holds the inode, and the modification
time and size of the file when replay-proxy last wrote to it.

``quarantine`` deals with the journal of another file. No SQLite here.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from replay_proxy.store.files.drafts import sweep

QUARANTINE = ".journals"
#: What SQLite puts beside a database: the write-ahead log, its index, and a rollback journal.
SUFFIXES = ("-wal", "-shm", "-journal")
#: The mark while replay-proxy writes to a file, or after it was killed while writing.
_UNKNOWN = "?"
#: Bytes to read of a mark; every mark is shorter.
_MARK_BYTES = 200
_IGNORED = "*\n"


def wal(path: Path) -> Path:
    """The journal that a cassette has while it is recorded."""
    return path.with_name(path.name + "-wal")


def shm(path: Path) -> Path:
    """The index of the journal."""
    return path.with_name(path.name + "-shm")


def link_of(path: Path) -> Path:
    """The link to the file that the journals beside ``path`` belong to."""
    return path.with_name(path.name + "-link")


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + "-mark")


def _next_mark_of(path: Path) -> Path:
    return path.with_name(path.name + "-mark-next")


def _mark_text(path: Path) -> str:
    """The text of the mark. Anything may be in its place: a link to a device, a pipe, a directory.

    Raises ``OSError``.
    """
    mark = os.open(_mark_of(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(mark, _MARK_BYTES).decode("ascii", "replace")
    finally:
        os.close(mark)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Exclude all others, threads included, who bind or set aside journals in a directory.

    Not reentrant. Raises ``OSError`` if the directory does not exist.
    """
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # Some network file systems cannot lock a directory.
            fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def is_same(one: Path, other: Path) -> bool:
    """Whether two names refer to one existing file."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def is_bound(path: Path) -> bool:
    """Whether the journals beside a cassette are its own."""
    return is_same(path, link_of(path))


def has_journal(path: Path) -> bool:
    """Whether there is a journal beside a cassette, its own or another file's."""
    return any(path.with_name(path.name + end).exists() for end in ("-wal", "-journal"))


def has_lost_journal(path: Path) -> bool:
    """Whether a file says that it has a journal, and there is none.

    Not for a process that has the cassette open, which would lose its locks
    (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    if not path.is_file() or has_journal(path) or os.path.lexists(link_of(path)):
        return False  # Opening a pipe would wait for its writer.
    with suppress(OSError), path.open("rb") as content:
        return content.read(20)[18:] == b"\2\2"
    return False


def is_foreign(path: Path) -> bool:
    """Whether the journals beside a cassette belong to another file, or to its former content."""
    return os.path.lexists(link_of(path)) and (not is_bound(path) or is_overwritten(path))


def make_quarantine(path: Path) -> Path:
    """The directory for files that are set aside, which git ignores. Needs the lock."""
    directory = path.parent / QUARANTINE
    directory.mkdir(exist_ok=True)
    (directory / ".gitignore").write_text(_IGNORED)
    return directory


def bind(path: Path) -> None:
    """Declare that journals beside a cassette are its own from now on. Needs the lock."""
    if is_bound(path):
        return
    suspend(path)
    os.link(path, link_of(path))


def unbind(path: Path) -> None:
    """Remove the link and the mark of a cassette without a journal. Needs the lock."""
    link_of(path).unlink(missing_ok=True)
    for file in (_mark_of(path), _next_mark_of(path)):
        file.unlink(missing_ok=True)
    tidy(path)


def tidy(path: Path) -> None:
    """Remove the quarantine directory if it is empty. Needs the lock."""
    directory = path.parent / QUARANTINE
    with suppress(OSError):
        sweep(directory)
        if os.listdir(directory) in ([], [".gitignore"]):
            (directory / ".gitignore").unlink(missing_ok=True)
            directory.rmdir()


def _signature(path: Path) -> str:
    status = os.stat(path)
    return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"


def _mark(path: Path, value: str) -> None:
    part = _next_mark_of(path)
    try:
        part.write_text(value)
        part.replace(_mark_of(path))
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def mark(path: Path) -> None:
    """Mark the file's present state as written by replay-proxy. Needs the lock."""
    _mark(path, _signature(path))


def suspend(path: Path) -> None:
    """Mark that replay-proxy is about to write to the file itself. Needs the lock."""
    _mark(path, f"{os.stat(path).st_ino} {_UNKNOWN}")


def is_trusted(path: Path) -> bool:
    """Whether the link is the one that was marked, and not put there by git, for example."""
    try:
        return os.stat(link_of(path)).st_ino == int(_mark_text(path).split()[0])
    except (OSError, ValueError, IndexError):
        return is_bound(path)


def is_overwritten(path: Path) -> bool:
    """Whether another program has written to a bound file itself."""
    for _ in range(3):
        try:
            now, marked = _signature(path), _mark_text(path)
        except OSError:
            return False
        if marked == now or marked.endswith(_UNKNOWN):
            return False
    return True  # The mark did not just change between the two reads.
