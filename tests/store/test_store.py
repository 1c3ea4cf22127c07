"""Cassettes in SQLite files: what they promise, and what they refuse to be."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay_proxy.cassette import Interaction, interaction_id
from replay_proxy.errors import CassetteDamaged, CassetteMissing, StoreError
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.matching.rules import Rule
from replay_proxy.store import Store
from replay_proxy.store.files import access, creation, pages
from replay_proxy.store.reading import readers
from replay_proxy.store.reading.cache import ONE_IN, Cache
from replay_proxy.store.reading.positions import SharedPositions
from replay_proxy.store.reading.readers import Readers
from replay_proxy.store.sqlite import statements
from replay_proxy.timeline import Arrivals, Timeline
from tests.support.paths import ROOT
from tests.support.requests import post

ARRIVALS = Arrivals()
HEADERS = ((b"content-type", b"text/event-stream"), (b"x-twice", b"1"), (b"x-twice", b"2"))


def interaction(
    text: bytes = b"hello", *, user: str = "u", arrived_us: int | None = None
) -> Interaction:
    arrived_us = arrived_us or ARRIVALS.next_us()
    request = post(b'{"user":"%s"}' % user.encode(), query="a=1", arrived_us=arrived_us)
    ends = tuple(range(1, len(text) + 1))
    return Interaction(
        id=interaction_id(arrived_us, 7),
        fingerprint=fingerprint(request),
        request=request,
        status=200,
        headers=HEADERS,
        body=text,
        timeline=Timeline(5, tuple(10 * end for end in ends), ends, 999),
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    it = Store(tmp_path, writable=True)
    yield it
    it.close()


def record(directory: Path, *interactions: Interaction) -> Path:
    """One take of these interactions, settled on disk."""
    store = Store(directory, writable=True)

    async def add() -> None:
        for each in interactions:
            await store.cassette("default").add(each)

    asyncio.run(add())
    store.close()
    return directory / "default.sqlite"


def replay(directory: Path, key: str, times: int = 1) -> list[Interaction | None]:
    store = Store(directory, writable=False)
    try:
        tape = store.cassette("default")
        return [asyncio.run(tape.next_answer(key)) for _ in range(times)]
    finally:
        store.close()


def test_what_was_added_is_taken_as_it_was(tmp_path: Path) -> None:
    one = interaction(b"\x00\xff\r\n" + "한".encode())
    record(tmp_path, one)
    assert replay(tmp_path, one.fingerprint) == [one]


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    chunks=st.lists(st.binary(max_size=40), max_size=8),
    headers=st.lists(
        st.tuples(
            st.from_regex(rb"x-[!#$%&'*+.^_`|~0-9a-z-]{1,9}", fullmatch=True),
            st.binary(max_size=9).map(lambda value: value.translate(None, b"\0\r\n")),
        ),
        max_size=4,
    ),
)
def test_any_bytes_in_any_chunks_come_back(
    tmp_path: Path, chunks: list[bytes], headers: list[tuple[bytes, bytes]]
) -> None:
    body = b"".join(chunks)
    ends = tuple(len(b"".join(chunks[: number + 1])) for number in range(len(chunks)))
    one = replace(
        interaction(user=os.urandom(8).hex()),
        headers=tuple(headers),
        body=body,
        timeline=Timeline(1, tuple(range(len(chunks))), ends, 9),
    )
    record(tmp_path, one)
    (back,) = replay(tmp_path, one.fingerprint)
    assert back == one
    assert [chunk for _, chunk in back.timeline.chunks(back.body)] == chunks


def test_an_answer_can_be_taken_while_it_is_being_recorded(store: Store) -> None:
    async def scenario() -> None:
        tape = store.cassette("live")
        one = interaction()
        assert await tape.next_answer(one.fingerprint) is None
        await tape.add(one)
        assert await tape.next_answer(one.fingerprint) == one

    asyncio.run(scenario())


def test_what_was_read_is_not_read_again_until_somebody_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = interaction(b"old"), interaction(b"other", user="2")
    path = record(tmp_path, one)
    read: list[str] = []
    reading = Readers.read

    def noted(self: Readers, path: Path, sql: str, *parameters: Any) -> list[sqlite3.Row]:
        read.append(sql)
        return reading(self, path, sql, *parameters)

    monkeypatch.setattr(Readers, "read", noted)
    store = Store(tmp_path, writable=False)

    def take(key: str) -> tuple[Interaction | None, bool]:
        read.clear()
        taken = asyncio.run(store.cassette("default").next_answer(key))
        return taken, statements.READ_INTERACTION in read

    try:
        assert take(one.fingerprint) == (one, True)
        assert take(one.fingerprint) == (one, False)
        record(tmp_path, other)
        assert take(one.fingerprint) == (one, True)
        assert take(one.fingerprint) == (one, False)
        again, more = interaction(b"again"), interaction(b"more")
        record(tmp_path, again, more)
        assert [take(one.fingerprint)[0] for _ in range(3)] == [again, more, more]
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM interaction")
        assert take(one.fingerprint)[0] is None
    finally:
        store.close()


def test_what_is_kept_of_a_cassette_does_not_outlive_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "OPEN_CASSETTES", 1)
    old, new = interaction(b"old"), interaction(b"new")
    path = record(tmp_path, old)
    store = Store(tmp_path, writable=False)
    try:
        assert asyncio.run(store.cassette("default").next_answer(old.fingerprint)) == old
        record(tmp_path / "else", old).rename(tmp_path / "another.sqlite")
        assert asyncio.run(store.cassette("another").next_answer(old.fingerprint)) == old
        path.unlink()
        record(tmp_path, new)
        assert asyncio.run(store.cassette("default").next_answer(old.fingerprint)) == new
    finally:
        store.close()


def test_what_was_deleted_meanwhile_is_a_miss_under_a_rule_too(tmp_path: Path) -> None:
    one = interaction()
    path = record(tmp_path, one)
    rule = Rule(["$.other"])
    store = Store(tmp_path, writable=False, rule=rule)
    try:
        tape = store.cassette("default")
        assert asyncio.run(tape.next_answer(rule.key(one.request))) == one
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM interaction")
        assert asyncio.run(tape.next_answer(rule.key(one.request))) is None
    finally:
        store.close()


def test_no_more_is_kept_than_its_bytes_allow(tmp_path: Path) -> None:
    one, two, three = (interaction(b"x" * 4_000, user=str(number)) for number in range(3))
    size = 2_000 + 4_000 + len(one.request.body) + 80 * 4_000
    kept = Cache(most_bytes=2 * size + 1_000)
    for each in (one, two, two):
        kept.put(tmp_path, each.fingerprint, 1, each)
    assert kept.get(tmp_path, one.fingerprint, 1) == one
    for _ in range(ONE_IN - 1):
        kept.put(tmp_path, three.fingerprint, 1, three)
        assert kept.get(tmp_path, three.fingerprint, 1) is None
    kept.put(tmp_path, three.fingerprint, 1, three)
    have = [kept.get(tmp_path, each.fingerprint, 1) for each in (one, two, three)]
    assert have == [one, None, three]
    assert kept.get(tmp_path, one.fingerprint, 2) is None
    assert kept.get(tmp_path / "other", one.fingerprint, 1) is None
    for _ in range(ONE_IN):
        kept.put(tmp_path, "large", 1, interaction(b"x" * 9_000))
    assert kept.get(tmp_path, "large", 1) is None
    assert kept.get(tmp_path, one.fingerprint, 1) == one


def test_what_is_kept_is_counted_with_headers_and_query(tmp_path: Path) -> None:
    headers, query = ((b"x", b"x" * 60_000),), "q" * 60_000
    one, other = interaction(user="1"), interaction(user="2")
    large = replace(one, headers=headers), replace(one, request=replace(one.request, query=query))
    for each in large:
        kept = Cache(most_bytes=50_000)
        for _ in range(ONE_IN):
            kept.put(tmp_path, one.fingerprint, 1, each)
        assert kept.get(tmp_path, one.fingerprint, 1) is None
        kept.put(tmp_path, other.fingerprint, 1, other)
        assert kept.get(tmp_path, other.fingerprint, 1) == other


def test_answers_replay_by_arrival_and_the_last_one_repeats(tmp_path: Path) -> None:
    first, second, third = (interaction(b"%d" % number) for number in range(3))
    record(tmp_path, third, first, second)
    taken = replay(tmp_path, first.fingerprint, times=5)
    assert taken == [first, second, third, third, third]


def test_the_newest_take_that_has_a_request_answers_it(tmp_path: Path) -> None:
    old, other = interaction(b"old"), interaction(b"other", user="other")
    record(tmp_path, old, other)
    new = interaction(b"new")
    record(tmp_path, new)
    assert replay(tmp_path, new.fingerprint, times=2) == [new, new]
    assert replay(tmp_path, other.fingerprint) == [other]


def test_a_take_is_newer_than_those_before_though_the_clock_went_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, interaction(b"old"))
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    new = interaction(b"new", arrived_us=17)
    record(tmp_path, new)
    assert replay(tmp_path, new.fingerprint) == [new]


def test_an_interaction_that_grew_replaces_itself(tmp_path: Path) -> None:
    one = interaction(b"data: [DONE]\n\n")
    more = replace(one, body=b"data: [DONE]\n\n: bye\n\n", timeline=Timeline(5, (10,), (21,), 11))
    record(tmp_path, one, more)
    assert replay(tmp_path, one.fingerprint, times=2) == [more, more]


def test_many_writers_share_commits_and_lose_nothing(store: Store) -> None:
    everything = [interaction(b"%d" % number, user=str(number)) for number in range(300)]

    async def scenario() -> None:
        tape = store.cassette("busy")
        await asyncio.gather(*(tape.add(each) for each in everything))
        for each in everything:
            assert await tape.next_answer(each.fingerprint) == each

    asyncio.run(scenario())


def test_one_row_that_cannot_be_stored_does_not_take_others_with_it(store: Store) -> None:
    good = [interaction(b"%d" % number, user=str(number)) for number in range(5)]
    bad = replace(interaction(user="bad"), id=2**70)  # More than SQLite's integers hold.

    async def scenario() -> None:
        tape = store.cassette("mixed")
        adding = [tape.add(each) for each in (*good[:2], bad, *good[2:])]
        results = await asyncio.gather(*adding, return_exceptions=True)
        assert [type(result) for result in results].count(int) == 5
        assert isinstance(results[2], StoreError)
        for each in good:
            assert await tape.next_answer(each.fingerprint) == each

    asyncio.run(scenario())


def test_a_recorded_cassette_is_one_plain_file_that_opens_read_only(tmp_path: Path) -> None:
    path = record(tmp_path, one := interaction())
    assert [each.name for each in tmp_path.iterdir()] == ["default.sqlite"]
    assert path.read_bytes()[18:20] == b"\x01\x01", "the header says: no write-ahead log"
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        assert replay(tmp_path, one.fingerprint) == [one]
    finally:
        tmp_path.chmod(0o755)
    assert [each.name for each in tmp_path.iterdir()] == ["default.sqlite"]


def test_a_replay_cannot_write(tmp_path: Path) -> None:
    record(tmp_path, interaction())
    store = Store(tmp_path, writable=False)
    tape = store.cassette("default")
    with pytest.raises(StoreError, match="reading only"):
        asyncio.run(tape.add(interaction()))
    with (
        closing(access.open_to_read(tmp_path / "default.sqlite")) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DELETE FROM interaction")
    store.close()


def test_chunks_are_rows_for_plain_sql(tmp_path: Path) -> None:
    path = record(tmp_path, interaction(b"abc"), interaction(b"de", user="2"))
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT number, offset_us, bytes FROM chunk ORDER BY interaction_id, number"
        ).fetchall()
    assert rows == [(0, 10, b"a"), (1, 20, b"b"), (2, 30, b"c"), (0, 10, b"d"), (1, 20, b"e")]


def test_an_answer_is_found_by_index_and_never_by_scan(tmp_path: Path) -> None:
    path = record(tmp_path, interaction())
    with closing(sqlite3.connect(path)) as connection:
        for sql in (statements.ANSWERS, statements.COUNT_ANSWERS, statements.READ_INTERACTION):
            parameters = {"fingerprint": "f", "limit": 1, "n": 0, "id": 1}
            plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
            assert plan
            assert not [step for step in plan if step[3].startswith("SCAN")], plan


def test_replay_does_not_load_what_only_making_a_cassette_needs(tmp_path: Path) -> None:
    record(tmp_path, interaction())
    code = "import sys, replay_proxy.main, replay_proxy.cli.commands; print(*sys.modules)"
    environment = {"PATH": os.environ["PATH"], "MODE": "replay", "STORE": str(tmp_path)}
    loaded = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert not {"sqlmodel", "sqlalchemy", "jsonpath"} & set(loaded.split())


# --- what is refused ------------------------------------------------------------------------


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def overwrite_the_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(3000))


def other_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE interaction (id INTEGER)")


def newer_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


DAMAGE: dict[Callable[[Path], object], str] = {
    truncate: "is damaged",
    overwrite_the_middle: "is damaged",
    other_database: "not a cassette of replay-proxy",
    newer_schema: "schema version 99",
    lambda path: path.write_bytes(b""): "it is empty",
    lambda path: path.write_text("{}" * 1000): "is damaged: file is not a database",
    lambda path: path.write_bytes(path.read_bytes()[:60]): "is damaged",
}


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize(
    ("damage", "words"), DAMAGE.items(), ids=lambda value: getattr(value, "__name__", None)
)
def test_a_damaged_cassette_is_an_error_that_names_it(
    damage: Callable[[Path], object], words: str, writable: bool, tmp_path: Path
) -> None:
    path = record(tmp_path, *(interaction(os.urandom(500), user=str(n)) for n in range(40)))
    damage(path)
    store = Store(tmp_path, writable=writable)
    with pytest.raises(CassetteDamaged, match=words) as caught:
        store.cassette("default")
    assert str(path) in str(caught.value)
    store.close()


def test_a_flipped_byte_in_an_answer_is_an_error_and_not_an_answer(tmp_path: Path) -> None:
    path = record(tmp_path, one := interaction(b"The capital of France is Paris."))
    path.write_bytes(path.read_bytes().replace(b"is Paris", b"is Qaris"))
    with pytest.raises(CassetteDamaged, match="checksum"):
        replay(tmp_path, one.fingerprint)


def test_a_large_damaged_cassette_is_noticed_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "CHECKED_WHOLE_BYTES", 0)
    everything = [interaction(os.urandom(3000), user=str(n)) for n in range(40)]
    path = record(tmp_path, *everything)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4)
        file.write(os.urandom(size // 2))
    wrong = 0
    for each in everything:
        try:
            assert replay(tmp_path, each.fingerprint) == [each]
        except CassetteDamaged:
            wrong += 1
    assert wrong > 10


def test_a_full_disk_is_an_error_of_this_answer_and_not_of_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path, writable=True)

    async def scenario() -> None:
        tape = store.cassette("default")
        await tape.add(interaction(b"fits"))
        with closing(sqlite3.connect(tmp_path / "default.sqlite")) as connection:
            connection.execute(
                "CREATE TRIGGER full BEFORE INSERT ON interaction BEGIN "
                "SELECT RAISE(ABORT, 'database or disk is full'); END"
            )
        with pytest.raises(StoreError, match="disk is full"):
            await tape.add(interaction(b"does not"))
        with closing(sqlite3.connect(tmp_path / "default.sqlite")) as connection:
            connection.execute("DROP TRIGGER full")
        await tape.add(late := interaction(b"fits again", user="late"))
        assert await tape.next_answer(late.fingerprint) == late

    asyncio.run(scenario())
    store.close()


def test_a_missing_store_or_cassette_is_named_with_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, interaction())
    store = Store(tmp_path, writable=False)
    store.require(None)
    store.require("default")
    with pytest.raises(CassetteMissing, match=r"CASSETTE=other .* which has default"):
        store.require("other")
    with pytest.raises(CassetteMissing, match="is not a directory"):
        Store(tmp_path / "nowhere", writable=False).require(None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CassetteMissing, match=f"STORE=nowhere is not a directory in {tmp_path}"):
        Store(Path("nowhere"), writable=False).require(None)


def test_a_store_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        Store(tmp_path / "file" / "store", writable=True).prepare()


def test_a_cassette_that_does_not_exist_is_not_an_empty_one(tmp_path: Path) -> None:
    store = Store(tmp_path, writable=False)
    tape = store.cassette("none")
    assert asyncio.run(tape.next_answer("v1:0")) is None
    assert asyncio.run(tape.counts()) is None
    assert list(tmp_path.iterdir()) == []
    store.close()


def test_processes_that_create_one_cassette_at_once_make_one(tmp_path: Path) -> None:
    path = tmp_path / "default.sqlite"
    threads = [threading.Thread(target=creation.create, args=(path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.name for each in tmp_path.iterdir()] == ["default.sqlite"]
    access.open_to_read(path).close()


def test_shared_positions_count_together_and_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "positions.sqlite"
    one = SharedPositions(path)
    assert not path.exists(), "most servers never need it"
    assert [one.advance("c", "f"), one.advance("c", "f"), one.advance("c", "g")] == [0, 1, 0]
    one.close()
    assert list(tmp_path.iterdir()) == []


# --- several processes on one cassette --------------------------------------------------------

_RECORDER = """
import asyncio, sys
from pathlib import Path
from tests.store.test_store import interaction
from replay_proxy.store import Store
from tests.support.requests import post
store = Store(Path(sys.argv[1]), writable=True)
tape = store.cassette("default")
for line in sys.stdin:
    if line.startswith("add"):
        asyncio.run(tape.add(interaction(line.encode(), user=line.strip())))
    print("done", flush=True)
