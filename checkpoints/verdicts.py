"""Verdicts of the gate: what was decided about a candidate, with all figures; rows are only ever added."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from .store import Store
from .tables import VerdictRow, now

Decision = Literal["promote", "hold", "reject"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision about a candidate."""

    decision: Decision
    reasons: tuple[str, ...]
    """Sentences with figures, the weightiest first."""
    figures: dict[str, Any]
    look: int
    """How often this candidate has been looked at against this live version, from 1."""
    slot: str
    candidate: str
    live: str
    policy: dict[str, Any]
    evaluations: tuple[str, ...] = ()
    id: int | None = None
    """None until it is recorded."""
    created_at: str = field(default_factory=now)

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "reasons": list(self.reasons), "evaluations": list(self.evaluations)}


def record_verdict(store: Store, verdict: Verdict) -> Verdict:
    """Add ``verdict`` to those of its slot; it comes back with its id."""
    row = VerdictRow(
        slot=verdict.slot,
        candidate=verdict.candidate,
        live=verdict.live,
        decision=verdict.decision,
        reasons=list(verdict.reasons),
        look=verdict.look,
        policy=verdict.policy,
        figures=verdict.figures,
        evaluations=list(verdict.evaluations),
        created_at=verdict.created_at,
    )
    with Session(store.engine) as session, session.begin():
        session.add(row)
        session.flush()
        return replace(verdict, id=row.id)


def list_verdicts(store: Store, slot: str | None = None, *, candidate: str | None = None) -> list[Verdict]:
    """Verdicts, oldest first; only those of a slot, or about a candidate."""
    query = select(VerdictRow).order_by(VerdictRow.id)
    if slot is not None:
        query = query.where(VerdictRow.slot == slot)
    if candidate is not None:
        query = query.where(VerdictRow.candidate == candidate)
    with Session(store.engine) as session:
        return [_verdict(row) for row in session.scalars(query)]


def _verdict(row: VerdictRow) -> Verdict:
    return Verdict(
        decision=row.decision,  # pyright: ignore[reportArgumentType] - written by record_verdict alone
        reasons=tuple(row.reasons),
        figures=dict(row.figures),
        look=row.look,
        slot=row.slot,
        candidate=row.candidate,
        live=row.live,
        policy=dict(row.policy),
        evaluations=tuple(row.evaluations),
        id=row.id,
        created_at=row.created_at,
    )
