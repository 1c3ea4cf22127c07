"""The tape's tables, and the SQL that makes them.

Declared with SQLModel on a registry of their own, so that they never meet the tables of an
application in the same process. No connection and no I/O here; reading and writing is SQL of
``statements``, which does without SQLModel and so starts sooner.
"""

from typing import Any

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import registry
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import Field, SQLModel

from replay_proxy.store.sqlite.statements import APPLICATION_ID, SCHEMA_VERSION

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
    """The statement as SQLite's text."""
    return str(statement.compile(dialect=sqlite.dialect()))


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
