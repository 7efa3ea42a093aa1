"""Copy a thread within its database: all its checkpoints, writes and labels, under another id."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, insert, literal, select

from ..errors import BadImport, UnknownThread
from .records import LABEL
from .store import Store


def copy_thread(store: Store, source: str, target: str) -> None:
    """Make ``target`` a copy of ``source``, all or nothing; from then on they know nothing of each other.

    Raises:
        UnknownThread: there is no thread ``source``.
        BadImport: there is a thread ``target`` already.
        ThreadBusy: somebody drives ``target``.
        ReadOnly
    """
    store.saver.check_may_write({"configurable": {"thread_id": target}})
    with store.leases.hold(target), snapshot(store, to_write=True) as connection:
        require_thread(store, connection, source)
        refuse_existing(store, connection, target, "name another id for the copy")
        store.tables.copy(connection, source, target)
        columns = [column for column in LABEL.c if column.key not in ("id", "thread")]
        labels = select(literal(target), *columns).where(LABEL.c.thread == source).order_by(LABEL.c.id)
        connection.execute(insert(LABEL).from_select([LABEL.c.thread, *columns], labels))


@contextmanager
def snapshot(store: Store, *, to_write: bool = False) -> Iterator[Connection]:
    """A transaction that sees the database as it is when it begins, whoever writes meanwhile."""
    engine = store.engine
    if store.tables.postgres:
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.begin() as connection:
        if not store.tables.postgres:  # whose driver begins with the first change only
            connection.exec_driver_sql("BEGIN IMMEDIATE" if to_write else "BEGIN")
        yield connection


def require_thread(store: Store, connection: Connection, thread: str) -> None:
    """Raises UnknownThread if ``thread`` has no checkpoints."""
    table = store.tables.checkpoints
    if not connection.execute(select(table.c.thread_id).where(table.c.thread_id == thread).limit(1)).all():
        raise UnknownThread(f"thread {thread!r} has no checkpoints in {store.name}; try `threadmill threads list`")


def refuse_existing(store: Store, connection: Connection, thread: str, advice: str) -> None:
    """Raises BadImport, with ``advice``, if the database holds anything of ``thread``."""
    columns = [*(table.c.thread_id for table in store.tables.all), LABEL.c.thread]
    if any(connection.execute(select(column).where(column == thread).limit(1)).all() for column in columns):
        raise BadImport(f"there is a thread {thread!r} in {store.name} already; {advice}")
