"""Turning a cassette back into one plain file, without a journal."""

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
    """Free a name for another file: a journal that is left there is set aside.

    Raises ``StoreError``.
    """
    file = path.resolve()
    try:
        with journals.lock(file):
            clear(file)
    except FileNotFoundError:
        return
    except OSError as error:
        raise system_trouble(path, error) from error


def settle(path: Path, *, wait_s: float = 2.0) -> Exception | None:
    """Turn the cassette into one plain file, if every other process closes it within ``wait_s``.

    Returns any other error that prevents it, such as a full disk: the journal then holds the rest.
    """
    if path.is_symlink():
        return None  # The target of a link is never changed.
    file = path.resolve()
    deadline = time.monotonic() + wait_s
    while True:
        hindrance: Exception | None = None
        is_plain = False
        try:
            with journals.lock(file):
                is_plain = _settle(file)
        except FileNotFoundError:
            return None
        except (*ERRORS, OSError, StoreError) as error:
            hindrance = None if is_in_use(error) else error
        # Of several workers that stop together, only the last can succeed.
        if is_plain or hindrance is not None or time.monotonic() > deadline:
            return hindrance
        time.sleep(0.02)


def _settle(file: Path) -> bool:
    """Try once. Returns whether the cassette is now one plain file, or does not exist."""
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
        # A mark without a link is left by a process that was interrupted before it made the link.
        elif journals.is_bound(file) or not journals.link_of(file).exists():
            journals.unbind(file)
    return is_plain


def clear(file: Path) -> None:
    """Set aside and salvage the journals beside a cassette that are not its own. Needs the lock."""
    quarantine.clear(file)
    salvage(file)


@contextmanager
def at_rest(path: Path) -> Iterator[None]:
    """Inside, the file may be moved or deleted. Raises ``StoreError`` if somebody has it open."""
    hindrance = settle(path, wait_s=0)
    if journals.wal(path).exists():
        if hindrance is not None:
            raise trouble(path, hindrance) from hindrance
        raise StoreError("is in use by a proxy", thing=f"Cassette {path}", remedy="Stop it first.")
    yield
