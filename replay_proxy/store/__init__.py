"""Where cassettes live: ``Store``, a directory with one SQLite file a cassette.

The package holds the tables, the files, reading and writing; what a fingerprint or a mode is, is
not known here.
"""

import os
from pathlib import Path

from replay_proxy.errors import CassetteMissing, StoreError
from replay_proxy.store.positions import open_positions, run_name
from replay_proxy.store.tape import Tape

__all__ = ["Store", "Tape"]


class Store:
    """Opens cassettes by name and closes them all.

    ``writable`` is whether any answer can be recorded; without it files are opened read-only.
    """

    def __init__(self, directory: Path, *, writable: bool) -> None:
        self._directory = directory
        self._writable = writable
        self._run = run_name()
        self._positions = open_positions()
        self._open: dict[str, Tape] = {}

    def cassette(self, name: str) -> Tape:
        """The cassette of this name, which may not exist yet. Raises ``StoreError``."""
        if name not in self._open:
            self._open[name] = Tape(
                name,
                self._directory / f"{name}.sqlite",
                run=self._run,
                positions=self._positions,
                writable=self._writable,
            )
        return self._open[name]

    def prepare(self) -> None:
        """Make the directory. Raises ``StoreError`` when nothing can be recorded there."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"STORE={self._directory} cannot be created: {error}.") from error
        if not os.access(self._directory, os.W_OK | os.X_OK):
            raise StoreError(
                f"STORE={self._directory} cannot be written by this user. Change its permissions, "
                "or set STORE to another directory."
            )

    def require(self, name: str | None) -> None:
        """Raise ``CassetteMissing`` if the directory, or the cassette named, does not exist."""
        if not self._directory.is_dir():
            raise CassetteMissing(
                f"STORE={self._directory} is not a directory. Set STORE to where the cassettes "
                "are, or record some with MODE=record."
            )
        if name is not None and not (self._directory / f"{name}.sqlite").exists():
            known = sorted(path.stem for path in self._directory.glob("*.sqlite"))
            raise CassetteMissing(
                f"CASSETTE={name} does not exist in {self._directory}, which has "
                f"{', '.join(known) or 'none'}. Record it with MODE=record, or name another."
            )

    def close(self) -> None:
        """Close every cassette."""
        for tape in self._open.values():
            tape.close()
        self._positions.close()
