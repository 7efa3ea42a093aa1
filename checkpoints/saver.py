"""What our savers add to LangGraph's: versions in the metadata, no lost question, leases, async, copy and prune.

A saver works from many threads at once, and in sync and async graphs alike: the async methods run the sync
ones in a worker thread, as every SQLite driver does.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_serializable_checkpoint_metadata,
)
from sqlalchemy import exists, select

from ..errors import ReadOnly, StillPaused
from .lease import Leases
from .prune import keep_only
from .rows import ThreadTables


class ThreadSaver(BaseCheckpointSaver[str]):
    """The part that both databases share; put before one of LangGraph's savers."""

    tables: ThreadTables
    leases: Leases
    read_only: bool = False

    def noted(self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> dict[str, Any]:
        """The metadata to store with ``checkpoint``: LangGraph's, and the versions that speak in this run.

        Raises:
            StillPaused: new input, though the thread waits for an answer.
            LeaseLost: another process drives the thread by now.
            ReadOnly: the database was opened to be read.
        """
        self.check_may_write(config)
        noted: dict[str, Any] = {**get_serializable_checkpoint_metadata(config, metadata)}
        versions = checkpoint["channel_values"].get("versions")
        if isinstance(versions, dict):
            noted["versions"] = versions
        if noted.get("source") == "input" or self._took_input_at_its_end(config, checkpoint):
            self._check_asks_nothing(config)
        return noted

    def check_may_write(self, config: RunnableConfig) -> None:
        """Raises ReadOnly or LeaseLost if this process must not write to the thread."""
        if self.read_only:
            raise ReadOnly("this database was opened to be read; open it with open_store(url) to run threads in it")
        self.leases.check(str(config.get("configurable", {})["thread_id"]))

    def _took_input_at_its_end(self, config: RunnableConfig, checkpoint: Checkpoint) -> bool:
        """Whether a run with ``durability="exit"`` began with new input: it saves only its last checkpoint."""
        place: dict[str, Any] = config.get("configurable", {})
        if place.get("__pregel_durability") != "exit" or "checkpoint_id" not in place:
            return False
        before = self.get_tuple(config)
        versions = before.checkpoint["channel_versions"] if before else {}
        return bool(versions) and versions.get("__start__") != checkpoint["channel_versions"].get("__start__")

    def _check_asks_nothing(self, config: RunnableConfig) -> None:
        """LangGraph lets new input drop an open question without a word; here it is refused."""
        place: dict[str, Any] = config.get("configurable", {})
        thread, parent, namespace = str(place["thread_id"]), place.get("checkpoint_id"), place.get("checkpoint_ns", "")
        if parent is None:
            return
        table, writes = self.tables.checkpoints, self.tables.writes
        here = (writes.c.thread_id == thread, writes.c.checkpoint_ns == namespace, writes.c.checkpoint_id == parent)
        asked = select(writes.c.channel).where(*here, writes.c.channel.in_(("__interrupt__", "__resume__")))
        if {channel for (channel,) in self.tables.read(asked)} != {"__interrupt__"}:
            return
        followed = exists().where(
            table.c.thread_id == thread, table.c.checkpoint_ns == namespace, table.c.parent_checkpoint_id == parent
        )
        if not self.tables.read(select(followed))[0][0]:
            raise StillPaused(
                f"thread {thread!r} waits for an answer, and new input would drop its question; answer it "
                f"(threadmill threads approve|edit|reject|respond {thread}), or fork the thread before it"
            )

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy every checkpoint and write of a thread, in one transaction; a missing source copies nothing."""
        with self.tables.engine.begin() as connection:
            self.tables.copy(connection, str(source_thread_id), str(target_thread_id))

    def delete_thread(self, thread_id: str) -> None:
        """Delete every checkpoint and write of a thread."""
        with self.tables.engine.begin() as connection:
            self.tables.delete(connection, str(thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep only the newest checkpoint of each namespace (``keep_latest``), or nothing (``delete``).

        Raises:
            ValueError: an unknown strategy.
        """
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"{strategy!r} is no strategy; choose 'keep_latest' or 'delete'")
        for thread in thread_ids:
            if strategy == "delete":
                self.delete_thread(thread)
            else:
                keep_only(self, thread, {ns: {newest} for ns, newest in self._newest(thread)})

    def _newest(self, thread: str) -> list[tuple[str, str]]:
        table = self.tables.checkpoints
        query = select(table.c.checkpoint_ns, table.c.checkpoint_id).where(table.c.thread_id == thread)
        newest: dict[str, str] = {}
        for namespace, checkpoint in self.tables.read(query):
            newest[namespace] = max(checkpoint, newest.get(namespace, ""))
        return list(newest.items())

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        def collect() -> list[CheckpointTuple]:
            found: Iterator[CheckpointTuple] = self.list(config, filter=filter, before=before, limit=limit)
            return [*found]

        for found in await asyncio.to_thread(collect):
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await asyncio.to_thread(self.delete_thread, thread_id)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await asyncio.to_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await asyncio.to_thread(lambda: self.prune(thread_ids, strategy=strategy))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await asyncio.to_thread(
            lambda: cast(Any, self).get_delta_channel_history(config=config, channels=channels)
        )

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first; LangGraph's would keep the connection until the last one has been looked at."""
        yield from [*cast(Any, super()).list(config, filter=filter, before=before, limit=limit)]

    def close(self) -> None:
        """Close the saver's own connections, where it has any."""
