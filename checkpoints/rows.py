"""LangGraph's own tables as SQLAlchemy sees them: SQLite and PostgreSQL differ in names and in what is JSON.

The savers write these tables; everything that only looks, copies or deletes goes through here.
"""

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    cast,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import Executable


def place_of(thread: str, checkpoint: str | None, namespace: str = "") -> RunnableConfig:
    """The config that names a checkpoint; None is before the first."""
    return {"configurable": {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint}}


class _JsonBytes(TypeDecorator[Any]):
    """JSON that LangGraph keeps as bytes in SQLite."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> bytes | None:
        return None if value is None else json.dumps(value, ensure_ascii=False).encode()

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return {} if value is None else json.loads(value)


class ThreadTables:
    """Checkpoints, writes and (PostgreSQL) blobs of one database.

    The columns have the same keys in both: ``writes.c.value`` is PostgreSQL's ``blob``.
    """

    def __init__(self, engine: Engine, *, task_path: bool = True) -> None:
        self.engine = engine
        self.postgres = engine.dialect.name == "postgresql"
        about = MetaData()
        content = JSONB() if self.postgres else LargeBinary()
        noted = JSONB() if self.postgres else _JsonBytes()
        place = ("thread_id", "checkpoint_ns", "checkpoint_id")
        self.checkpoints = Table(
            "checkpoints",
            about,
            *(Column(name, Text, primary_key=True) for name in place),
            Column("parent_checkpoint_id", Text),
            Column("type", Text),
            Column("checkpoint", content),
            Column("metadata", noted, key="noted"),
        )
        self.writes = Table(
            "checkpoint_writes" if self.postgres else "writes",
            about,
            *(Column(name, Text, primary_key=True) for name in (*place, "task_id")),
            *((Column("task_path", Text, default=""),) if task_path else ()),
            Column("idx", Integer, primary_key=True),
            Column("channel", Text),
            Column("type", Text),
            Column("blob" if self.postgres else "value", LargeBinary, key="value"),
        )
        self.blobs: Table | None = None
        if self.postgres:
            self.blobs = Table(
                "checkpoint_blobs",
                about,
                *(
                    Column(name, Text, primary_key=True)
                    for name in ("thread_id", "checkpoint_ns", "channel", "version")
                ),
                Column("type", Text),
                Column("blob", LargeBinary, key="value"),
            )

    @property
    def all(self) -> list[Table]:
        """Every table that holds parts of a thread."""
        return [self.checkpoints, self.writes, *([self.blobs] if self.blobs is not None else [])]

    def noted(self, key: str) -> ColumnElement[str]:
        """The text of ``key`` in a checkpoint's metadata."""
        column = self.checkpoints.c.noted
        if self.postgres:
            return type_coerce(column, JSONB)[key].astext
        return func.json_extract(cast(type_coerce(column, LargeBinary), Text), literal_column(f"'$.\"{key}\"'"))

    def task_path(self) -> ColumnElement[str]:
        """The column of that name; older databases have none."""
        return self.writes.c.task_path if "task_path" in self.writes.c else literal_column("''").label("task_path")

    def read(self, query: Executable) -> Sequence[Any]:
        """All rows of ``query``."""
        with self.engine.connect() as connection:
            return connection.execute(query).all()

    def namespaces(self, thread: str) -> list[str]:
        """Where the subgraphs that ran in ``thread`` keep their checkpoints; empty if there were none."""
        table = self.checkpoints
        query = select(table.c.checkpoint_ns).where(table.c.thread_id == thread, table.c.checkpoint_ns != "").distinct()
        return sorted(namespace for (namespace,) in self.read(query))

    def copy(self, connection: Connection, source: str, target: str) -> None:
        """Copy every row of the thread ``source`` to ``target``."""
        for table in self.all:
            columns = [column for column in table.c if column.key != "thread_id"]
            rows = select(literal(target), *columns).where(table.c.thread_id == source)
            connection.execute(insert(table).from_select([table.c.thread_id, *columns], rows))

    def delete(self, connection: Connection, thread: str) -> None:
        """Delete every row of ``thread``."""
        for table in self.all:
            connection.execute(delete(table).where(table.c.thread_id == thread))

    def latest(self, namespace: str = "") -> Any:
        """A subquery: every thread and its newest checkpoint."""
        table = self.checkpoints
        return (
            select(table.c.thread_id, func.max(table.c.checkpoint_id).label("checkpoint_id"))
            .where(table.c.checkpoint_ns == namespace)
            .group_by(table.c.thread_id)
            .subquery("latest")
        )
