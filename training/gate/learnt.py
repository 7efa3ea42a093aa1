"""Which tasks a version learnt from: those of the threads in its lineage."""

from sqlalchemy import select

from ...checkpoints.lineage import origins_of_version, threads_in
from ...checkpoints.store import Store

AT_ONCE = 500


def tasks_learnt(store: Store, version: str) -> set[str]:
    """Ids of the tasks whose threads the version, or one that it came from, was trained on.

    Raises:
        UnknownSlot, UnknownVersion
    """
    threads = threads_in(origins_of_version(store, version))
    table, task = store.tables.checkpoints, store.tables.noted("task")
    found: set[str] = set()
    for start in range(0, len(threads), AT_ONCE):
        query = select(task).distinct()
        query = query.where(table.c.thread_id.in_(threads[start : start + AT_ONCE]), task.is_not(None))
        found.update(name for (name,) in store.tables.read(query))
    return found
