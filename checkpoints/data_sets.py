"""Which data sets hold which threads, row by row, and which versions learnt from them: nothing is forgotten by half."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from .registry import Version, list_versions
from .runs import list_runs
from .store import Store
from .tables import DataSetRow, DataSetSourceRow, DataSetThreadRow

AT_ONCE = 5000
"""Rows' sources in one statement."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set that was exported from this database."""

    digest: str
    kind: str
    folder: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Source:
    """A branch that a row of a data set was made of."""

    split: str
    row: int
    """From 0, in the order of the split's file."""
    number: int
    """Of the branch among those of the row, from 0: the first of a pair is the chosen one."""
    thread: str
    checkpoint: str
    """The end of the branch."""
    digest: str
    """Of the row's content as it was made, before anything that another row trains was masked."""


@dataclass(frozen=True, slots=True)
class Uses:
    """What a thread was used for."""

    thread: str
    data_sets: tuple[DataSet, ...]
    versions: tuple[str, ...]
    """Versions trained on one of these data sets, or on weights that were."""


def record_data_set(
    store: Store, *, digest: str, kind: str, folder: str, threads: Iterable[str], rows: Iterable[Source] = ()
) -> None:
    """Remember that the data set in ``folder`` holds ``rows`` of ``threads``; a database opened to be read does not."""
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
        session.execute(delete(DataSetSourceRow).where(DataSetSourceRow.data_set_id == row.id))
        for some in _in_parts(rows):
            session.execute(
                insert(DataSetSourceRow),
                [{"data_set_id": row.id, **{name: getattr(one, name) for name in Source.__slots__}} for one in some],
            )


def uses_of(store: Store, threads: Sequence[str]) -> dict[str, Uses]:
    """Thread to its uses; threads that were never exported are missing."""
    if not store.has_data_sets:
        return {}
    found: dict[str, list[DataSet]] = {}
    query = select(DataSetThreadRow.thread, DataSetRow).join(DataSetRow).order_by(DataSetRow.id)
    with Session(store.engine) as session:
        for start in range(0, len(threads), 500):
            for thread, row in session.execute(query.where(DataSetThreadRow.thread.in_(threads[start : start + 500]))):
                found.setdefault(thread, []).append(_data_set(row))
    if not found:
        return {}
    versions = list_versions(store)
    trained_on = data_of_versions(store)
    return {
        thread: Uses(thread, tuple(sets), _learnt_from(versions, trained_on, {one.digest for one in sets}))
        for thread, sets in found.items()
    }


def data_sets_by_digest(store: Store, digests: Iterable[str]) -> dict[str, list[DataSet]]:
    """Digest to the folders that held this data set, oldest first; unknown digests are missing."""
    found: dict[str, list[DataSet]] = {}
    query = select(DataSetRow).where(DataSetRow.digest.in_([*digests])).order_by(DataSetRow.id)
    with Session(store.engine) as session:
        for row in session.scalars(query):
            found.setdefault(row.digest, []).append(_data_set(row))
    return found


def threads_of(store: Store, digest: str) -> dict[str, int]:
    """The threads of the data set ``digest`` and how many of its rows each gave; 0 where that was not recorded."""
    with Session(store.engine) as session:
        named = select(DataSetThreadRow.thread).join(DataSetRow).where(DataSetRow.digest == digest)
        found = dict.fromkeys(sorted({*session.scalars(named)}), 0)
        table = DataSetSourceRow
        for row in session.execute(_one_copy(session, digest, table.thread, table.split, table.row)):
            found[row.thread] = found.get(row.thread, 0) + 1
    return found


def sources_of(store: Store, digest: str, *, thread: str | None = None) -> list[Source]:
    """What the rows of the data set ``digest`` were made of, in their order; with ``thread``, those made of it."""
    columns = [getattr(DataSetSourceRow, name) for name in Source.__slots__]
    with Session(store.engine) as session:
        query = _one_copy(session, digest, *columns)
        if thread is not None:
            query = query.where(DataSetSourceRow.thread == thread)
        order = (DataSetSourceRow.split, DataSetSourceRow.row, DataSetSourceRow.number)
        return [Source(*found) for found in session.execute(query.order_by(*order))]


def data_of_versions(store: Store) -> dict[str, set[str]]:
    """Version to the digests of the data sets that its own runs were trained on."""
    found: dict[str, set[str]] = {}
    for run in list_runs(store):
        if run.data is not None:
            found.setdefault(run.version, set()).add(run.data)
    return found


def forget_uses(connection: Any, thread: str) -> None:
    """Take ``thread`` out of the tables; what its data sets hold on disk stays as it is."""
    connection.execute(delete(DataSetThreadRow).where(DataSetThreadRow.thread == thread))
    connection.execute(delete(DataSetSourceRow).where(DataSetSourceRow.thread == thread))


def _one_copy(session: Session, digest: str, *columns: Any) -> Any:
    """Of the same data set in several folders one."""
    chosen = session.scalars(select(DataSetRow.id).where(DataSetRow.digest == digest).order_by(DataSetRow.id.desc()))
    return select(*columns).distinct().where(DataSetSourceRow.data_set_id == (chosen.first() or -1))


def _data_set(row: DataSetRow) -> DataSet:
    return DataSet(row.digest, row.kind, row.folder, row.created_at)


def _in_parts(rows: Iterable[Source]) -> Iterator[tuple[Source, ...]]:
    left = iter(rows)
    while some := tuple(islice(left, AT_ONCE)):
        yield some


def _learnt_from(versions: Sequence[Version], trained_on: Mapping[str, set[str]], digests: set[str]) -> tuple[str, ...]:
    """Names of those that were trained on these data, their descendants included; oldest first."""
    learnt: dict[str, None] = {}
    for version in sorted(versions, key=lambda one: (one.created_at, one.slot, one.number)):
        if trained_on.get(version.name, set()) & digests or version.base in learnt:
            learnt[version.name] = None
    return tuple(learnt)
