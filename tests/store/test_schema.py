"""A cassette is data: what else is in its schema is refused by name, at every door."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from replay_proxy.cli.commands import app
from replay_proxy.errors import CassetteDamaged, ReplayProxyError
from replay_proxy.store import Store
from replay_proxy.store.archive import Archive
from replay_proxy.store.files.access import open_to_read, open_to_write
from replay_proxy.store.sqlite import schema
from replay_proxy.store.sqlite.tables import SCHEMA
from replay_proxy.store.transaction import transaction
from tests.support.servers import clean_environment
from tests.support.tape import make, recorded, stored


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def rewrite(path: Path, name: str, change: Callable[[str], str]) -> None:
    """Change the SQL of an object where SQLite keeps it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        query = "SELECT sql FROM sqlite_master WHERE name = ?"
        (sql,) = connection.execute(query, (name,)).fetchone()
        changed = change(sql)
        assert changed != sql
        query = "UPDATE sqlite_master SET sql = ? WHERE name = ?"
        connection.execute(query, (changed, name))


def endless(path: Path) -> None:
    names = "id, take_id, fingerprint, arrived_us, method, path, query, model, streams, status"
    run(
        path,
        "DROP VIEW chunk",
        "DROP TABLE interaction",
        f"CREATE VIEW interaction AS WITH RECURSIVE e({names}) AS (VALUES (1, 1, '', 1, '', '', "  # noqa: S608 - names of ours
        "'', '', 1, 200) UNION ALL SELECT e.id + 1, 1, '', 1, '', '', '', '', 1, 200 FROM e) "
        "SELECT * FROM e WHERE id < 0",
    )


def of(*statements: str) -> Callable[[Path], None]:
    return lambda path: run(path, *statements)


