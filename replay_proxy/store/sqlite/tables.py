"""A cassette's tables, and the SQL that creates them.

Declared with SQLModel on a registry of their own, so that they never meet the tables of an
application in the same process. No connection and no I/O here: reading and writing is the SQL in
``statements``, which needs no SQLModel and so starts sooner.
"""

from typing import Any

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import registry
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import Field, SQLModel

from replay_proxy.store.sqlite.schema import CHUNK_VIEW, NEARNESS
from replay_proxy.store.sqlite.statements import APPLICATION_ID, SCHEMA_VERSION

#: A 64-bit integer; in SQLite, the row id.
_Id = BigInteger().with_variant(Integer, "sqlite")


class _Table(SQLModel, registry=registry()):
    """The registry that all tables of a cassette share."""


class TakeRow(_Table, table=True):
    """One recording run; all workers of one server record into the same take."""

    __tablename__ = "take"

    id: int = Field(primary_key=True, sa_type=_Id, description="Sorts takes by their beginning.")
    run: str = Field(unique=True, sa_type=Text, description="Names the run among its workers.")
    started_us: int = Field(sa_type=BigInteger, description="Microseconds since 1970.")


class InteractionRow(_Table, table=True):
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
    timeline: str = Field(sa_type=Text, description="JSON: [[offset_us, end], …], one per chunk.")
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


def _sql(statement: Any) -> str:
    """The statement as SQLite's text."""
    return str(statement.compile(dialect=sqlite.dialect()))


#: What makes an empty database a cassette.
SCHEMA: tuple[str, ...] = (
    _sql(CreateTable(_take)),
    _sql(CreateTable(_interaction)),
    _sql(CreateIndex(_index)),
    CHUNK_VIEW,
    NEARNESS,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
