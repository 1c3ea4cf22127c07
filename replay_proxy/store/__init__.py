"""Where cassettes live: ``Store``, a directory with one SQLite file per cassette.

Not in here: how a fingerprint is computed, and which mode uses the store.
"""

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

from replay_proxy.errors import CassetteInUse, CassetteMissing, StoreError
from replay_proxy.matching.rules import Rule
from replay_proxy.settings import Repeats
from replay_proxy.store.deck import Deck
from replay_proxy.store.reading.keys import Keys
from replay_proxy.store.reading.patience import insist
from replay_proxy.store.reading.positions import open_positions, run_name
from replay_proxy.store.tape import Tape
from replay_proxy.store.writing.takes import TakeOfRun, newest_take
from replay_proxy.store.writing.writer import Writer
from replay_proxy.timeline import own_offset_us

__all__ = ["Store", "Tape"]


class Store:
    """Opens cassettes by name and closes them all.

    ``writable`` is whether answers can be recorded; without it, files are opened read-only.
    ``fills_gaps`` is whether a recording joins the take of its request, or else the newest take,
    instead of the run's own.
    """

    def __init__(
        self,
        directory: Path,
        *,
        writable: bool,
        fills_gaps: bool = False,
        repeats: Repeats = Repeats.LAST,
        rule: Rule | None = None,
    ) -> None:
        self._directory = directory
        rule = rule or Rule()
        self._take_of_run = TakeOfRun(run_name())
        begin = partial(newest_take, run=run_name()) if fills_gaps else self._take_of_run.take_id
        self._deck = Deck(
            writer=Writer(begin) if writable else None,
            fills_gaps=fills_gaps,
            repeats=repeats,
            rule=rule,
            keys=None if rule.exact else Keys(),
            positions=open_positions(),
        )
        #: Tapes in use. A tape that nothing refers to is dropped, and made again when asked for.
        self._tapes: WeakValueDictionary[str, Tape] = WeakValueDictionary()

    def cassette(self, name: str) -> Tape:
        """The cassette of this name, which may not exist yet. Raises ``StoreError``."""
        if (open_tape := self._tapes.get(name)) is not None:
            return open_tape
        tape = Tape(name, self._directory / f"{name}.sqlite", self._deck)
        with suppress(CassetteInUse):  # The first request waits for the lock, and opens the file.
            tape.check()
        self._tapes[name] = tape
        return tape

    def open(self, name: str) -> None:
        """Open a cassette before the first request. Raises ``StoreError``."""
        insist(self.cassette(name).check)

    def offset_us(self) -> int:
        """The wall clock minus the steady one. Workers of a writable store all get the same value.

        Raises ``StoreError``.
        """
        own = own_offset_us()
        return own if self._deck.writer is None else self._deck.positions.offset_us(own)

    def prepare(self) -> None:
        """Make the directory. Raises ``StoreError`` if nothing can be recorded there."""
        # Imported here, or the first recording would block every stream of the process.
        import replay_proxy.store.sqlite.tables  # noqa: F401

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
        """Raise ``CassetteMissing`` if the directory, or the cassette ``name``, does not exist."""
        if not self._directory.is_dir():
            where = "" if self._directory.is_absolute() else f" in {Path.cwd()}"
            raise CassetteMissing(
                f"STORE={self._directory} is not a directory{where}. Set STORE to where the "
                "cassettes are, or record some with MODE=record."
            )
        if name is not None and not (self._directory / f"{name}.sqlite").exists():
            names = sorted(path.stem for path in self._directory.glob("*.sqlite"))
            raise CassetteMissing(
                f"CASSETTE={name} does not exist in {self._directory}, which has "
                f"{', '.join(names) or 'none'}. Record it with MODE=record, or name another."
            )

    def close(self) -> None:
        """Finish writing, close every cassette, and leave plain files."""
        self._deck.close()
        self._take_of_run.close()
