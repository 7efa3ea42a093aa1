"""Read a thread: its messages and questions, its tree of checkpoints, and what was written at one of them.

Reads LangGraph's tables directly, so that no graph is needed and nothing is decoded that is not shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from sqlalchemy import func, select

from ..errors import UnknownThread
from .pauses import pauses_at, questions_of
from .prune import messages_at
from .rows import place_of
from .store import Store


@dataclass(frozen=True, slots=True)
class CheckpointNode:
    """One checkpoint of a thread's tree."""

    checkpoint: str
    parent: str | None
    step: int
    source: str
    """``input``, ``loop``, ``update`` or ``fork``."""
    created_at: str
    """ISO 8601 in UTC."""
    metadata: dict[str, Any]


def latest_checkpoint(store: Store, thread: str) -> str:
    """The id of the newest checkpoint.

    Raises:
        UnknownThread
    """
    table = store.tables.checkpoints
    query = select(func.max(table.c.checkpoint_id)).where(table.c.thread_id == thread, table.c.checkpoint_ns == "")
    latest = store.tables.read(query)[0][0]
    if latest is None:
        raise UnknownThread(f"thread {thread!r} has no checkpoints in {store.name}; try `threadmill threads list`")
    return latest


def latest_metadata(store: Store, thread: str) -> dict[str, Any]:
    """The metadata of the newest checkpoint: agent, task, versions, world…

    Raises:
        UnknownThread
    """
    return checkpoint_node(store, thread, latest_checkpoint(store, thread)).metadata


def find_checkpoint(store: Store, thread: str, start: str) -> str:
    """The id of the checkpoint of ``thread`` that begins with ``start``, or ends with it, as `tree` shows it.

    Raises:
        UnknownThread: no such thread, no such checkpoint, or several.
    """
    known = [node.checkpoint for node in checkpoint_tree(store, thread)]
    fitting = [checkpoint for checkpoint in known if checkpoint.startswith(start) or checkpoint.endswith(start)]
    if start in known:
        return start
    if len(fitting) != 1 or not start:
        raise UnknownThread(
            f"thread {thread!r} has {len(fitting) if start else 'no'} checkpoints {start!r} in {store.name}; "
            f"see `threadmill threads tree {thread}`"
        )
    return fitting[0]


def read_messages(store: Store, thread: str, checkpoint: str | None = None, *, namespace: str = "") -> list[AnyMessage]:
    """The messages of ``thread`` as they stood at ``checkpoint`` (default: the newest).

    ``namespace`` is that of a subgraph; its checkpoints are not those of the thread.

    Raises:
        UnknownThread: no such thread, or no such checkpoint of it.
    """
    place: dict[str, Any] = {"thread_id": thread, "checkpoint_ns": namespace}
    if checkpoint is not None:
        place["checkpoint_id"] = checkpoint
    reader = store.reader
    found = reader.get_tuple({"configurable": place})
    if found is None:
        latest_checkpoint(store, thread)
        raise UnknownThread(f"thread {thread!r} has no checkpoint {checkpoint!r} in {store.name}")
    return [message for message in messages_at(reader, found) if isinstance(message, BaseMessage)]  # type: ignore[misc]


def read_questions(store: Store, thread: str, checkpoint: str | None = None) -> list[dict[str, Any]]:
    """What ``thread`` asks a human at ``checkpoint`` (default: now), in order; empty if it is not paused there.

    Raises:
        UnknownThread
    """
    at = checkpoint or latest_checkpoint(store, thread)
    found = store.reader.get_tuple(place_of(thread, at))
    if found is None or not any(channel == "__interrupt__" for _, channel, _ in found.pending_writes or []):
        return []
    messages = messages_at(store.reader, found)
    last = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    open_ones = [pause for pause in pauses_at(found.pending_writes or [], last) if pause.answer is None]
    in_order = sorted(open_ones, key=lambda pause: pause.id)  # that of an ``Outcome``, however the tasks ended
    return [question for pause in in_order for question in questions_of(pause)]


def checkpoint_tree(store: Store, thread: str, *, namespace: str = "") -> list[CheckpointNode]:
    """All checkpoints of ``thread``, parents before children.

    Raises:
        UnknownThread
    """
    table = store.tables.checkpoints
    query = (
        select(table.c.checkpoint_id, table.c.parent_checkpoint_id, table.c.noted)
        .where(table.c.thread_id == thread, table.c.checkpoint_ns == namespace)
        .order_by(table.c.checkpoint_id)
    )
    nodes = [_as_node(*row) for row in store.tables.read(query)]
    if not nodes:
        latest_checkpoint(store, thread)
    return nodes


def checkpoint_node(store: Store, thread: str, checkpoint: str) -> CheckpointNode:
    """One checkpoint of ``thread``.

    Raises:
        UnknownThread
    """
    table = store.tables.checkpoints
    query = select(table.c.checkpoint_id, table.c.parent_checkpoint_id, table.c.noted).where(
        table.c.thread_id == thread, table.c.checkpoint_ns == "", table.c.checkpoint_id == checkpoint
    )
    rows = store.tables.read(query)
    if not rows:
        latest_checkpoint(store, thread)
        raise UnknownThread(f"thread {thread!r} has no checkpoint {checkpoint!r} in {store.name}")
    return _as_node(*rows[0])


def list_namespaces(store: Store, thread: str) -> list[str]:
    """The namespaces of subgraphs that ran in ``thread``; empty if there were none."""
    return store.tables.namespaces(thread)


def leaf_checkpoints(store: Store, thread: str) -> list[str]:
    """The ends of the branches, oldest first.

    Raises:
        UnknownThread
    """
    nodes = checkpoint_tree(store, thread)
    parents = {node.parent for node in nodes}
    return [node.checkpoint for node in nodes if node.checkpoint not in parents]


def path_to(nodes: Sequence[CheckpointNode], checkpoint: str) -> list[CheckpointNode]:
    """The checkpoints from the root to ``checkpoint``, out of a tree; empty if it is not in the tree."""
    known = {node.checkpoint: node for node in nodes}
    path: list[CheckpointNode] = []
    at = known.get(checkpoint)
    while at is not None:
        path.append(at)
        at = known.get(at.parent) if at.parent else None
    return path[::-1]


def count_turns(store: Store, thread: str) -> int:
    """How many model calls the thread holds, over all branches."""
    spoken = {
        message.id
        for leaf in leaf_checkpoints(store, thread)
        for message in read_messages(store, thread, leaf)
        if isinstance(message, AIMessage)
    }
    return len(spoken)


def time_of(checkpoint: str) -> str:
    """When a checkpoint was made, ISO 8601 in UTC, out of its id; empty if the id holds no time.

    >>> time_of("1f0c6a5b-7d3e-6f00-8001-8a1503f9b875")
    '2025-11-21T06:45:50.450867+00:00'
    """
    try:
        made = UUID(checkpoint)
    except ValueError:
        return ""
    if made.version != 6:
        return ""
    ticks = (made.time_low << 28) | (made.time_mid << 12) | (made.time_hi_version & 0x0FFF)  # the order of version 6
    since_epoch = (ticks - 0x01B21DD213814000) // 10
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since_epoch)).isoformat()


def _as_node(checkpoint: str, parent: str | None, noted: Mapping[str, Any]) -> CheckpointNode:
    return CheckpointNode(
        checkpoint, parent, noted.get("step", 0), noted.get("source", ""), time_of(checkpoint), dict(noted)
    )
