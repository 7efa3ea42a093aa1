"""LangGraph's SQLite saver with our settings: WAL, one connection for all threads, strict types, versions.

Every checkpoint's metadata carries the slot versions of its run, so that listing threads by version
needs no checkpoint to be decoded. A SIGKILL loses nothing that was committed; a power cut may lose the
last moments (``synchronous=NORMAL``).
"""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

BUSY_TIMEOUT_S = 60.0


class ThreadSaver(SqliteSaver):
    """The saver of a ``Store``; may be used from many threads at once."""

    def __init__(self, path: Path) -> None:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
        # An empty allow-list: LangChain's messages and plain data are known to be safe, nothing else is read.
        super().__init__(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=[]))
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
        noted: dict[str, Any] = {**get_checkpoint_metadata(config, metadata)}
        versions = checkpoint["channel_values"].get("versions")
        if isinstance(versions, dict):
            noted["versions"] = versions
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
        return {
            "configurable": {
                "thread_id": thread,
                "checkpoint_ns": namespace,
                "checkpoint_id": checkpoint["id"],
            }
        }


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
