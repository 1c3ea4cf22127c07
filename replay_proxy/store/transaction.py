"""``Transaction``: changes a cassette at rest, completely or not at all. ``Archive`` reads one."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from replay_proxy.cassette import Interaction, Take
from replay_proxy.errors import StoreError
from replay_proxy.matching.nearness import features, former_features
from replay_proxy.store.files.access import open_to_read, open_to_write
from replay_proxy.store.files.drafts import draft
from replay_proxy.store.files.journals import wal
from replay_proxy.store.files.plain_files import release, settle
from replay_proxy.store.files.troubles import ERRORS, damage, system_trouble, trouble
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.rows import to_any_request, to_row
from replay_proxy.store.sqlite.step_limit import StepLimit
from replay_proxy.store.sqlite.vocabulary import drop
from replay_proxy.store.writing.insertion import put_interaction
from replay_proxy.store.writing.row_ids import id_of
from replay_proxy.store.writing.takes import join_take
from replay_proxy.wire import Request

#: A file is packed if more than this share of its pages is free after a deletion.
_FREE_SHARE = 0.2


class Transaction:
    """Changes a cassette in one transaction; see ``transaction``."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._steps = StepLimit(connection, path)

    def add_take(self, take: Take) -> None:
        """Put a take, unless it exists. Raises ``StoreError`` if its id is another run's."""
        self._steps.begin()
        new = {"id": take.id, "run": take.run, "started_us": take.started_us}
        self._connection.execute(statements.INSERT_TAKE, new)
        row = self._connection.execute(statements.FIND_TAKE, new).fetchone()
        if row is None or row[0] != take.id:
            raise StoreError(
                f"cannot hold take {take.id} of run {take.run}: it has another take with this id, "
                "or another id for this run",
                thing=f"Cassette {self._path}",
                remedy="Write to a cassette of another name.",
            )

    def join_take(self, run: str, started_us: int | None = None) -> int:
        """The id of this run's take. If it is new, it is newer than every other take.

        A new one began now, or at ``started_us``.
        """
        return join_take(self._connection, run, started_us)

    def add(self, take_id: int, interaction: Interaction) -> None:
        """Put an interaction, in place of another version of it.

        If its id is that of another exchange, it gets the next id of the same microsecond.
        """
        self._steps.begin()
        number = id_of(self._connection, take_id, interaction)
        self.delete(number)
        row = to_row(replace(interaction, id=number), take_id)
        self._connection.execute(statements.PUT_NEARNESS, row)
        put_interaction(self._connection, row)

    def holds(self, number: int, take_id: int, checksum: int) -> bool:
        """Whether an interaction exists already, in this take and with this content."""
        self._steps.begin()
        row = self._connection.execute(statements.READ_CHECKSUM, {"id": number}).fetchone()
        return row is not None and tuple(row) == (take_id, checksum)

    def delete(self, number: int) -> None:
        """Delete an interaction, if it exists."""
        self._steps.begin()
        for row in self._connection.execute(statements.READ_REQUEST, {"id": number}).fetchall():
            values = dict(zip(statements.REQUEST_COLUMNS, row, strict=True))
            try:
                request = to_any_request(values).request
            except ValueError as error:
                raise damage(self._path, f"interaction {number}: {error}") from error
            self._delete_features(number, request)
            self._connection.execute(statements.DELETE_INTERACTION, {"id": number})

    def drop(self, number: int) -> bool:
        """Delete an interaction whatever its row holds, which is slower; whether it existed."""
        self._steps.begin()
        return drop(self._connection, self._path, number)

    def finish(self) -> bool:
        """Delete takes without an interaction; whether the file should be packed.

        Raises ``CassetteDamaged`` if packing its pages would never end.
        """
        self._steps.begin()
        self._connection.execute(statements.DELETE_EMPTY_TAKES)
        free, pages = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("freelist_count", "page_count")
        )
        if free <= _FREE_SHARE * pages:
            return False
        self._steps.begin()
        verdict = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise damage(self._path, verdict)
        return True

    def _delete_features(self, number: int, request: Request) -> None:
        """Delete an interaction from the index of words.

        Deleting words that a contentless table does not have damages it, so they are looked up
        first. Words that an unknown version has put stay, and refer to no row.
        """
        for words in (features(request), former_features(request)):
            if all(self._has_feature(number, word) for word in words):
                entry = {"id": number, "features": " ".join(words)}
                self._connection.execute(statements.DELETE_NEARNESS, entry)
                return

    def _has_feature(self, number: int, word: str) -> bool:
        parameters = {"id": number, "feature": f'"{word}"'}
        return bool(self._connection.execute(statements.HAS_FEATURE, parameters).fetchall())


