"""Drop checkpoints of a thread and keep the chosen ones readable, deltas notwithstanding.

A checkpoint that loses its ancestors gets its messages as a snapshot first; nothing is deleted before that.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from sqlalchemy import Connection, delete, select, update

from ..errors import ThreadmillError
from .messages import merge_messages

if TYPE_CHECKING:
    from .saver import ThreadSaver

CHANNEL = "messages"


def keep_only(saver: "ThreadSaver", thread: str, keep: Mapping[str, AbstractSet[str]]) -> int:
    """Delete every checkpoint of ``thread`` but those in ``keep`` (namespace to ids); how many went.

    A kept checkpoint hangs below its nearest kept ancestor afterwards.

    Raises:
        ThreadmillError: a channel other than ``messages`` is stored as deltas, whose reducer only its graph knows.
    """
    tables = saver.tables
    table = tables.checkpoints
    query = select(table.c.checkpoint_ns, table.c.checkpoint_id, table.c.parent_checkpoint_id).where(
        table.c.thread_id == thread
    )
    parents: dict[tuple[str, str], str | None] = {(ns, cp): parent for ns, cp, parent in tables.read(query)}
    doomed = [(ns, cp) for ns, cp in parents if cp not in keep.get(ns, ())]
    if not doomed:
        return 0
    links: dict[tuple[str, str], str | None] = {}
    orphans: list[RunnableConfig] = []
    for namespace, checkpoints in keep.items():
        for checkpoint in checkpoints:
            above = parents.get((namespace, checkpoint))
            if above is None or above in checkpoints:
                continue
            while above is not None and above not in checkpoints:
                above = parents.get((namespace, above))
            links[namespace, checkpoint] = above
            place = {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint}
            if found := saver.get_tuple({"configurable": place}):
                _refuse_unknown_deltas(thread, found)
                if CHANNEL in _deltas(found):
                    orphans.append(found.config)
    for config in orphans:
        _snapshot(saver, config)
    with tables.engine.begin() as connection:
        for (namespace, checkpoint), above in links.items():
            here = (table.c.thread_id == thread, table.c.checkpoint_ns == namespace)
            change = update(table).where(*here, table.c.checkpoint_id == checkpoint)
            connection.execute(change.values(parent_checkpoint_id=above))
        for namespace in {ns for ns, _ in doomed}:
            _delete(connection, saver, thread, namespace, [cp for ns, cp in doomed if ns == namespace])
    return len(doomed)


def messages_at(saver: Any, found: CheckpointTuple) -> Sequence[Any]:
    """The messages as they stood at ``found``, whether stored whole or as deltas.

    ``saver`` is any of LangGraph's. The list that a graph without named channels keeps counts as messages.
    """
    values = found.checkpoint["channel_values"]
    for channel in (CHANNEL, "__root__"):
        if channel in values:  # a snapshot, or a channel that is stored whole
            whole = values[channel]
            return merge_messages(_list(getattr(whole, "value", whole)), [])
    history = saver.get_delta_channel_history(config=found.config, channels=[CHANNEL])[CHANNEL]
    return merge_messages(_list(_plain(history.get("seed"))), [value for _, _, value in history["writes"]])


def _plain(stored: Any) -> Any:
    return getattr(stored, "value", stored)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _deltas(found: CheckpointTuple) -> set[str]:
    """The channels that ``found`` does not hold whole."""
    state = found.checkpoint
    counted = found.metadata.get("counters_since_delta_snapshot", {})  # those that were never written too
    return {channel for channel in counted if channel in state["channel_versions"]} - {*state["channel_values"]}


def _refuse_unknown_deltas(thread: str, found: CheckpointTuple) -> None:
    if unknown := _deltas(found) - {CHANNEL}:
        raise ThreadmillError(
            f"thread {thread!r} keeps {', '.join(sorted(unknown))} as deltas, which only its own graph can put "
            "together; its checkpoints cannot be pruned"
        )


def _snapshot(saver: "ThreadSaver", config: RunnableConfig) -> None:
    """Store the messages of one checkpoint whole."""
    found = saver.get_tuple(config)
    if found is None:
        return
    state = found.checkpoint
    whole = {**state, "channel_values": {**state["channel_values"], CHANNEL: _DeltaSnapshot(messages_at(saver, found))}}
    above = (found.parent_config or {}).get("configurable", {}).get("checkpoint_id")
    place = {**config.get("configurable", {}), "checkpoint_id": above}
    versions: Any = {CHANNEL: state["channel_versions"][CHANNEL]}
    written: Any = whole
    saver.put({"configurable": place}, written, found.metadata, versions)


def _delete(
    connection: Connection, saver: "ThreadSaver", thread: str, namespace: str, checkpoints: Sequence[str]
) -> None:
    tables = saver.tables
    freed: set[tuple[str, str]] = set()
    for start in range(0, len(checkpoints), 500):
        part = checkpoints[start : start + 500]
        if tables.blobs is not None:
            freed |= _versions(connection, tables.checkpoints, thread, namespace, part)
        for table in (tables.writes, tables.checkpoints):
            here = (table.c.thread_id == thread, table.c.checkpoint_ns == namespace)
            connection.execute(delete(table).where(*here, table.c.checkpoint_id.in_(part)))
    if tables.blobs is None:
        return
    blobs = tables.blobs
    for channel, version in freed - _versions(connection, tables.checkpoints, thread, namespace, None):
        here = (blobs.c.thread_id == thread, blobs.c.checkpoint_ns == namespace)
        connection.execute(delete(blobs).where(*here, blobs.c.channel == channel, blobs.c.version == version))


def _versions(
    connection: Connection, table: Any, thread: str, namespace: str, checkpoints: Sequence[str] | None
) -> set[tuple[str, str]]:
    """The blobs that these checkpoints (None: all) refer to, as channel and version."""
    query = select(table.c.checkpoint).where(table.c.thread_id == thread, table.c.checkpoint_ns == namespace)
    if checkpoints is not None:
        query = query.where(table.c.checkpoint_id.in_(checkpoints))
    return {pair for (content,) in connection.execute(query) for pair in content["channel_versions"].items()}
