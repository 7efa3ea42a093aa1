"""Our own tables, beside LangGraph's in the same database: labels, versions, aliases and their history."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, UniqueConstraint
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
    size_bytes: Mapped[int]
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
