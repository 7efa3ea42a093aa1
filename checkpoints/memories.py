"""What agents remember from one thread for others: LangGraph's store, in the same database as the threads.

LangGraph's own ``SqliteStore`` and ``PostgresStore`` do the work, on their tables ``store`` and ``store_migrations``.
These are made when the first memory is written, so a database without memories has none. With a key, values are
encrypted; namespaces and keys are not.
"""

import asyncio
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, cast

from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.store.base import BaseStore, GetOp, Item, ListNamespacesOp, Op, PutOp, Result, SearchOp
from sqlalchemy import Engine, inspect, text

from ..errors import BadDatabase, BadMemory, ReadOnly
from .migrations import alone
from .read_only import connect, readable_address
from .saver import ThreadSaver
from .sqlite import BUSY_TIMEOUT_S

SEALED = "threadmill_sealed"
"""In an encrypted value: how it is encrypted. Its content stands beside."""
COLUMNS = {"store": {"prefix", "key", "value"}, "store_migrations": {"v"}}
"""By which LangGraph's tables are known."""


class Memories(BaseStore):
    """The memories of a ``Store``, for sync and async graphs, from many Python threads: ``compile(store=…)``.

    Memories are not found by meaning: a search gives the newest of a namespace.
    """

    def __init__(self, engine: Engine, name: str, saver: ThreadSaver) -> None:
        self._engine, self._name, self._saver = engine, name, saver
        self._encrypts = isinstance(saver.serde, EncryptedSerializer)
        self._opening = Lock()
        self._opened: Any = None

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do these in order.

        Raises:
            ReadOnly: a memory is written, and the database was opened to be read.
            BadKey: a value is encrypted, and there is no key or another one.
            BadMemory: a search looks into values, which are encrypted.
            BadDatabase: the table ``store`` is another program's.
        """
        wanted = list(ops)
        writes = any(isinstance(op, PutOp) for op in wanted)
        if writes and self._saver.read_only:
            raise ReadOnly("this database was opened to be read; open it with open_store(url) to remember in it")
        if self._encrypts and any(isinstance(op, SearchOp) and op.filter for op in wanted):
            raise BadMemory("memories are encrypted here, so `filter` cannot look into them; search without it")
        store = self._open(make=writes)
        if store is None:
            return [[] if isinstance(op, SearchOp | ListNamespacesOp) else None for op in wanted]
        return [self._read(result) for result in store.batch([self._sealed(op) for op in wanted])]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As ``batch``, in a worker thread."""
        return await asyncio.to_thread(self.batch, list(ops))

    def close(self) -> None:
        """Close the connection, if one was opened; PostgreSQL's are the saver's."""
        if self._opened is not None and isinstance(self._opened.conn, sqlite3.Connection):
            self._opened.conn.close()

    def _open(self, *, make: bool) -> Any:
        """LangGraph's store; None if nothing was ever remembered here, unless its tables are to be made."""
        with self._opening:
            if self._opened is None and (self._has_tables() or make):
                self._opened = self._open_sqlite() if self._engine.dialect.name == "sqlite" else self._open_postgres()
            return self._opened

    def _open_sqlite(self) -> Any:
        from langgraph.store.sqlite import SqliteStore

        path = Path(self._name)
        if self._must_upgrade(SqliteStore.MIGRATIONS):
            self._upgrade_sqlite(SqliteStore.MIGRATIONS)
        if self._saver.read_only:
            connection = connect(readable_address(path))
        else:
            connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None)
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")  # vectors that another program made go with their memory
        store = SqliteStore(connection)
        store.is_setup = True
        return store

    def _open_postgres(self) -> Any:
        from langgraph.store.postgres import PostgresStore

        store = PostgresStore(cast(Any, self._saver).pool)
        if self._must_upgrade(PostgresStore.MIGRATIONS):
            with self._engine.connect() as connection, alone(connection):
                store.setup()
        return store

    def _has_tables(self) -> bool:
        seen = inspect(self._engine)
        there = [table for table in COLUMNS if seen.has_table(table)]  # one alone while another process makes them
        for table in there:
            if COLUMNS[table] - {column["name"] for column in seen.get_columns(table)}:
                raise BadDatabase(
                    f"{self._name!r} has a table {table!r} that is another program's, and LangGraph keeps memories in "
                    "one of that name; let agents that remember use another database"
                )
        return len(there) == len(COLUMNS)

    def _must_upgrade(self, migrations: Sequence[str]) -> bool:
        there = -1
        if self._has_tables():
            with self._engine.connect() as connection:
                there = connection.execute(text("SELECT coalesce(max(v), -1) FROM store_migrations")).scalar_one()
        is_old = there < len(migrations) - 1
        if is_old and self._saver.read_only:
            raise BadDatabase(
                f"the memories in {self._name!r} were written by an older LangGraph; they are upgraded when an agent "
                "that remembers runs there, or by `threadmill memories forget`"
            )
        return is_old

    def _upgrade_sqlite(self, migrations: Sequence[str]) -> None:
        """What ``SqliteStore.setup`` does, in one transaction: several processes may come to it at once."""
        with self._engine.connect() as connection, alone(connection):
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS store_migrations (v INTEGER PRIMARY KEY)")
            there = connection.execute(text("SELECT coalesce(max(v), -1) FROM store_migrations")).scalar_one()
            for number, statement in enumerate(migrations):
                if number > there:
                    connection.exec_driver_sql(statement)
                    connection.execute(text("INSERT INTO store_migrations (v) VALUES (:v)"), {"v": number})
            connection.commit()

    def _sealed(self, op: Op) -> Op:
        if self._saver.read_only and isinstance(op, GetOp | SearchOp):
            return op._replace(refresh_ttl=False)  # PostgresStore would note that somebody has looked
        if not self._encrypts or not isinstance(op, PutOp) or op.value is None:
            return op
        kind, content = self._saver.serde.dumps_typed(op.value)
        return op._replace(value={SEALED: kind, "content": b64encode(content).decode()})

    def _read(self, result: Result) -> Result:
        for item in result if isinstance(result, list) else [result]:
            if isinstance(item, Item) and item.value.keys() == {SEALED, "content"}:
                item.value = self._saver.serde.loads_typed((item.value[SEALED], b64decode(item.value["content"])))
        return result
