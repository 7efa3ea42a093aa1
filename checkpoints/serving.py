"""What runs where at a moment: aliases, the processes that serve them, pins, paused threads, trials, evaluations."""

import json
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .canaries import Canary, running_canary
from .guards import Guard, guard_of
from .pins import Pin, pins_of
from .registry import aliases_of
from .store import Store
from .tables import EvaluationRow, SlotRow, TrialRow
from .threads import status_of
from .workers import Worker, list_workers


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """A slot at this moment."""

    slot: str
    aliases: dict[str, str]
    """Alias to version."""
    workers: tuple[Worker, ...]
    pins: tuple[Pin, ...]
    paused: dict[str, list[str]]
    """Version to the threads that wait for an answer and will go on with it."""
    canary: Canary | None
    guard: Guard | None

    def is_behind(self, worker: Worker) -> bool:
        """Whether ``worker`` does not answer yet with what its alias names."""
        wanted = self.aliases.get(worker.alias.partition("@")[2])
        return wanted is not None and (worker.answering != wanted or wanted not in worker.loaded)


@dataclass(frozen=True, slots=True)
class OpenEvaluation:
    """An evaluation that runs, or was interrupted."""

    id: str
    suite: str
    versions: dict[str, str]
    trials: int
    """Those that have ended."""
    created_at: str


@dataclass(frozen=True, slots=True)
class Status:
    """What runs where."""

    slots: tuple[SlotStatus, ...]
    evaluations: tuple[OpenEvaluation, ...]


def read_status(store: Store) -> Status:
    """Every slot that has versions, is served, or has paused threads; and the evaluations that are not done."""
    workers, pins, paused = list_workers(store), pins_of(store), paused_threads(store)
    with Session(store.engine) as session:
        known = {*session.scalars(select(SlotRow.slot)), *(worker.slot for worker in workers), *paused}
        counted = select(func.count()).select_from(TrialRow).where(TrialRow.evaluation == EvaluationRow.id)
        rows = session.execute(
            select(EvaluationRow, counted.scalar_subquery())
            .where(EvaluationRow.status == "running")
            .order_by(EvaluationRow.created_at)
        )
        evaluations = tuple(
            OpenEvaluation(row.id, row.suite, dict(row.versions), trials, row.created_at) for row, trials in rows
        )
    slots = tuple(
        SlotStatus(
            slot=slot,
            aliases=aliases_of(store, slot),
            workers=tuple(worker for worker in workers if worker.slot == slot),
            pins=tuple(pin for pin in pins if pin.slot == slot),
            paused=paused.get(slot, {}),
            canary=running_canary(store, slot),
            guard=guard_of(store, slot),
        )
        for slot in sorted(known)
    )
    return Status(slots, evaluations)


def paused_threads(store: Store) -> dict[str, dict[str, list[str]]]:
    """Slot to version to the threads that wait for an answer in a run that began with it."""
    table, writes, latest = store.tables.checkpoints, store.tables.writes, store.tables.latest()
    query = (
        select(table.c.thread_id, table.c.checkpoint_id, store.tables.noted("versions").label("versions"))
        .join(latest, (table.c.thread_id == latest.c.thread_id) & (table.c.checkpoint_id == latest.c.checkpoint_id))
        .where(
            table.c.checkpoint_ns == "",
            select(writes.c.thread_id)
            .where(
                writes.c.thread_id == table.c.thread_id,
                writes.c.checkpoint_ns == "",
                writes.c.checkpoint_id == table.c.checkpoint_id,
                writes.c.channel == "__interrupt__",
            )
            .exists(),
        )
        .order_by(table.c.thread_id)
    )
    found: dict[str, dict[str, list[str]]] = {}
    for row in store.tables.read(query):
        if row.versions is not None and status_of(store, row.thread_id, row.checkpoint_id) == "paused":
            for slot, version in json.loads(row.versions).items():
                found.setdefault(slot, {}).setdefault(version, []).append(row.thread_id)
    return found
