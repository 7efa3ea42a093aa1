"""The processes that serve a slot: each writes a row when something changed and every few seconds, others read them.

A row that has not been renewed for long is stale, and at once if its process is gone from this machine. Ages are told
by wall clocks: processes on several machines need clocks that agree to within a few seconds.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from .process import Process, is_gone, this_process
from .store import Store
from .tables import WorkerRow

BEAT_EVERY_S = 5.0
STALE_AFTER_S = 20.0
FORGET_AFTER_S = 3600.0
"""After so long a stale row is removed."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A slot in a process that serves it."""

    slot: str
    alias: str
    """What it follows, such as ``helpdesk.think@live``."""
    host: str
    """``user@host``."""
    pid: int
    answering: str | None
    """The version that its new runs get."""
    live: str | None
    """What it last saw the alias name."""
    loaded: tuple[str, ...]
    """The versions in its memory."""
    trouble: str
    """Why it does not answer with what is live; empty if it does, or is loading it."""
    seen_s_ago: float
    stale: bool
    """It ended without a word, or hangs, or cannot reach the database."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What a process says of one of its slots."""

    id: str
    slot: str
    alias: str
    answering: str | None
    live: str | None
    loaded: tuple[str, ...]
    trouble: str


def worker_id() -> str:
    """A new id for a slot in this process."""
    return uuid4().hex


def beat(store: Store, servings: Sequence[Serving], started_at: float) -> None:
    """Renew the rows of ``servings``, and remove those that have been stale for long, whoever's they are."""
    me, now = this_process(), time.time()
    with Session(store.engine) as session, session.begin():
        for serving in servings:
            row = WorkerRow(
                id=serving.id,
                slot=serving.slot,
                alias=serving.alias,
                host=me.holder,
                machine=me.machine,
                pid=me.pid,
                started=me.started,
                answering=serving.answering,
                live=serving.live,
                loaded=list(serving.loaded),
                trouble=serving.trouble,
                started_at=started_at,
                seen_at=now,
            )
            session.merge(row)
        session.execute(delete(WorkerRow).where(WorkerRow.seen_at < now - FORGET_AFTER_S))


def retire(store: Store, ids: Sequence[str]) -> None:
    """Remove the rows of slots that are no longer served."""
    with Session(store.engine) as session, session.begin():
        session.execute(delete(WorkerRow).where(WorkerRow.id.in_(ids)))


def list_workers(store: Store, slot: str | None = None) -> list[Worker]:
    """Who serves ``slot``, or any slot, by slot, host and pid; the stale ones are marked."""
    query = select(WorkerRow).order_by(WorkerRow.slot, WorkerRow.host, WorkerRow.pid, WorkerRow.id)
    if slot is not None:
        query = query.where(WorkerRow.slot == slot)
    now = time.time()
    with Session(store.engine) as session:
        return [
            Worker(
                slot=row.slot,
                alias=row.alias,
                host=row.host,
                pid=row.pid,
                answering=row.answering,
                live=row.live,
                loaded=tuple(row.loaded),
                trouble=row.trouble,
                seen_s_ago=round(max(now - row.seen_at, 0.0), 1),
                # A beat of the future is as stale: the clock was set back since.
                stale=abs(now - row.seen_at) > STALE_AFTER_S
                or is_gone(Process(row.host, row.machine, row.pid, row.started)),
            )
            for row in session.scalars(query)
        ]
