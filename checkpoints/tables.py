"""Our own tables, beside LangGraph's in the same database; ``migrations/`` creates them and must say the same."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def now() -> str:
    """The present time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Base(DeclarativeBase):
    """All of our tables."""


class LabelRow(Base):
    """One label."""

    __tablename__ = "labels"
    id: Mapped[int] = mapped_column(primary_key=True)
    thread: Mapped[str] = mapped_column(index=True)
    checkpoint: Mapped[str | None]
    message: Mapped[str | None]
    kind: Mapped[str]
    value: Mapped[Any] = mapped_column(JSON)
    source: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=now)


class VersionRow(Base):
    """One version: weights that never change."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("slot", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(index=True)
    number: Mapped[int]
    folder: Mapped[str]
    digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    base: Mapped[str | None]
    lineage: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[str] = mapped_column(default=now)


class AliasRow(Base):
    """A movable name for a version of a slot."""

    __tablename__ = "aliases"
    slot: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))


class MoveRow(Base):
    """One move of the alias ``live``; rows are only ever added."""

    __tablename__ = "alias_history"
    id: Mapped[int] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(index=True)
    action: Mapped[str]
    """``promote`` or ``rollback``."""
    from_number: Mapped[int | None]
    to_number: Mapped[int]
    because: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=now)


class DataSetRow(Base):
    """A data set that was exported from this database."""

    __tablename__ = "data_sets"
    __table_args__ = (UniqueConstraint("digest", "folder"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str]
    kind: Mapped[str]
    folder: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=now)


class DataSetThreadRow(Base):
    """A thread that a data set holds rows of."""

    __tablename__ = "data_set_threads"
    data_set_id: Mapped[int] = mapped_column(ForeignKey("data_sets.id"), primary_key=True)
    thread: Mapped[str] = mapped_column(primary_key=True, index=True)


class LeaseRow(Base):
    """Who drives a thread in SQLite; PostgreSQL has locks of its own for that."""

    __tablename__ = "leases"
    thread: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str]
    holder: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    started: Mapped[str]
    """When the holder's process began, so that a recycled pid is not taken for it."""
    acquired_at: Mapped[float] = mapped_column(Float)
    """Seconds since the epoch, by the holder's clock; ``beats_at`` too."""
    beats_at: Mapped[float] = mapped_column(Float)