def changed(name: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda path: rewrite(path, name, lambda sql: sql.replace(old, new))


ATTACKS: dict[str, tuple[Callable[[Path], None], str]] = {
    "drops what is recorded": (
        of("CREATE TRIGGER drops AFTER INSERT ON interaction BEGIN DELETE FROM interaction; END"),
        "trigger 'drops'",
    ),
    "rewrites what is recorded": (
        of("CREATE TRIGGER edits AFTER INSERT ON take BEGIN UPDATE take SET started_us = 1; END"),
        "trigger 'edits'",
    ),
    "a view": (of("CREATE VIEW more AS SELECT 1"), "view 'more'"),
    "another view": (changed("chunk", "coalesce", "abs"), "view 'chunk'"),
    "a virtual table": (of("CREATE VIRTUAL TABLE spare USING fts5(a)"), "'spare"),
    "another nearness": (
        of("DROP TABLE nearness", "CREATE VIRTUAL TABLE nearness USING fts5(features)"),
        "'nearness",
    ),
    "a table": (of("CREATE TABLE more (a)"), "table 'more'"),
    "an index": (of("CREATE INDEX more ON interaction (status)"), "index 'more'"),
    "an index with an expression": (
        of("CREATE INDEX more ON interaction (hex(zeroblob(status)))"),
        "index 'more'",
    ),
    "an index in place of ours": (
        of(
            "DROP INDEX interaction_by_fingerprint",
            "CREATE INDEX interaction_by_fingerprint ON interaction (fingerprint)",
        ),
        "index 'interaction_by_fingerprint'",
    ),
    "a column": (of("ALTER TABLE interaction ADD COLUMN more TEXT"), "table 'interaction'"),
    "a generated column": (
        of("ALTER TABLE interaction ADD COLUMN more AS (abs(-9223372036854775808))"),
        "table 'interaction'",
    ),
    "a column with a default": (
        of("ALTER TABLE take ADD COLUMN more DEFAULT 5"),
        "table 'take'",
    ),
    "a check": (
        changed("interaction", "status INTEGER NOT NULL", "status INTEGER CHECK (status)"),
        "table 'interaction'",
    ),
    "a default": (
        changed("interaction", "model TEXT", "model TEXT DEFAULT (hex(randomblob(99)))"),
        "table 'interaction'",
    ),
    "another type": (changed("interaction", "body BLOB", "body TEXT"), "table 'interaction'"),
    "another collation": (
        changed("interaction", "fingerprint TEXT", "fingerprint TEXT COLLATE NOCASE"),
        "table 'interaction'",
    ),
    "another conflict": (changed("take", "UNIQUE (run)", "UNIQUE (run) ON CONFLICT FAIL"), "take"),
    "a shadow table": (
        changed("nearness_config", "k PRIMARY", "k TEXT PRIMARY"),
        "nearness_config",
    ),
    "no view": (of("DROP VIEW chunk"), "no view 'chunk'"),
    "no nearness": (of("DROP TABLE nearness"), "no table 'nearness'"),
    "no index": (of("DROP INDEX interaction_by_fingerprint"), "interaction_by_fingerprint"),
    "a negative version": (of("PRAGMA user_version = -1"), "schema version is -1"),
    "no version": (of("PRAGMA user_version = 0"), "schema version is 0"),
    "text for no SQL": (changed("chunk", "CREATE VIEW", "CREATE  VEIW"), "malformed"),
}
every_attack = pytest.mark.parametrize(("attack", "words"), ATTACKS.values(), ids=ATTACKS)


@every_attack
def test_what_is_not_of_the_schema_is_refused_by_name_at_every_opening(
    attack: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    path = make(tmp_path / "default.sqlite", [recorded("1", b"a")])
    attack(path)
    before = path.read_bytes()
    for writable in (False, True):
        store = Store(tmp_path, writable=writable)
        with pytest.raises(CassetteDamaged, match=re.escape(words)) as caught:
            store.cassette("default")
        assert str(path) in str(caught.value)
        store.close()
    with pytest.raises(CassetteDamaged, match=re.escape(words)):
        open_to_read(path)
    with pytest.raises(CassetteDamaged, match=re.escape(words)):
        open_to_write(path)
    with pytest.raises(CassetteDamaged, match=re.escape(words)):
        Archive(path)
    with pytest.raises(CassetteDamaged, match=re.escape(words)), transaction(path):
        pass
    assert path.read_bytes() == before, "a file that is refused is left as it is"


def exported(path: Path) -> bytes:
    return CliRunner().invoke(app, ["export", str(path)]).stdout_bytes


TOOLS = (
    "ls evil",
    "show evil 1",
    "diff evil good",
    "diff good evil",
    "unused evil --report report.json",
    "fit evil",
    "prune evil",
    "merge new evil",
    "merge good evil",
    "merge evil good",
    "export evil",
    "import twin.jsonl --cassette evil",
    "git-merge good.sqlite evil.sqlite good.sqlite name",
    "git-merge evil.sqlite good.sqlite good.sqlite name",
    "refresh evil",
)


@pytest.mark.parametrize("attack", ["drops what is recorded", "no nearness"])
def test_no_tool_takes_a_cassette_that_is_more_than_data(
    attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE", ".")
    monkeypatch.setenv("UPSTREAM_BASE_URL", "http://127.0.0.1:9/v1")
    good = make(tmp_path / "good.sqlite", [recorded("1", b"a")])
    twin = exported(good)
    (tmp_path / "twin.jsonl").write_bytes(twin)
    (tmp_path / "report.json").write_text('{"cassettes": {"evil": {"used": []}}}')
    make(tmp_path / "evil.sqlite", [recorded("1", b"b")])
    evil = tmp_path / "evil.sqlite"
    ATTACKS[attack][0](evil)
    before = evil.read_bytes()
    for words in TOOLS:
        result = CliRunner().invoke(app, words.split())
        assert isinstance(result.exception, ReplayProxyError), (words, result.output)
        assert "was altered" in str(result.exception), words
        assert (evil.read_bytes(), exported(good)) == (before, twin), words
    for words in ("ls", "verify evil", "git-textconv evil.sqlite"):
        result = CliRunner().invoke(app, words.split())
        assert "was altered" in result.output, words


@pytest.mark.parametrize("module", ["replay_proxy.main", "replay_proxy.cli"])
def test_a_view_without_end_holds_up_nobody(module: str, tmp_path: Path) -> None:
    endless(make(tmp_path / "default.sqlite", [recorded("1", b"a")]))
    done = subprocess.run(
        [sys.executable, "-m", module, "export", "default"],
        env=clean_environment() | {"STORE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,  # SQLite gives way to no signal.
    )
    assert done.returncode == 2
    assert "view 'interaction'" in done.stderr


def test_the_known_schema_is_the_one_that_is_made() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        made = {
            (kind, name): schema.tokens(sql)
            for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master")
        }
    assert made == {(kind, name): schema.tokens(sql) for kind, name, sql in schema.REQUIRED}


def test_other_white_space_analysis_and_encodings_are_no_alteration(tmp_path: Path) -> None:
    one = recorded("1", b"a")
    path = make(tmp_path / "default.sqlite", [one])
    rewrite(path, "interaction", lambda sql: " ".join(sql.split()).replace('"query"', "query"))
    rewrite(path, "chunk", lambda sql: sql.replace("\n", "\r\n\t "))
    run(path, "ANALYZE")
    assert stored(tmp_path, one.request) == one
    with transaction(path) as change:
        change.add(change.join_take("more"), recorded("2", b"b"))
    assert stored(tmp_path, one.request) == one


@pytest.mark.parametrize(
    "pragmas",
    ["page_size = 512", "page_size = 65536", "encoding = 'UTF-16'", "auto_vacuum = FULL"],
)
def test_other_formats_of_sqlite_are_read_and_written(pragmas: str, tmp_path: Path) -> None:
    path = tmp_path / "default.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA {pragmas}")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.commit()
    one = recorded("서울?", "서울".encode())
    make(path, [one])
    assert stored(tmp_path, one.request) == one


def test_a_connection_is_on_its_guard(tmp_path: Path) -> None:
    path = make(tmp_path / "default.sqlite", [recorded("1", b"a")])
    other = make(tmp_path / "other.sqlite", [recorded("1", b"a")])
    with closing(open_to_read(path)) as reader, closing(open_to_write(other)) as writer:
        for name, expected in {"trusted_schema": 0, "cell_size_check": 1, "mmap_size": 0}.items():
            for connection in (reader, writer):
                assert connection.execute(f"PRAGMA {name}").fetchone() in [(expected,), None], name
        assert reader.execute("PRAGMA query_only").fetchone() == (1,)
        for connection in (reader, writer):
            assert connection.getlimit(sqlite3.SQLITE_LIMIT_ATTACHED) == 1
            with pytest.raises(sqlite3.OperationalError, match="not authorized"):
                connection.execute("SELECT load_extension('x')")
