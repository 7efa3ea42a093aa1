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


class SlotRow(Base):
    """A slot that has versions."""

    __tablename__ = "slots"
    slot: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[str] = mapped_column(default=now)


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
    kind: Mapped[str] = mapped_column(default="full", server_default="full")
    """``full`` or ``adapter``."""
    base_folder: Mapped[str | None]
    """Where an adapter's base lies: a folder or a hub name."""
    files: Mapped[dict[str, dict[str, str]] | None] = mapped_column(JSON)
    """Folder to file to SHA-256: its own folder and those of an adapter's bases; None if registered before there were
    such digests."""
    gone_at: Mapped[str | None]
    """When its files were removed by a clean-up; None while they are kept."""
    lineage: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[str] = mapped_column(default=now)


class AliasRow(Base):
    """A movable name for a version of a slot."""

    __tablename__ = "aliases"
    slot: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))


class MoveRow(Base):
    """One move of an alias; rows are only ever added."""

    __tablename__ = "alias_history"
    id: Mapped[int] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(index=True)
    alias: Mapped[str] = mapped_column(default="live", server_default="live")
    action: Mapped[str]
    """``promote``, ``rollback`` or ``point``."""
    from_number: Mapped[int | None]
    to_number: Mapped[int]
    because: Mapped[str]
    by: Mapped[str | None] = mapped_column("moved_by")
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


class DataSetSourceRow(Base):
    """What one row of a data set was made of; a pair was made of two branches."""

    __tablename__ = "data_set_rows"
    data_set_id: Mapped[int] = mapped_column(ForeignKey("data_sets.id"), primary_key=True)
    split: Mapped[str] = mapped_column(primary_key=True)
    row: Mapped[int] = mapped_column(primary_key=True)
    """From 0, in the order of the split's file."""
    number: Mapped[int] = mapped_column(primary_key=True)
    """Of the branch among those of the row, from 0."""
    thread: Mapped[str] = mapped_column(index=True)
    checkpoint: Mapped[str]
    digest: Mapped[str]
    """Of the row's content as it was made, sixteen hexadecimal digits."""


class RunRow(Base):
    """One training run that a version came out of; a version of several stages has several."""

    __tablename__ = "runs"
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    """From 0, oldest first."""
    recipe: Mapped[str]
    data_digest: Mapped[str | None] = mapped_column(index=True)
    seed: Mapped[int | None]
    steps: Mapped[int | None]
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    libraries: Mapped[dict[str, str]] = mapped_column(JSON)


class EvaluationRow(Base):
    """One model on one list of tasks."""

    __tablename__ = "evaluations"
    id: Mapped[str] = mapped_column(primary_key=True)
    suite: Mapped[str] = mapped_column(index=True)
    versions: Mapped[dict[str, str]] = mapped_column(JSON)
    """Slot to the version that was evaluated."""
    k: Mapped[int]
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Tasks per tier, seed, split, temperature: equal settings of a registered version are the same evaluation."""
    status: Mapped[str]
    """``running`` or ``done``."""
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[str] = mapped_column(default=now)
    finished_at: Mapped[str | None]


class TrialRow(Base):
    """One trial of one task in an evaluation."""

    __tablename__ = "evaluation_trials"
    evaluation: Mapped[str] = mapped_column(ForeignKey("evaluations.id"), primary_key=True)
    task: Mapped[str] = mapped_column(primary_key=True)
    trial: Mapped[int] = mapped_column(primary_key=True)
    tier: Mapped[str]
    thread: Mapped[str] = mapped_column(index=True)
    success: Mapped[bool]
    reward: Mapped[float] = mapped_column(Float)
    measured: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What the metrics counted."""


class VerdictRow(Base):
    """The gate's decision about a candidate."""

    __tablename__ = "verdicts"
    id: Mapped[int] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(index=True)
    candidate: Mapped[str]
    live: Mapped[str]
    decision: Mapped[str]
    """``promote``, ``hold`` or ``reject``."""
    reasons: Mapped[list[str]] = mapped_column(JSON)
    look: Mapped[int]
    """How often this candidate has been looked at against this live version, from 1."""
    policy: Mapped[dict[str, Any]] = mapped_column(JSON)
    figures: Mapped[dict[str, Any]] = mapped_column(JSON)
    evaluations: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[str] = mapped_column(default=now)


class PinRow(Base):
    """A thread that stays on a version, wherever the alias goes."""

    __tablename__ = "pins"
    thread: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))
    because: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=now)


class CanaryRow(Base):
    """A candidate on trial in production; at most one runs in a slot."""

    __tablename__ = "canaries"
    id: Mapped[int] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(index=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))
    mode: Mapped[str]
    """``canary``: it answers; ``shadow``: it proposes without acting."""
    share: Mapped[float] = mapped_column(Float)
    """Of new threads, from 0 to 1."""
    bound: Mapped[dict[str, Any]] = mapped_column(JSON)
    """When it is taken back by itself."""
    status: Mapped[str]
    """``running``, ``promoted``, ``rolled_back`` or ``stopped``."""
    because: Mapped[str]
    ended_because: Mapped[str | None]
    created_at: Mapped[str] = mapped_column(default=now)
    ended_at: Mapped[str | None]


class GuardRow(Base):
    """When a slot goes back by itself to the version before."""

    __tablename__ = "guards"
    slot: Mapped[str] = mapped_column(primary_key=True)
    bound: Mapped[dict[str, Any]] = mapped_column(JSON)
    because: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=now)


class OutcomeRow(Base):
    """How one run of a served thread ended: what the live failure rate counts."""

    __tablename__ = "run_outcomes"
    id: Mapped[int] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(index=True)
    version: Mapped[str] = mapped_column(index=True)
    thread: Mapped[str] = mapped_column(index=True)
    failed: Mapped[bool]
    why: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=now)


class ProposalRow(Base):
    """What a shadow would have said in place of the live version."""

    __tablename__ = "shadow_proposals"
    id: Mapped[int] = mapped_column(primary_key=True)
    canary_id: Mapped[int] = mapped_column(ForeignKey("canaries.id"), index=True)
    thread: Mapped[str] = mapped_column(index=True)
    message: Mapped[str | None]
    """Id of the live version's message."""
    live: Mapped[dict[str, Any]] = mapped_column(JSON)
    proposed: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    agrees: Mapped[bool]
    error: Mapped[str | None]
    created_at: Mapped[str] = mapped_column(default=now)


class WorkerRow(Base):
    """A process that serves a slot, and what it serves at this moment."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(primary_key=True)
    """Of the process and the slot in it."""
    slot: Mapped[str] = mapped_column(index=True)
    alias: Mapped[str]
    """What it follows, such as ``helpdesk.think@live``."""
    host: Mapped[str]
    """``user@host``, for people."""
    machine: Mapped[str]
    """Within which ``pid`` means this process."""
    pid: Mapped[int]
    started: Mapped[str]
    """When the process began, so that a recycled pid is not taken for it."""
    answering: Mapped[str | None]
    live: Mapped[str | None]
    """What it last saw the alias name."""
    loaded: Mapped[list[str]] = mapped_column(JSON)
    trouble: Mapped[str]
    started_at: Mapped[float] = mapped_column(Float)
    """Seconds since the epoch, by the worker's clock; ``seen_at`` too."""
    seen_at: Mapped[float] = mapped_column(Float)


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
