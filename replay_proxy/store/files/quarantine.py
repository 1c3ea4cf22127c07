"""Files that were replaced while they had a journal: set aside with it, where SQLite finds both.

Each file has a directory of its own, under its old name, until its content is salvaged
(``salvage``). Every step can be repeated after a kill. No SQLite here.
"""

import logging
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

from replay_proxy.errors import CassetteDamaged
from replay_proxy.store.files.drafts import draft
from replay_proxy.store.files.journals import (
    QUARANTINE,
    SUFFIXES,
    has_journal,
    is_bound,
    is_overwritten,
    is_same,
    is_trusted,
    link_of,
    make_quarantine,
    tidy,
    unbind,
)

logger = logging.getLogger("replay_proxy")

_KEPT = re.compile(r"-kept-\d{8}T\d{6}(-\d+)?")
#: Bytes of a cassette's name that fit before this suffix: a name has at most 200 characters.
_HEAD_BYTES = 200 - len("-kept-20261128T110503-9999")


def clear(path: Path) -> None:
    """Set aside the journals of other files. Needs the lock. Raises ``OSError``."""
    link = link_of(path)
    if not os.path.lexists(link):
        if not path.exists():
            _orphan(path)
        return
    if not is_trusted(path):
        link.unlink()
        _orphan(path)
        unbind(path)
        return
    if is_bound(path):
        if not has_journal(path):
            unbind(path)
            return
        if not is_overwritten(path):
            return
        _renew(path)
    place = _place(path, link)
    with suppress(FileExistsError):
        os.link(link, place / path.name)
    for end in SUFFIXES:
        with suppress(FileNotFoundError):
            os.rename(path.with_name(path.name + end), place / f"{path.name}{end}")
    unbind(path)


def files(path: Path) -> list[Path]:
    """The files that were set aside from this name, each with its journal beside it."""
    try:
        groups = sorted((path.parent / QUARANTINE).iterdir())
    except OSError:
        return []
    files = [group / path.name for group in groups if group.is_dir()]
    return [file for file in files if file.exists()]


def forget(aside: Path, path: Path) -> None:
    """Remove a file that was set aside from ``path``, and its journal. Needs the lock."""
    shutil.rmtree(aside.parent)
    tidy(path)


def kept_cassettes(path: Path) -> list[str]:
    """The names of the cassettes that hold what was in ``path`` when it was replaced."""
    path = Path(os.path.realpath(path))  # ``resolve`` raises for a link to itself.
    head = _head(path)
    return sorted(
        each.stem
        for each in path.parent.glob("*-kept-*.sqlite")
        if each.stem.startswith(head) and _KEPT.fullmatch(each.stem.removeprefix(head))
    )


def _head(path: Path) -> str:
    """The beginning of the names of the cassettes that are kept from a cassette."""
    return path.stem.encode()[:_HEAD_BYTES].decode(errors="ignore")


def unused_stem(path: Path) -> str:
    """A name for what was in ``path``, which no other cassette has or is about to get."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    number = 1
    while True:
        stem = f"{_head(path)}-kept-{stamp}" + (f"-{number}" if number > 1 else "")
        taken = (path.with_name(f"{stem}.sqlite"), path.parent / QUARANTINE / stem)
        if not any(os.path.lexists(each) for each in taken):
            return stem
        number += 1


def _place(path: Path, link: Path) -> Path:
    """The directory for a file: the same one again if setting it aside was interrupted."""
    for each in files(path):
        if is_same(each, link):
            return each.parent
    aside = make_quarantine(path) / unused_stem(path)
    aside.mkdir()
    return aside


def _renew(path: Path) -> None:
    """Move what has overwritten a file to a file of its own, which no journal belongs to.

    Other processes may have the old file open, with its journal. Raises ``CassetteDamaged`` while
    the new content is not whole.
    """
    with draft(make_quarantine(path)) as part:
        shutil.copy2(path, part)
        if not _is_whole(part):
            raise CassetteDamaged(
                "is damaged: it was overwritten during recording, and is not a whole SQLite file",
                thing=f"Cassette {path}",
                remedy="Restore it (git checkout) or delete it.",
            )
        os.replace(part, path)


def _is_whole(file: Path) -> bool:
    """Whether a file has a database header and all its pages (sqlite.org/fileformat2.html)."""
    with file.open("rb") as content:
        head = content.read(100)
    page = int.from_bytes(head[16:18], "big")
    size = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")
    return head.startswith(b"SQLite format 3\0") and 0 < size <= file.stat().st_size


def _orphan(path: Path) -> None:
    """Rename a journal whose file is gone and was never linked, so that SQLite does not use it."""
    if not has_journal(path):
        return
    name = f"{unused_stem(path)}.sqlite"
    for end in SUFFIXES:
        journal = path.with_name(path.name + end)
        if journal.exists():
            journal.rename(path.with_name(name + end))
    logger.warning(
        "The file of cassette %s is gone, and its journal cannot be read without it. The journal "
        "is now %s-wal. Delete it, or give it its old name if you bring the cassette back.",
        path,
        path.with_name(name),
    )
