"""The known schema of a cassette, and the check that a file has it and nothing else.

A cassette often comes from somebody else's repository. A trigger in it would change what is
recorded, a view in place of a table can run forever, and an expression in a column runs at every
write. So the list of objects is read first, from ``sqlite_master``, which evaluates none of them.

The tables are declared in ``tables`` and repeated here as text, since every process that opens a
cassette checks it, and loading SQLModel would take a quarter of its start (decision 0010).
"""

import re
import sqlite3
import sys
from pathlib import Path

from replay_proxy.errors import CassetteDamaged

#: The tables as SQLite stores them. A test creates those of ``tables`` and compares them.
_TAKE = (
    "CREATE TABLE take (id INTEGER NOT NULL, run TEXT NOT NULL, started_us BIGINT NOT NULL, "
    "PRIMARY KEY (id), UNIQUE (run))"
)
_INTERACTION = (
    "CREATE TABLE interaction (id INTEGER NOT NULL, take_id INTEGER NOT NULL, "
    "fingerprint TEXT NOT NULL, arrived_us BIGINT NOT NULL, method TEXT NOT NULL, "
    "path TEXT NOT NULL, query TEXT NOT NULL, model TEXT, streams BOOLEAN NOT NULL, "
    "status INTEGER NOT NULL, media_type TEXT, head_us BIGINT NOT NULL, "
    "total_us BIGINT NOT NULL, checksum BIGINT NOT NULL, request_headers TEXT NOT NULL, "
    "response_headers TEXT NOT NULL, timeline TEXT NOT NULL, request_body BLOB NOT NULL, "
    "body BLOB NOT NULL, PRIMARY KEY (id), FOREIGN KEY(take_id) REFERENCES take (id))"
)
_INDEX = "CREATE INDEX interaction_by_fingerprint ON interaction (fingerprint, take_id, id)"
#: One row per chunk, for plain SQL; the tape uses the compact form (decision 0004).
CHUNK_VIEW = """
CREATE VIEW chunk AS
SELECT i.id AS interaction_id,
       c.key AS number,
       json_extract(c.value, '$[0]') AS offset_us,
       substr(i.body,
              1 + coalesce(lag(json_extract(c.value, '$[1]')) OVER one, 0),
              json_extract(c.value, '$[1]')
              - coalesce(lag(json_extract(c.value, '$[1]')) OVER one, 0)) AS bytes
FROM interaction AS i, json_each(i.timeline) AS c
WINDOW one AS (PARTITION BY i.id ORDER BY c.key)
"""
#: Finds similar requests by the words of ``nearness.features``; the row id is the interaction's.
#: Without contents, lengths and positions: an inverted index and nothing else.
NEARNESS = (
    "CREATE VIRTUAL TABLE nearness USING fts5(features, content='', columnsize=0, detail=none)"
)

#: Type, name and SQL of every object in a cassette. The index of a UNIQUE column has no SQL.
REQUIRED: tuple[tuple[str, str, str | None], ...] = (
    ("table", "take", _TAKE),
    ("index", "sqlite_autoindex_take_1", None),
    ("table", "interaction", _INTERACTION),
    ("index", "interaction_by_fingerprint", _INDEX),
    ("view", "chunk", CHUNK_VIEW),
    ("table", "nearness", NEARNESS),
    ("table", "nearness_data", "CREATE TABLE nearness_data(id INTEGER PRIMARY KEY, block BLOB)"),
    (
        "table",
        "nearness_idx",
        "CREATE TABLE nearness_idx(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID",
    ),
    ("table", "nearness_config", "CREATE TABLE nearness_config(k PRIMARY KEY, v) WITHOUT ROWID"),
)
#: Objects that a cassette may have. ``ANALYZE`` makes them, and they only advise SQLite.
OPTIONAL: tuple[tuple[str, str, str | None], ...] = (
    ("table", "sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl, idx, stat)"),
    ("table", "sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl, idx, neq, nlt, ndlt, sample)"),
)

_OBJECTS = "SELECT type, name, sql FROM sqlite_master LIMIT :limit"
#: A text, a name or number, or any other character. White space is skipped.
_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|\w+|\S")


def tokens(sql: str | None) -> tuple[str, ...] | None:
    """A statement without white space, and names without quotes.

    SQLite, SQLAlchemy and FTS5 have written both in several ways.
    """
    if not isinstance(sql, str):
        return None
    found = _TOKEN.findall(sql)
    return tuple(
        token[1:-1] if token[0] in "'\"" and token[1:-1].isidentifier() else token
        for token in found
    )


_KNOWN = {(kind, name): tokens(sql) for kind, name, sql in (*REQUIRED, *OPTIONAL)}


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file with an object that is unknown, altered or missing.

    Reads the list of objects and uses none of them. Raises ``CassetteDamaged`` with the object's
    name, and what SQLite raises for a file that it cannot read.
    """
    missing = {(kind, name) for kind, name, _ in REQUIRED}
    seen: set[tuple[str, str]] = set()
    for kind, name, sql in connection.execute(_OBJECTS, {"limit": len(_KNOWN) + 1}):
        entry = kind, name
        if entry not in _KNOWN or entry in seen:
            raise _refused(path, f"it has a {kind} {name!r}, which no cassette has")
        if _KNOWN[entry] != tokens(sql):
            raise _refused(path, f"its {kind} {name!r} is not as replay-proxy makes it")
        seen.add(entry)
        missing.discard(entry)
    for kind, name in sorted(missing):
        raise _refused(path, f"it has no {kind} {name!r}")


def _refused(path: Path, cause: str) -> CassetteDamaged:
    return CassetteDamaged(
        f"is damaged or was altered: {cause}",
        thing=f"Cassette {path}",
        remedy="Restore it (git checkout), or delete it and record it again. If somebody else made "
        "it, ask why before you trust it.",
    )


def defend(connection: sqlite3.Connection, *, reads_only: bool) -> None:
    """Let nothing in the file run: SQLite's own advice for files from others.

    Source: https://www.sqlite.org/security.html.
    """
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")
    if reads_only:
        connection.execute("PRAGMA query_only = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)  # VACUUM attaches one.
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
