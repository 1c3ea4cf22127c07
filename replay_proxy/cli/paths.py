"""The files that a command names: a cassette by its name or path, and a file to write."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

from replay_proxy.errors import CassetteMissing, ConfigurationError
from replay_proxy.redaction.display import printable
from replay_proxy.settings import Settings, cassette_name
from replay_proxy.settings.loading import load_as_guest
from replay_proxy.store.files.drafts import draft

#: Directories whose links lead to files that a process has open, such as /dev/stdout.
_DEVICES = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))


def store_directory(store: Path | None) -> Path:
    """The directory of the cassettes. Raises ``ConfigurationError`` if it does not exist."""
    directory = store or tool_settings("STORE").store
    if not directory.is_dir():
        raise ConfigurationError(
            f"STORE={directory} is not a directory. Name that of the cassettes with --store."
        )
    return directory


def tool_settings(*names: str) -> Settings:
    """These settings, the only ones that a tape tool reads. Raises ``ConfigurationError``."""
    guest = load_as_guest(names)
    for note in guest.notes:
        _print_once(note)
    return guest.settings


@cache  # A command may name several cassettes.
def _print_once(note: str) -> None:
    sys.stderr.write(f"replay-proxy: {printable(note)}\n")


def cassette_path(cassette: str, store: Path | None) -> Path:
    """The file of a cassette by its name, or by its path, which ends in ``.sqlite``.

    The file may not exist. Raises ``ConfigurationError``.
    """
    if cassette.endswith(".sqlite"):
        return Path(cassette)
    return named_path(cassette, store or tool_settings("STORE").store)


def named_path(cassette: str, store: Path) -> Path:
    """The file of a cassette in the store. Raises ``ConfigurationError`` for an invalid name."""
    try:
        return store / f"{cassette_name(cassette)}.sqlite"
    except ValueError as error:
        raise ConfigurationError(f"'{cassette}' is not the name of a cassette: {error}.") from None


def existing_path(cassette: str, store: Path | None) -> Path:
    """The file of a cassette that exists. Raises ``CassetteMissing``, ``ConfigurationError``."""
    path = cassette_path(cassette, store)
    if not path.exists():
        raise CassetteMissing(
            "does not exist", thing=f"Cassette {path}", remedy="Check its name, and STORE."
        )
    return path


@contextmanager
def replacement(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which replaces ``path`` when all of it is written.

    If ``path`` is not a plain file, but ``/dev/stdout`` for example, it is written to directly.
    Raises ``ConfigurationError`` if it cannot be written, or is a symbolic link outside of
    ``_DEVICES``.
    """
    if path.is_symlink() and path.parent not in _DEVICES:
        raise ConfigurationError(
            f"{path} is a symbolic link, and nothing is written through one. Name the file itself."
        )
    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            with path.open("wb") as content:
                yield content
            return
        with draft(path.parent) as part:
            with part.open("xb") as content:  # Follows no link.
                yield content
            part.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error
