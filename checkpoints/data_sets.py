"""Which data sets hold which threads, and which versions learnt from them: so that nothing is forgotten by half."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from .registry import Version, list_versions
from .store import Store
from .tables import DataSetRow, DataSetThreadRow


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set that was exported from this database."""

    digest: str
    kind: str
    folder: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Uses:
    """What a thread was used for."""

    thread: str
    data_sets: tuple[DataSet, ...]
    versions: tuple[str, ...]
    """Versions trained on one of these data sets, or on weights that were."""


def record_data_set(store: Store, *, digest: str, kind: str, folder: str, threads: Iterable[str]) -> None:
    """Remember that the data set in ``folder`` holds rows of ``threads``; a database opened to be read does not."""
    if store.read_only:
        return
    with Session(store.engine) as session, session.begin():
        row = session.scalars(select(DataSetRow).filter_by(digest=digest, folder=folder)).first()
        if row is None:
            row = DataSetRow(digest=digest, kind=kind, folder=folder)
            session.add(row)
            session.flush()
        known = {*session.scalars(select(DataSetThreadRow.thread).filter_by(data_set_id=row.id))}
        session.add_all(DataSetThreadRow(data_set_id=row.id, thread=thread) for thread in sorted({*threads} - known))


def uses_of(store: Store, threads: Sequence[str]) -> dict[str, Uses]:
    """Thread to its uses; threads that were never exported are missing."""
    if not store.has_data_sets:
        return {}
    found: dict[str, list[DataSet]] = {}
    query = select(DataSetThreadRow.thread, DataSetRow).join(DataSetRow).order_by(DataSetRow.id)
    with Session(store.engine) as session:
        for start in range(0, len(threads), 500):
            for thread, row in session.execute(query.where(DataSetThreadRow.thread.in_(threads[start : start + 500]))):
                data_set = DataSet(row.digest, row.kind, row.folder, row.created_at)
                found.setdefault(thread, []).append(data_set)
    if not found:
        return {}
    versions = list_versions(store)
    return {
        thread: Uses(thread, tuple(sets), _learnt_from(versions, {one.digest for one in sets}))
        for thread, sets in found.items()
    }


def forget_uses(connection: Any, thread: str) -> None:
    """Take ``thread`` out of the tables; what its data sets hold on disk stays as it is."""
    connection.execute(delete(DataSetThreadRow).where(DataSetThreadRow.thread == thread))


def _learnt_from(versions: Sequence[Version], digests: set[str]) -> tuple[str, ...]:
    """Names of those that were trained on these data, their descendants included; oldest first."""
    learnt: dict[str, None] = {}
    for version in sorted(versions, key=lambda one: (one.created_at, one.slot, one.number)):
        runs = version.lineage.get("runs", [])
        trained_on = {str(run["data"].get("digest")) for run in runs if isinstance(run.get("data"), dict)}
        if trained_on & digests or version.base in learnt:
            learnt[version.name] = None
    return tuple(learnt)
