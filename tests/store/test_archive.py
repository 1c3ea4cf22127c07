"""A cassette at rest: read as one state, changed as a whole or not at all."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from replay_proxy.cassette import Take
from replay_proxy.errors import CassetteDamaged, CassetteMissing, StoreError
from replay_proxy.matching.nearness import features
from replay_proxy.store.archive import Archive
from replay_proxy.store.files.plain_files import at_rest
from replay_proxy.store.transaction import Transaction, transaction
from tests.support.tape import make, recorded


def ids(path: Path) -> list[int]:
    with Archive(path) as archive:
        return [each.id for _, each in archive.interactions()]


def rows_near(path: Path, words: list[str]) -> set[int]:
    with Archive(path) as archive:
        return {
            row[0]
            for word in words
            for row in archive._query(
                "SELECT rowid FROM nearness WHERE nearness MATCH :word", {"word": f'"{word}"'}
            )
        }


def test_what_was_added_is_read_as_it_was_by_arrival(tmp_path: Path) -> None:
    first, second = recorded("1", b"a", b"b"), recorded("2", b"c")
    path = make(tmp_path / "a.sqlite", [second, first])
    with Archive(path) as archive:
        assert [each for _, each in archive.interactions()] == [first, second]
        assert archive.interaction(first.id) == first
        with pytest.raises(CassetteDamaged, match="interaction 1 is listed but missing"):
            archive.interaction(1)


def test_answers_are_told_by_fingerprint_and_take(tmp_path: Path) -> None:
    old, other, new = recorded("1", b"a"), recorded("2", b"b"), recorded("1", b"c")
    path = make(tmp_path / "a.sqlite", [old, other], [new])
    with Archive(path) as archive:
        one, two = (take.id for take in archive.takes())
        assert archive.answers().by_take == {
            old.fingerprint: {one: [old.id], two: [new.id]},
            other.fingerprint: {one: [other.id]},
        }


def test_a_failed_change_changes_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    one = recorded("1", b"a")
    path = make(tmp_path / "a.sqlite", [one])

    def fail(change: Transaction) -> None:
        change.add(change.join_take("x"), recorded("2", b"b"))
        change.delete(one.id)
        raise RuntimeError

    for each in (path, tmp_path / "new.sqlite"):
        with pytest.raises(RuntimeError), transaction(each) as change:
            fail(change)
    assert ids(path) == [one.id]
    assert [each.name for each in tmp_path.iterdir()] == ["a.sqlite"]


def test_a_new_cassette_is_under_its_name_when_it_is_whole(tmp_path: Path) -> None:
    old, one = recorded("0", b"old"), recorded("1", b"a")
    start = make(tmp_path / "start.sqlite", [old])
    path = tmp_path / "new.sqlite"
    with transaction(path, start) as change:
        change.add(change.join_take("x"), one)
        assert not path.exists(), "one that is killed now would leave it"
    assert ids(path) == [old.id, one.id]
    assert ids(start) == [old.id]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["new.sqlite", "start.sqlite"]


def test_a_new_cassette_does_not_replace_one_that_came_meanwhile(tmp_path: Path) -> None:
    one, other = recorded("1", b"a"), recorded("2", b"b")
    path = tmp_path / "new.sqlite"

    def add_too_late(change: Transaction) -> None:
        change.add(change.join_take("x"), one)
        make(path, [other])

    with (
        pytest.raises(StoreError, match=r"new\.sqlite was created meanwhile"),
        transaction(path) as change,
    ):
        add_too_late(change)
    assert ids(path) == [other.id]
    assert [each.name for each in tmp_path.iterdir()] == ["new.sqlite"]


def test_what_is_deleted_is_found_by_nobody_any_more_nor_is_its_take(tmp_path: Path) -> None:
    gone, kept = recorded("gone", b"a"), recorded("kept", b"b")
    path = make(tmp_path / "a.sqlite", [gone], [kept])
    with transaction(path) as change:
        change.delete(gone.id)
        change.delete(12345)
    assert ids(path) == [kept.id]
    with Archive(path) as archive:
        assert [take.run for take in archive.takes()] == [f"run {kept.id}"]
    assert rows_near(path, features(gone.request)) <= {kept.id}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO nearness (nearness) VALUES ('integrity-check')")
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_an_interaction_of_the_same_id_is_replaced_also_in_the_index(tmp_path: Path) -> None:
    old = recorded("old words", b"a")
    new = recorded("fresh thing", b"b", arrived_us=old.request.arrived_us)
    path = make(tmp_path / "a.sqlite", [old], [new])
    with Archive(path) as archive:
        assert [each for _, each in archive.interactions()] == [new]
    assert rows_near(path, features(new.request)) == {new.id}
    only_old = set(features(old.request)) - set(features(new.request))
    assert rows_near(path, sorted(only_old)) == set()


def test_a_large_deletion_makes_the_file_smaller(tmp_path: Path) -> None:
    large, small = recorded("1", b"x" * 1_000_000), recorded("2", b"y")
    path = make(tmp_path / "a.sqlite", [large, small])
    with transaction(path) as change:
        change.delete(large.id)
    assert path.stat().st_size < 200_000


def test_a_take_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.sqlite", [recorded("1", b"a")])
    with Archive(path) as archive:
        (take,) = archive.takes()
    for wrong in (Take(take.id, "another", 1), Take(take.id + 1, take.run, 1)):
        with pytest.raises(StoreError, match="cannot hold"), transaction(path) as change:
            change.add_take(wrong)


def test_a_cassette_that_is_missing_damaged_or_in_use_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CassetteMissing):
        Archive(tmp_path / "none.sqlite")
    path = make(tmp_path / "a.sqlite", [recorded("1", b"abc")])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE interaction SET body = CAST('abd' AS BLOB)")
    with Archive(path) as archive, pytest.raises(CassetteDamaged, match="interaction"):
        list(archive.interactions())
    with closing(sqlite3.connect(path)) as recorder:
        recorder.execute("PRAGMA journal_mode = WAL")
        recorder.execute("SELECT 1 FROM interaction").fetchone()
        with pytest.raises(StoreError, match="in use"), at_rest(path):
            pass
    with at_rest(path):
        assert path.exists()


def test_an_archive_is_one_state_whatever_is_committed_meanwhile(tmp_path: Path) -> None:
    one = recorded("1", b"a")
    path = make(tmp_path / "a.sqlite", [one])
    with closing(sqlite3.connect(path)) as recorder:
        recorder.execute("PRAGMA journal_mode = WAL")
        recorder.execute("SELECT 1 FROM interaction").fetchone()  # From now on it has a journal.
        with Archive(path) as archive:
            assert len(archive.takes()) == 1
            with recorder:
                recorder.execute("DELETE FROM interaction")
            assert [each.id for _, each in archive.interactions()] == [one.id]
