"""The PostgreSQL saver: a small pool of connections, shared by all threads of the process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from psycopg import Cursor
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from .lease import Leases
from .rows import ThreadTables
from .saver import ThreadSaver

POOL = 4
WAIT_S = 60.0


class PostgresThreadSaver(ThreadSaver, PostgresSaver):
    """The saver of a ``Store`` in PostgreSQL; may be used from many threads and event loops at once."""

    def __init__(
        self,
        address: str,
        tables: ThreadTables,
        leases: Leases,
        serde: SerializerProtocol,
        *,
        sealed: bool = False,
        read_only: bool = False,
    ) -> None:
        settings: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        if read_only:
            settings["options"] = "-c default_transaction_read_only=on"
        self.pool: ConnectionPool[Any] = ConnectionPool(
            address, min_size=1, max_size=POOL, timeout=WAIT_S, kwargs=settings, open=True
        )
        super().__init__(self.pool, serde=serde)
        self.tables, self.leases, self.sealed, self.read_only = tables, leases, sealed, read_only

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Cursor[DictRow]]:
        # LangGraph's takes one lock for all threads, though each has a connection of its own from the pool.
        with self.pool.connection() as connection:
            if pipeline and self.supports_pipeline:
                with connection.pipeline(), connection.cursor(binary=True, row_factory=dict_row) as cursor:
                    yield cursor
            else:
                with connection.cursor(binary=True, row_factory=dict_row) as cursor:
                    yield cursor

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint, its metadata completed by the versions that speak in this run.

        Values that are neither numbers nor text go into the table of blobs; with encryption text does too.
        """
        place: dict[str, Any] = config.get("configurable", {})
        thread, namespace = str(place["thread_id"]), place["checkpoint_ns"]
        noted = self.noted(config, checkpoint, metadata)
        inline: dict[str, Any] = {}
        apart: dict[str, Any] = {}
        plain = (int, float, bool) if self.sealed else (str, int, float, bool)
        for channel, value in checkpoint["channel_values"].items():
            if isinstance(value, _DeltaSnapshot):
                inline[channel], apart[channel] = True, value  # the mark by which LangGraph finds snapshots
            elif value is None or isinstance(value, plain):
                inline[channel] = value
            else:
                apart[channel] = value
        blobs = {channel: version for channel, version in new_versions.items() if channel in apart}
        with self._cursor(pipeline=True) as cursor:
            if blobs:
                cursor.executemany(self.UPSERT_CHECKPOINT_BLOBS_SQL, self._dump_blobs(thread, namespace, apart, blobs))
            content = Jsonb({**checkpoint, "channel_values": inline})
            row = (thread, namespace, checkpoint["id"], place.get("checkpoint_id"), content, Jsonb(noted))
            cursor.execute(self.UPSERT_CHECKPOINTS_SQL, row)
        return {
            "configurable": {
                "thread_id": thread,
                "checkpoint_ns": namespace,
                "checkpoint_id": checkpoint["id"],
            }
        }

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a task wrote, so that it is not run again after a crash."""
        self.check_may_write(config)
        super().put_writes(config, writes, task_id, task_path)

    def is_set_up(self) -> bool:
        """Whether LangGraph's tables are there, in their newest shape."""
        with self._cursor() as cursor:
            if cursor.execute("SELECT to_regclass('checkpoint_migrations') AS there").fetchone() == {"there": None}:
                return False
            newest = cursor.execute("SELECT max(v) AS v FROM checkpoint_migrations").fetchone()
        return newest == {"v": len(self.MIGRATIONS) - 1}

    def close(self) -> None:
        """Close the pool."""
        self.pool.close()