store.close()
print("closed", flush=True)
"""


class Recorder:
    """Another process that records into the same cassette."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _RECORDER, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.say("start")

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "done\n"

    def end(self, *, kill: bool = False) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if kill:
            self.process.kill()
        else:
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        if kill:
            self.process.stdin.close()


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_recorder_that_ends_takes_nothing_from_another_one(kill: bool, tmp_path: Path) -> None:
    record(tmp_path, interaction(user="old"))
    first = Recorder(tmp_path)
    first.say("add first")
    second = Recorder(tmp_path)  # Opens it to read while there is a journal, then to write.
    second.say("add second 0")
    first.end()
    for number in range(1, 6):
        second.say(f"add second {number}")
    third = Recorder(tmp_path)  # Finds a journal that is in use, and leaves it alone.
    third.end()
    second.say("add second 6")
    second.end(kill=kill)
    for name in ("first", *(f"second {number}" for number in range(7))):
        key = interaction(user=f"add {name}").fingerprint
        assert replay(tmp_path, key) != [None], name


def test_a_take_that_could_not_begin_is_begun_by_the_next_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, interaction(b"old"))
    store = Store(tmp_path, writable=True)

    async def scenario() -> Interaction:
        tape = store.cassette("default")
        with monkeypatch.context() as patch:
            patch.setattr(statements, "INSERT_TAKE", "INSERT INTO take VALUES (:id, NULL, 0)")
            with pytest.raises(StoreError, match="NOT NULL"):
                await tape.add(interaction(b"lost"))
        await tape.add(new := interaction(b"new"))
        return new

    new = asyncio.run(scenario())
    store.close()
    assert replay(tmp_path, new.fingerprint) == [new], "the newest take answers"
