"""The SQLite saver: one connection for all threads, WAL, a generous wait for other writers.

A SIGKILL loses nothing that was committed; a power cut may lose the last moments (``synchronous=NORMAL``).
"""

import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite import SqliteSaver

from .lease import Leases
from .rows import ThreadTables, place_of
from .saver import ThreadSaver

BUSY_TIMEOUT_S = 60.0


class SqliteThreadSaver(ThreadSaver, SqliteSaver):
    """The saver of a ``Store`` in SQLite; may be used from many threads and event loops at once."""

    def __init__(self, path: Path, tables: ThreadTables, leases: Leases, serde: SerializerProtocol) -> None:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
        super().__init__(connection, serde=serde)
        self.tables, self.leases = tables, leases
        try:
            _switch_to_wal(connection)
            connection.execute("PRAGMA synchronous=NORMAL")
            self.setup()
        except sqlite3.Error:
            connection.close()
            raise

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint, its metadata completed by the versions that speak in this run."""
        place: dict[str, Any] = config.get("configurable", {})
        thread, namespace = str(place["thread_id"]), place["checkpoint_ns"]
        noted = self.noted(config, checkpoint, metadata)
        kind, content = self.serde.dumps_typed(checkpoint)
        row = (
            thread,
            namespace,
            checkpoint["id"],
            place.get("checkpoint_id"),
            kind,
            content,
            json.dumps(noted, ensure_ascii=False).encode("utf-8", "ignore"),
        )
        with self.cursor() as cursor:
            cursor.execute(
                "INSERT OR REPLACE INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, "
                "parent_checkpoint_id, type, checkpoint, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        return place_of(thread, checkpoint["id"], namespace)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a task wrote, so that it is not run again after a crash."""
        self.check_may_write(config)
        super().put_writes(config, writes, task_id, task_path)

    def close(self) -> None:
        """Close the connection."""
        self.conn.close()


class SqliteThreadReader(ThreadSaver, SqliteSaver):
    """The saver of a database that is only looked at: it adds no table and changes no setting."""

    read_only = True

    def __init__(
        self, connection: sqlite3.Connection, tables: ThreadTables, leases: Leases, serde: SerializerProtocol
    ) -> None:
        super().__init__(connection, serde=serde)
        self.tables, self.leases = tables, leases
        self.is_setup = True
        self._has_task_path = "task_path" in tables.writes.c

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Raises ReadOnly."""
        self.check_may_write(config)
        return config

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Raises ReadOnly."""
        self.check_may_write(config)

    def close(self) -> None:
        """Close the connection."""
        self.conn.close()


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Wait for others that switch the same new file: for this lock SQLite itself does not wait."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