@contextmanager
def transaction(path: Path, start: Path | None = None) -> Iterator[Transaction]:
    """Change the cassette, which is created if it is missing: all changes are kept, or none.

    A new cassette begins as a copy of ``start``, and gets its name when it is whole. Takes without
    an interaction are deleted. Raises ``StoreError``.
    """
    if path.exists():
        try:
            with _open_transaction(path) as change:
                yield change
            hindrance = settle(path)
        except BaseException:  # A signal, for example.
            settle(path)
            raise
        if hindrance is not None:
            raise StoreError(
                f"is changed, but {wal(path)} still holds a part of the change: {hindrance}",
                thing=f"Cassette {path}",
                remedy="Free space on the disk, and let `replay-proxy ls` open it once.",
            ) from hindrance
        return
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = stack.enter_context(draft(path.parent))
        except OSError as error:
            raise system_trouble(path, error) from error
        try:
            if start is not None:
                _copy(start, part)
            with _open_transaction(part) as change:
                yield change
            if (hindrance := settle(part)) is not None:
                raise trouble(part, hindrance) from hindrance
            _publish(part, path)
        except StoreError as error:
            if error.thing == f"Cassette {part}":
                error.thing = f"Cassette {path}"
            raise


def _publish(part: Path, path: Path) -> None:
    release(path)
    try:
        os.link(part, path)
    except FileExistsError as error:
        if path.is_symlink() and not path.exists():
            raise StoreError(
                f"{path} is a link to a missing file. Delete it, or bring back its target."
            ) from error
        raise StoreError(f"Cassette {path} was created meanwhile. Try again.") from error
    except OSError as error:
        raise StoreError(
            f"Cassette {path} cannot be created: {error.strerror}. Check that this user can "
            "write to the directory."
        ) from error


def _copy(source: Path, target: Path) -> None:
    """One state of a cassette as a new file. Raises ``StoreError``."""
    try:
        target.touch()
        with closing(open_to_read(source)) as reader:
            reader.execute("BEGIN")
            reader.execute(statements.TOUCH_INTERACTIONS)  # Locks the file.
            if reader.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                with closing(sqlite3.connect(target, isolation_level=None)) as writer:
                    reader.execute("COMMIT")
                    # The target is new, and a journal would be left behind on a full disk.
                    writer.execute("PRAGMA journal_mode = OFF")
                    reader.backup(writer)
                return
            # Nobody can write until the lock is released, and there is only one file, so copying it
            # is safe, and five times as fast as SQLite's backup. Closing the copied file releases
            # the lock (see ``access._refuse_empty``), and nothing is read from it after that.
            shutil.copyfile(source, target)
        with target.open("rb+") as copy:
            os.fsync(copy.fileno())
    except (*ERRORS, OSError) as error:
        raise trouble(target, error) from error


@contextmanager
def _open_transaction(path: Path) -> Iterator[Transaction]:
    connection = open_to_write(path)
    try:
        connection.execute("BEGIN IMMEDIATE")
        change = Transaction(path, connection)
        yield change
        should_pack = change.finish()
        if not connection.is_current():
            raise StoreError(
                "was replaced or moved meanwhile",
                thing=f"Cassette {path}",
                remedy="Nothing of this change is kept. Try again.",
            )
        connection.execute("COMMIT")
        if should_pack:
            connection.set_progress_handler(None, 0)
            # The change is committed. Without space to pack the file, or while others use it, it
            # stays large.
            with suppress(sqlite3.OperationalError):
                connection.execute("VACUUM")
    except BaseException as error:
        connection.close()  # Rolls back.
        if isinstance(error, ERRORS):
            raise trouble(path, error) from error
        raise
    connection.close()
