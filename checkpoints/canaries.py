"""Candidates on trial in production: which one runs in a slot, who takes part in it, and how it ended."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import BadCanary
from .changing import changing, tell_followers
from .store import Store
from .tables import AliasRow, CanaryRow, VersionRow, now
from .versions import find, name_of, refuse_gone

Mode = Literal["canary", "shadow"]
Ended = Literal["promoted", "rolled_back", "stopped"]


@dataclass(frozen=True, slots=True)
class Canary:
    """A candidate on trial."""

    id: int
    slot: str
    version: str
    """Name of the candidate."""
    mode: Mode
    """``canary``: it answers; ``shadow``: it proposes without acting."""
    share: float
    """Of new threads (of all threads in a shadow), from 0 to 1."""
    bound: dict[str, Any]
    """As ``failure_bound.Bound`` writes itself: when it is taken back by itself."""
    status: str
    """``running``, ``promoted``, ``rolled_back`` or ``stopped``."""
    because: str
    ended_because: str | None
    created_at: str
    ended_at: str | None

    def takes_part(self, thread: str) -> bool:
        """Whether ``thread`` is of the share: always the same answer for the same thread."""
        drawn = sha256(f"{self.id}/{self.slot}/{thread}".encode()).digest()
        return int.from_bytes(drawn[:8]) < self.share * 2**64


def start_canary(
    store: Store, spec: str, *, share: float, bound: dict[str, Any], because: str, mode: Mode = "canary"
) -> Canary:
    """Put the version that ``spec`` names on trial in its slot.

    Raises:
        UnknownSlot, UnknownVersion
        BadModelFolder: its files are gone.
        BadCanary: the share is none, the version is live already, or another one is on trial.
    """
    if not 0 < share <= 1:
        raise BadCanary(f"a share of {share:g} is none; give a number above 0 and up to 1, such as 0.1")
    with changing(store) as session:
        version = find(session, spec)
        refuse_gone(version)
        live = session.get(AliasRow, (version.slot, "live"))
        if live is None:
            raise BadCanary(f"nothing is live in {version.slot}; promote a version first (threadmill models promote)")
        if live.version_id == version.id:
            raise BadCanary(f"{name_of(version)} is live already; nothing is left to try")
        running = _running(session, version.slot)
        if running is not None:
            there = name_of(session.get_one(VersionRow, running.version_id))
            raise BadCanary(
                f"{there} is on trial in {version.slot} since {running.created_at}; end that first "
                f"(threadmill canary stop {version.slot})"
            )
        row = CanaryRow(
            slot=version.slot,
            version_id=version.id,
            mode=mode,
            share=share,
            bound=bound,
            status="running",
            because=because,
        )
        session.add(row)
        session.flush()
        tell_followers(session, version.slot)
        return _canary(session, row)


def end_canary(store: Store, slot: str, status: Ended, *, because: str, id: int | None = None) -> Canary | None:
    """End the trial that runs in ``slot``; None if there is none, or (with ``id``) another one by now."""
    with changing(store) as session:
        row = _running(session, slot)
        if row is None or id not in (None, row.id):
            return None
        _end(row, status, because)
        tell_followers(session, slot)
        return _canary(session, row)


def end_with_move(session: Session, slot: str, live: VersionRow, because: str) -> None:
    """What a move of ``live`` makes of the trial in ``slot``: promoted if that was the candidate, else stopped."""
    row = _running(session, slot)
    if row is not None:
        _end(row, "promoted" if row.version_id == live.id else "stopped", f"{name_of(live)} became live: {because}")


def running_canary(store: Store, slot: str) -> Canary | None:
    """The trial that runs in ``slot``, if one does."""
    with Session(store.engine) as session:
        row = _running(session, slot)
        return None if row is None else _canary(session, row)


def list_canaries(store: Store, slot: str | None = None) -> list[Canary]:
    """All trials, or those of ``slot``, oldest first."""
    query = select(CanaryRow).order_by(CanaryRow.id)
    if slot is not None:
        query = query.where(CanaryRow.slot == slot)
    with Session(store.engine) as session:
        return [_canary(session, row) for row in session.scalars(query)]


def _running(session: Session, slot: str) -> CanaryRow | None:
    query = select(CanaryRow).where(CanaryRow.slot == slot, CanaryRow.status == "running").order_by(CanaryRow.id)
    return session.scalars(query).first()


def _end(row: CanaryRow, status: Ended, because: str) -> None:
    row.status, row.ended_because, row.ended_at = status, because, now()


def _canary(session: Session, row: CanaryRow) -> Canary:
    version = session.get_one(VersionRow, row.version_id)
    return Canary(
        id=row.id,
        slot=row.slot,
        version=name_of(version),
        mode="shadow" if row.mode == "shadow" else "canary",
        share=row.share,
        bound=dict(row.bound),
        status=row.status,
        because=row.because,
        ended_because=row.ended_because,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
