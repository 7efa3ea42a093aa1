"""The guard of a slot: the bound that the live version's failures must not cross, or the slot goes back by itself."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from .changing import changing
from .store import Store
from .tables import GuardRow
from .versions import find


@dataclass(frozen=True, slots=True)
class Guard:
    """The bound of a slot."""

    slot: str
    bound: dict[str, Any]
    """As ``failure_bound.Bound`` writes itself."""
    because: str
    created_at: str


def set_guard(store: Store, slot: str, bound: dict[str, Any], *, because: str) -> Guard:
    """Guard ``slot`` from now on, in place of what guarded it before.

    Raises:
        UnknownSlot, UnknownVersion: nothing is live there.
    """
    with changing(store) as session:
        find(session, f"{slot}@live")
        row = session.merge(GuardRow(slot=slot, bound=bound, because=because))
        session.flush()
        return Guard(row.slot, dict(row.bound), row.because, row.created_at)


def drop_guard(store: Store, slot: str) -> bool:
    """Guard ``slot`` no longer; whether it was guarded."""
    with changing(store) as session:
        return bool(session.execute(delete(GuardRow).where(GuardRow.slot == slot)).rowcount)  # type: ignore[attr-defined]


def guard_of(store: Store, slot: str) -> Guard | None:
    """The guard of ``slot``, if it has one."""
    with Session(store.engine) as session:
        row = session.scalars(select(GuardRow).where(GuardRow.slot == slot)).first()
        return None if row is None else Guard(row.slot, dict(row.bound), row.because, row.created_at)
