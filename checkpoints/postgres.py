"""The PostgreSQL saver: a small pool of connections, shared by all threads of the process."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
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
from .rows import ThreadTables, place_of
from .saver import ThreadSaver

PROCESSES = 32
"""So many processes fit a server. Each needs two more connections: its leases', and one for all but the saver."""
MOST = 4
_NO_JSON = re.compile("[\0\ud800-\udfff]")
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
        connections: int = 1,
        sealed: bool = False,
        read_only: bool = False,
    ) -> None:
        settings: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        self.pool: ConnectionPool[Any] = ConnectionPool(
            address, min_size=1, max_size=connections, timeout=WAIT_S, kwargs=settings, open=True
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

        Values that are neither numbers nor text go into the table of blobs; with encryption text does too, and
        always what JSON cannot hold.
        """
        place: dict[str, Any] = config.get("configurable", {})
        thread, namespace = str(place["thread_id"]), place["checkpoint_ns"]
        noted = self.noted(config, checkpoint, metadata)
        inline: dict[str, Any] = {}
        apart: dict[str, Any] = {}
        for channel, value in checkpoint["channel_values"].items():
            if isinstance(value, _DeltaSnapshot):
                inline[channel], apart[channel] = True, value  # the mark by which LangGraph finds snapshots
            elif _fits_json(value) and not (self.sealed and isinstance(value, str)):
                inline[channel] = value
            else:
                apart[channel] = value
        known = checkpoint["channel_versions"]
        blobs: ChannelVersions = {
            channel: new_versions.get(channel) or known[channel]  # text may have stood inline before there was a key
            for channel, value in apart.items()
            if channel in new_versions or isinstance(value, str)
        }
        with self._cursor(pipeline=True) as cursor:
            if blobs:
                cursor.executemany(self.UPSERT_CHECKPOINT_BLOBS_SQL, self._dump_blobs(thread, namespace, apart, blobs))
            content = Jsonb({**checkpoint, "channel_values": inline})
            row = (thread, namespace, checkpoint["id"], place.get("checkpoint_id"), content, Jsonb(noted))
            cursor.execute(self.UPSERT_CHECKPOINTS_SQL, row)
        return place_of(thread, checkpoint["id"], namespace)

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


def _fits_json(value: Any) -> bool:
    """Whether ``value`` reads back from JSON as it was: enumerations do not, and PostgreSQL refuses NaN and NUL."""
    if type(value) is float:
        return isfinite(value)
    return value is None or type(value) in (bool, int) or (type(value) is str and _NO_JSON.search(value) is None)


def share_of(max_connections: int) -> int:
    """How many connections the saver of one process may take from a server that has room for ``max_connections``.

    A second one is worth it where many Python threads write at once; PostgreSQL's default leaves room for one.

    >>> share_of(100), share_of(200)
    (1, 4)
    """
    return max(1, min(MOST, max_connections // PROCESSES - 2))
