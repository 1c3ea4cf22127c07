"""The tape's tables, their version, and the SQL that the hot paths use, derived from them.

Declared with SQLModel on a registry of their own, so that they never meet the tables of an
application in the same process. No connection and no I/O here.
"""

from typing import Any

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text, bindparam, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import registry
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import Field, SQLModel

#: Written to ``PRAGMA user_version``; a file with a higher one is refused.
SCHEMA_VERSION = 1
#: Written to ``PRAGMA application_id`` ("rply"); a file with another one is foreign.
APPLICATION_ID = 0x72706C79

#: 64 bits everywhere, and SQLite's own row id there.
_Id = BigInteger().with_variant(Integer, "sqlite")


class _Tape(SQLModel, registry=registry()):
    """The registry that all tables of a tape share."""


class TakeRow(_Tape, table=True):
    """One recording run; all workers of one server record into the same take."""

    __tablename__ = "take"

    id: int = Field(primary_key=True, sa_type=_Id, description="Sorts takes by their beginning.")
    run: str = Field(unique=True, sa_type=Text, description="Names the run among its workers.")
    started_us: int = Field(sa_type=BigInteger, description="Microseconds since 1970.")


class InteractionRow(_Tape, table=True):
    """One recorded request and its whole answer."""

    __tablename__ = "interaction"

    id: int = Field(primary_key=True, sa_type=_Id, description="Sorts by arrival.")
    take_id: int = Field(foreign_key="take.id", sa_type=_Id)
    fingerprint: str = Field(sa_type=Text)
    arrived_us: int = Field(sa_type=BigInteger, description="Microseconds since 1970.")
    method: str = Field(sa_type=Text)
    path: str = Field(sa_type=Text)
    query: str = Field(sa_type=Text)
    model: str | None = Field(sa_type=Text, description="As the request names it.")
    streams: bool = Field(description="Whether the answer is an event stream.")
    status: int
    media_type: str | None = Field(sa_type=Text, description="Of the answer.")
    head_us: int = Field(sa_type=BigInteger, description="Request sent to answer's head.")
    total_us: int = Field(sa_type=BigInteger, description="Request sent to answer whole.")
    checksum: int = Field(sa_type=BigInteger, description="CRC-32 of the answer, and of the rest.")
    request_headers: str = Field(sa_type=Text, description="JSON: [[name, value], …].")
    response_headers: str = Field(sa_type=Text, description="JSON: [[name, value], …].")
    timeline: str = Field(sa_type=Text, description="JSON: [[offset_us, end], …], one a chunk.")
    request_body: bytes = Field(sa_type=LargeBinary)
    body: bytes = Field(sa_type=LargeBinary)


_take: Any = TakeRow.__table__  # type: ignore[attr-defined]
_interaction: Any = InteractionRow.__table__  # type: ignore[attr-defined]
_index = Index(
    "interaction_by_fingerprint",
    _interaction.c.fingerprint,
    _interaction.c.take_id,
    _interaction.c.id,
)

#: One row a chunk, as plain SQL wants it; the tape keeps the compact form (decision 0004).
_CHUNK_VIEW = """
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


#: Finds requests that are alike by the words of ``nearness.features``; the row id is the
#: interaction's. Without contents, lengths and positions: an inverted index and nothing else.
_NEARNESS = """
CREATE VIRTUAL TABLE nearness USING fts5(features, content='', columnsize=0, detail=none)
"""


def _sql(statement: Any) -> str:
    """The statement as SQLite's text, with ``:name`` parameters."""
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


#: What makes an empty database a tape.
SCHEMA: tuple[str, ...] = (
    _sql(CreateTable(_take)),
    _sql(CreateTable(_interaction)),
    _sql(CreateIndex(_index)),
    _CHUNK_VIEW,
    _NEARNESS,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

ALL_TAKES = _sql(select(_take).order_by(_take.c.id))
INSERT_TAKE = _sql(_take.insert().prefix_with("OR IGNORE"))
FIND_TAKE = _sql(select(_take.c.id).where(_take.c.run == bindparam("run")))
NEWEST_TAKE = _sql(select(func.max(_take.c.id)))
#: Runs before the interaction is put: one that replaces itself has its features already.
PUT_NEARNESS = """
INSERT INTO nearness (rowid, features) SELECT :id, :features
WHERE NOT EXISTS (SELECT 1 FROM interaction WHERE id = :id)
"""
NEAR = "SELECT rowid FROM nearness WHERE nearness MATCH :feature LIMIT :limit"
#: A table without contents has to be told what it forgets.
DELETE_NEARNESS = """
INSERT INTO nearness (nearness, rowid, features) VALUES ('delete', :id, :features)
"""
DELETE_INTERACTION = _sql(_interaction.delete().where(_interaction.c.id == bindparam("id")))
DELETE_EMPTY_TAKES = _sql(_take.delete().where(_take.c.id.not_in(select(_interaction.c.take_id))))
PUT_INTERACTION = _sql(_interaction.insert().prefix_with("OR REPLACE"))

_same = _interaction.c.fingerprint == bindparam("fingerprint")
_newest = select(func.max(_interaction.c.take_id)).where(_same).scalar_subquery()
_answers = (
    select(_interaction.c.id)
    .where(_same, _interaction.c.take_id == _newest)
    .order_by(_interaction.c.id)
)
#: Up to ``limit`` answers to a fingerprint in its newest take, from number ``n`` (from 0) on.
ANSWERS = _sql(_answers.limit(bindparam("limit")).offset(bindparam("n")))
#: What tells of a request without its answer.
REQUEST_COLUMNS = (
    "id",
    "take_id",
    "fingerprint",
    "arrived_us",
    "method",
    "path",
    "query",
    "request_headers",
    "request_body",
)
_request = select(*(_interaction.c[name] for name in REQUEST_COLUMNS))
READ_REQUEST = _sql(_request.where(_interaction.c.id == bindparam("id")))
ALL_REQUESTS = _sql(_request.order_by(_interaction.c.id))
READ_INTERACTION = _sql(select(_interaction).where(_interaction.c.id == bindparam("id")))
READ_CHECKSUM = "SELECT take_id, checksum FROM interaction WHERE id = :id"
ALL_CHECKSUMS = "SELECT id, take_id, checksum FROM interaction ORDER BY id"
COUNT_ANSWERS = _sql(select(func.count()).where(_same, _interaction.c.take_id == _newest))
_other = _interaction.alias()
#: Everything that replay can use: of each fingerprint its newest take.
CURRENT = _sql(
    select(_interaction.c.id)
    .where(
        _interaction.c.take_id
        == select(func.max(_other.c.take_id))
        .where(_other.c.fingerprint == _interaction.c.fingerprint)
        .scalar_subquery()
    )
    .order_by(_interaction.c.id)
)
ALL_INTERACTIONS = _sql(select(_interaction).order_by(_interaction.c.id))
NEWEST_STREAMS = _sql(
    select(_interaction)
    .where(_interaction.c.streams)
    .order_by(_interaction.c.id.desc())
    .limit(bindparam("limit"))
    .offset(bindparam("n"))
)
#: From the index alone: which answers there are to each fingerprint, take by take.
ALL_ANSWERS = _sql(
    select(_interaction.c.fingerprint, _interaction.c.take_id, _interaction.c.id).order_by(
        _interaction.c.fingerprint, _interaction.c.take_id, _interaction.c.id
    )
)
COUNT_INTERACTIONS = _sql(
    select(func.count(), func.count(_interaction.c.fingerprint.distinct())).select_from(
        _interaction
    )
)
