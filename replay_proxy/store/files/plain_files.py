"""How a cassette becomes one plain file again, and a name is made ready for another file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replay_proxy.errors import StoreError
from replay_proxy.store.files import journals, quarantine
from replay_proxy.store.files.salvage import salvage
from replay_proxy.store.files.troubles import ERRORS, is_in_use, system_trouble, trouble
from replay_proxy.store.sqlite.connections import connect


def release(path: Path) -> None:
    """Make a name ready for another file: a journal that is left there is set aside.

    Raises ``StoreError``.
    """
    file = path.resolve()
    try:
        with journals.locked(file):
            clear(file)
    except FileNotFoundError:
        return
    except OSError as error:
        raise system_trouble(path, error) from error


def settle(path: Path, *, wait_s: float = 2.0) -> Exception | None:
    """Make one plain file of the cassette, if no other process has it open within ``wait_s``.

    Gives what else keeps it from being one, a full disk for one: its journal holds the rest then.
    """
    if path.is_symlink():
        return None  # What it leads to is not ours to change.
    file = path.resolve()
    deadline = time.monotonic() + wait_s
    while True:
        hindrance: Exception | None = None
        is_plain = False
        try:
            with journals.locked(file):
                is_plain = _settle(file)
        except FileNotFoundError:
            return None
        except (*ERRORS, OSError, StoreError) as error:
            hindrance = None if is_in_use(error) else error
        # Of several workers that stop together only the last can succeed.
        if is_plain or hindrance is not None or time.monotonic() > deadline:
            return hindrance
        time.sleep(0.02)


def _settle(file: Path) -> bool:
    """Try once; whether it is one plain file, or none."""
    clear(file)
    if not file.exists():
        return True
    bound = journals.is_bound(file)
    connection = connect(file, "rw", busy_ms=0)
    try:
        if bound and not journals.is_bound(file):
            return False
        if bound:
            journals.suspend(file)
        is_plain: bool = (
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete"
        )
    finally:
        connection.close()
        if journals.has_journal(file):
            if bound and journals.is_bound(file):
                journals.mark(file)
        # Without a link, a mark is left by a process that was interrupted before it made one.
        elif journals.is_bound(file) or not journals.link_of(file).exists():
            journals.unbind(file)
    return is_plain


def clear(file: Path) -> None:
    """Set aside, and keep, what is beside a cassette and not its own. Needs the lock."""
    quarantine.clear(file)
    salvage(file)


@contextmanager
def at_rest(path: Path) -> Iterator[None]:
    """While its file is moved or deleted. Raises ``StoreError`` if somebody has it open."""
    hindrance = settle(path, wait_s=0)
    if journals.wal(path).exists():
        if hindrance is not None:
            raise trouble(path, hindrance) from hindrance
        raise StoreError("is in use by a proxy", thing=f"Cassette {path}", remedy="Stop it first.")
    yield
