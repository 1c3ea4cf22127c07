"""A journal belongs to one file; a file that goes away while it is used is noticed.

The proxies are real processes, and the files are changed as people and git change them.
"""

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from replay_proxy.cli.tape_tools.verify import findings_of
from replay_proxy.settings import cassette_name
from replay_proxy.store.archive import Archive
from replay_proxy.store.files.access import close_to_write, open_to_write
from replay_proxy.store.files.journals import wal
from replay_proxy.store.files.plain_files import settle
from replay_proxy.store.reading import readers
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawClient
from tests.support.tape import make, recorded
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a cassette of one old recording."""
    directory = tmp_path / "cassettes"
    directory.mkdir()
    make(directory / "default.sqlite", [recorded("old", b"old")])
    return directory


class Proxy:
    """A proxy that records into a store, one of its clients, and what that has seen whole."""

    def __init__(self, nursery: Nursery, upstream: Upstream, store: Path, **settings: str) -> None:
        settings = {"MODE": "record", "UPSTREAM_BASE_URL": upstream.base_url} | settings
        self.child: Child = nursery.start(STORE=str(store), **settings)
        self.seen: list[bytes] = []

    def ask(self, word: str) -> int:
        body = b'{"user":"%s"}' % word.encode()
        with RawClient(self.child.base_url) as client:
            answer = client.request("POST", "/v1/chat/completions", body=body)
        if answer.status == 200:
            assert answer.body == body
            self.seen.append(body)
        return answer.status

    def get(self, path: str) -> tuple[int, dict]:  # type: ignore[type-arg]
        with RawClient(self.child.base_url) as client:
            answer = client.request("GET", path)
        return answer.status, json.loads(answer.body)

    def kill(self) -> None:
        self.child.kill()
        self.wait()

    def stop(self) -> None:
        os.kill(self.child.pid, signal.SIGTERM)
        self.wait()

    def wait(self) -> None:
        wait_until(lambda: not os.path.exists(f"/proc/{self.child.pid}"))
        wait_until(lambda: not _is_alive(self.child.pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def bodies(path: Path) -> list[bytes]:
    """What a cassette holds, which has to be whole."""
    with Archive(path) as archive:
        assert not list(archive.integrity_errors())
        return [each.body for _, each in archive.interactions()]


def kept(store: Path) -> list[Path]:
    return sorted(store.glob("default-kept-*.sqlite"))


def kept_bodies(store: Path) -> list[bytes]:
    return [body for path in kept(store) for body in bodies(path)]


def at_rest(store: Path) -> None:
    """All in the store is a plain file: no journal, no link, nothing that is hidden."""
    left = {each.name for each in store.iterdir() if each.suffix != ".sqlite"}
    assert left <= {"default.sqlite-recording"}, left


def answered(proxy: Proxy, question: str) -> tuple[int, bytes]:
    """What a replay answers to the question of ``recorded``."""
    request = recorded(question, b"").request
    with RawClient(proxy.child.base_url) as client:
        answer = client.request("POST", "/v1/chat/completions", body=request.body)
    return answer.status, answer.body


# --- what happens to the file -----------------------------------------------------------------


def check_out(path: Path) -> None:
    """As git does: another file under the same name."""
    other = path.with_name(".other")
    make(other, [recorded("other", b"other")])
    path.unlink(missing_ok=True)
    other.rename(path)


def delete(path: Path) -> None:
    path.unlink()


def rename(path: Path) -> None:
    path.rename(path.with_name("renamed.sqlite"))


def write_over(path: Path) -> None:
    """As cp and Path.write_bytes do: the same inode, other bytes."""
    other = path.with_name(".other")
    make(other, [recorded("other", b"other")])
    path.write_bytes(other.read_bytes())
    other.unlink()


def remove_the_store(path: Path) -> None:
    shutil.rmtree(path.parent)


Event = Callable[[Path], None]
EVENTS: list[Event] = [check_out, delete, rename, write_over]
each_event = pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)


def expected(event: Event) -> list[bytes]:
    """What the file of the name holds after the event."""
    return [b"other"] if event in (check_out, write_over) else []


@each_event
@pytest.mark.parametrize("then", ["read", "record"])
def test_a_journal_left_by_a_kill_is_not_merged_into_another_file(
    event: Event,
    then: str,
    nursery: Nursery,
    upstream: Upstream,
    store: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = store / "default.sqlite"
    first = Proxy(nursery, upstream, store)
    first.ask("one")
    first.ask("two")
    first.kill()
    event(path)
    now = expected(event)
    if then == "record":
        second = Proxy(nursery, upstream, store)
        second.ask("three")
        second.stop()
        now = [*now, *second.seen]
    elif not path.exists():
        settle(path)
    if now:
        assert bodies(path) == now
    else:
        assert not path.exists()
    wanted = [b"old", *first.seen]
    found = kept_bodies(store)
    if event is write_over:  # What the file itself held is gone; what was in the journal is not.
        wanted, found = first.seen, [each for each in found if each != b"old"]
    assert found == wanted
    if then == "read":
        assert f"kept in {kept(store)[0]}" in caplog.text
    at_rest(store)


@each_event
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_file_that_goes_away_while_it_is_recorded_is_noticed(
    event: Event, end: str, nursery: Nursery, upstream: Upstream, store: Path
) -> None:
    path = store / "default.sqlite"
    proxy = Proxy(nursery, upstream, store)
    assert proxy.ask("before") == 200
    event(path)
    for number in range(5):
        assert proxy.ask(f"after {number}") == 200
    before, after = proxy.seen[0], proxy.seen[1:]
    assert bodies(path) == [*expected(event), *after]
    getattr(proxy, end)()
    settle(path)
    assert bodies(path) == [*expected(event), *after]
    assert before in kept_bodies(store)
    assert not set(after) & set(kept_bodies(store))
    at_rest(store)


@each_event
def test_a_file_that_goes_away_before_a_clean_stop_is_noticed(
    event: Event, nursery: Nursery, upstream: Upstream, store: Path
) -> None:
    path = store / "default.sqlite"
    proxy = Proxy(nursery, upstream, store)
    proxy.ask("before")
    event(path)
    proxy.stop()
    if expected(event):
        assert bodies(path) == expected(event)
    else:
        assert not path.exists()
    assert proxy.seen[0] in kept_bodies(store)
    at_rest(store)


@pytest.mark.parametrize("end", ["stop", "ask"])
def test_a_store_that_is_removed_while_it_is_recorded_is_made_again(
    end: str, nursery: Nursery, upstream: Upstream, store: Path
) -> None:
    path = store / "default.sqlite"
    proxy = Proxy(nursery, upstream, store)
    proxy.ask("before")
    remove_the_store(path)
    if end == "ask":
        assert proxy.ask("after") == 200
        assert bodies(path) == proxy.seen[1:]
    proxy.stop()
    assert kept_bodies(store) == [b"old", proxy.seen[0]]
    at_rest(store)


def clean(path: Path) -> None:
    """What ``git clean -fdX`` removes: all that git ignores."""
    for end in ("-wal", "-shm", "-link", "-mark"):
        path.with_name(path.name + end).unlink()


def lose_the_log(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


@pytest.mark.parametrize("loss", [clean, lose_the_log], ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("end", ["stop", "ask"])
def test_a_journal_that_is_deleted_is_taken_back_from_who_has_it_open(
    loss: Event, end: str, nursery: Nursery, upstream: Upstream, store: Path
) -> None:
    path = store / "default.sqlite"
    proxy = Proxy(nursery, upstream, store)
    proxy.ask("before")
    loss(path)
    if end == "ask":
        assert proxy.ask("after") == 200
    proxy.stop()
    assert bodies(path) == [b"old", *proxy.seen]
    assert kept(store) == []
    at_rest(store)


def test_a_journal_that_somebody_has_made_anew_is_not_taken_for_the_lost_one(store: Path) -> None:
    path = store / "default.sqlite"
    ours = open_to_write(path)
    assert ours.is_current()
    clean(path)
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("SELECT 1 FROM take").fetchall()
        assert wal(path).exists()
        assert not ours.is_current()
    close_to_write(ours, path)
    assert bodies(path) == [b"old"]


@each_event
@pytest.mark.parametrize("settings", [{}, {"MATCH_IGNORE": "$.user"}], ids=["exact", "rule"])
def test_a_replay_answers_from_the_file_that_has_the_name_now(
    settings: dict[str, str], event: Event, nursery: Nursery, upstream: Upstream, store: Path
) -> None:
    path = store / "default.sqlite"
    proxy = Proxy(nursery, upstream, store, MODE="replay", **settings)
    for _ in range(2):  # The second comes from memory.
        assert answered(proxy, "old") == (200, b"old")
    event(path)
    status, body = answered(proxy, "old")
    assert status == 404
    reason = json.loads(body)["error"]["code"]
    assert (reason == "no_cassette") == (not expected(event))
    assert answered(proxy, "other")[0] == (200 if expected(event) else 404)
    path.unlink(missing_ok=True)
    make(path, [recorded("old", b"new")])
    assert answered(proxy, "old") == (200, b"new")
    proxy.kill()


def test_readiness_and_the_report_tell_of_a_file_that_went_away(
    nursery: Nursery, upstream: Upstream, store: Path
) -> None:
    path = store / "default.sqlite"
    recorder = Proxy(nursery, upstream, store)
    recorder.ask("before")
    report = recorder.get("/_replay/api/report")
    assert report[1]["cassettes"]["default"]["kept"] == []
    delete(path)
    recorder.ask("after")
    report = recorder.get("/_replay/api/report")
    assert report[1]["cassettes"]["default"]["kept"] == [each.stem for each in kept(store)] != []
    assert recorder.get("/readyz")[0] == 200
    recorder.stop()
    replay = Proxy(nursery, upstream, store, MODE="replay", CASSETTE="default")
    assert replay.get("/readyz") == (200, {"status": "ready", "mode": "replay"})
    shutil.move(path, store / "elsewhere")
    status, told = replay.get("/readyz")
    assert (status, told["status"]) == (503, "not_ready")
    assert "CASSETTE=default does not exist" in told["reason"]
    path.write_bytes(b"nothing of ours" * 100)
    assert "is damaged" in replay.get("/readyz")[1]["reason"]
    path.unlink()
    shutil.move(store / "elsewhere", path)
    assert replay.get("/readyz")[0] == 200
    replay.kill()


def test_an_answer_that_cannot_be_kept_where_it_is_looked_for_is_not_seen_whole(
    nursery: Nursery, upstream: Upstream, store: Path
) -> None:
    path = store / "default.sqlite"
    proxy = Proxy(nursery, upstream, store)
    proxy.ask("before")
    delete(path)
    path.mkdir()  # Nothing can be recorded there.
    assert proxy.ask("after") == 500
    status, told = proxy.get("/readyz")
    assert status == 503
    assert str(path) in told["reason"]
    path.rmdir()
    assert proxy.ask("again") == 200
    assert bodies(path) == proxy.seen[1:]
    proxy.stop()
    assert proxy.seen[0] in kept_bodies(store)


def test_a_file_that_was_committed_while_it_was_recorded_says_so(
    nursery: Nursery, upstream: Upstream, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = Proxy(nursery, upstream, store)
    proxy.ask("one")
    copy = store / "copy.sqlite"
    shutil.copyfile(store / "default.sqlite", copy)
    proxy.stop()
    assert [each["kind"] for each in findings_of(copy)["findings"]] == ["journal"]
    assert "while it was recorded" in caplog.text
    assert bodies(copy) == [b"old"]
    assert findings_of(store / "default.sqlite")["findings"] == []
    at_rest(store)


def test_a_cassette_may_have_the_longest_name_that_there_is(
    nursery: Nursery, upstream: Upstream, store: Path
) -> None:
    name = "n" * 200
    proxy = Proxy(nursery, upstream, store, CASSETTE=name)
    proxy.ask("one")
    check_out(store / f"{name}.sqlite")
    proxy.ask("two")
    proxy.stop()
    assert bodies(store / f"{name}.sqlite") == [b"other", proxy.seen[1]]
    (rescued,) = store.glob("n*-kept-*.sqlite")
    assert bodies(rescued) == [proxy.seen[0]]
    assert cassette_name(rescued.stem)


def test_a_mark_without_a_link_goes_when_the_cassette_is_settled(tmp_path: Path) -> None:
    """A signal can come between the two."""
    path = make(tmp_path / "a.sqlite", [recorded("1", b"a")])
    (tmp_path / "a.sqlite-mark").write_text("?")
    assert settle(path) is None
    assert [each.name for each in tmp_path.iterdir()] == ["a.sqlite"]


def test_a_link_that_nobody_here_has_made_is_not_believed(store: Path) -> None:
    """It can come with somebody else's repository, and a journal with it."""
    path = store / "default.sqlite"
    make(store / "theirs.sqlite", [recorded("theirs", b"theirs")])
    (store / "theirs.sqlite").rename(store / "default.sqlite-link")
    assert settle(path) is None
    assert bodies(path) == [b"old"]
    assert kept(store) == []
    at_rest(store)


def test_another_file_of_the_same_size_and_time_is_another_file(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "LOOK_S", 0.0)
    path, other = store / "default.sqlite", make(store / "o.sqlite", [recorded("old", b"new")])
    found = path.stat()
    assert other.stat().st_size == found.st_size
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    replay = readers.Readers()
    first = replay.number(path)
    assert replay.number(path) == first
    other.replace(path)
    assert replay.number(path) != first
    replay.close()
