"""Look at threads: list them, read their messages and questions, walk their tree of checkpoints.

Reads LangGraph's tables directly, so that no graph is needed and nothing is decoded that is not shown.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage

from ..errors import UnknownThread
from .labels import Label, labels_of
from .messages import merge_messages
from .store import Store

Status = Literal["done", "paused", "failed", "running"]


@dataclass(frozen=True, slots=True)
class ThreadSummary:
    """One line of the list."""

    thread: str
    agent: str
    task: str | None
    status: Status
    """``running``: steps are pending, because it runs now or because its process died."""
    turns: int
    """Model calls."""
    versions: tuple[str, ...]
    """Versions that spoke, in order of their names."""
    labels: tuple[Label, ...]
    updated_at: str
    """ISO 8601, of the latest checkpoint."""


@dataclass(frozen=True, slots=True)
class CheckpointNode:
    """One checkpoint of a thread's tree."""

    checkpoint: str
    parent: str | None
    step: int
    source: str
    """``input``, ``loop``, ``update`` or ``fork``."""
    metadata: dict[str, Any]


def list_threads(
    store: Store,
    *,
    agent: str | None = None,
    task: str | None = None,
    status: Status | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[ThreadSummary]:
    """The threads that fit, ordered by id."""
    where, values = ["c.checkpoint_ns = ''"], []
    for key, value in (("agent", agent), ("task", task)):
        if value is not None:
            where.append(f"json_extract(CAST(c.metadata AS TEXT), '$.{key}') = ?")
            values.append(value)
    query = (
        "SELECT c.thread_id, c.checkpoint_id, c.metadata, c.type, c.checkpoint FROM checkpoints c JOIN (SELECT "
        "thread_id, max(checkpoint_id) AS latest FROM checkpoints WHERE checkpoint_ns = '' GROUP BY thread_id) l "
        f"ON c.thread_id = l.thread_id AND c.checkpoint_id = l.latest WHERE {' AND '.join(where)} "
        "ORDER BY c.thread_id"
    )
    found = []
    for thread, checkpoint, noted, kind, content in _rows(store, query, values):
        stands, at = _status(store, thread, checkpoint, kind, content)
        if status is None or stands == status:
            found.append((thread, json.loads(noted), stands, at))
    found = found[offset : None if limit is None else offset + limit]
    labels = labels_of(store, [thread for thread, *_ in found])
    return [
        ThreadSummary(
            thread=thread,
            agent=str(noted.get("agent", "")),
            task=noted.get("task"),
            status=stands,
            turns=count_turns(store, thread),
            versions=versions_of(store, thread),
            labels=tuple(labels.get(thread, ())),
            updated_at=at,
        )
        for thread, noted, stands, at in found
    ]


def latest_checkpoint(store: Store, thread: str) -> str:
    """The id of the newest checkpoint.

    Raises:
        UnknownThread
    """
    query = "SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ''"
    ((latest,),) = _rows(store, query, [thread])
    if latest is None:
        raise UnknownThread(f"thread {thread!r} has no checkpoints in {store.path}; try `threadmill threads list`")
    return latest


def latest_metadata(store: Store, thread: str) -> dict[str, Any]:
    """The metadata of the newest checkpoint: agent, task, versions, world…

    Raises:
        UnknownThread
    """
    return _node(store, thread, latest_checkpoint(store, thread)).metadata


def read_messages(store: Store, thread: str, checkpoint: str | None = None) -> list[AnyMessage]:
    """The messages of ``thread`` as they stood at ``checkpoint`` (default: the newest).

    Raises:
        UnknownThread: no such thread, or no such checkpoint of it.
    """
    at = checkpoint or latest_checkpoint(store, thread)
    _node(store, thread, at)
    query = "SELECT type, checkpoint FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id = ?"
    state = store.saver.serde.loads_typed(_rows(store, query, [thread, at])[0])
    if "messages" in state["channel_values"]:  # a snapshot, as edits of an old checkpoint make one
        return merge_messages(_whole(state["channel_values"]["messages"]), [])
    history = store.saver.get_delta_channel_history(
        config={"configurable": {"thread_id": thread, "checkpoint_ns": "", "checkpoint_id": at}},
        channels=["messages"],
    )["messages"]
    return merge_messages(_whole(history.get("seed", [])), [value for _, _, value in history["writes"]])


def read_questions(store: Store, thread: str) -> list[dict[str, Any]]:
    """What ``thread`` asks a human now; empty if it is not paused.

    Raises:
        UnknownThread
    """
    query = (
        "SELECT type, value FROM writes WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id = ? "
        "AND channel = '__interrupt__'"
    )
    questions: list[dict[str, Any]] = []
    for row in _rows(store, query, [thread, latest_checkpoint(store, thread)]):
        for interrupt in store.saver.serde.loads_typed(row):
            value = interrupt.value
            questions += value["questions"] if isinstance(value, dict) and "questions" in value else [{"why": value}]
    return questions


def checkpoint_tree(store: Store, thread: str) -> list[CheckpointNode]:
    """All checkpoints of ``thread``, parents before children.

    Raises:
        UnknownThread
    """
    latest_checkpoint(store, thread)
    query = (
        "SELECT checkpoint_id, parent_checkpoint_id, metadata FROM checkpoints "
        "WHERE thread_id = ? AND checkpoint_ns = '' ORDER BY checkpoint_id"
    )
    return [_as_node(*row) for row in _rows(store, query, [thread])]


def leaf_checkpoints(store: Store, thread: str) -> list[str]:
    """The ends of the branches, oldest first.

    Raises:
        UnknownThread
    """
    nodes = checkpoint_tree(store, thread)
    parents = {node.parent for node in nodes}
    return [node.checkpoint for node in nodes if node.checkpoint not in parents]


def count_turns(store: Store, thread: str) -> int:
    """How many model calls the thread holds, over all branches."""
    spoken = {
        message.id
        for leaf in leaf_checkpoints(store, thread)
        for message in read_messages(store, thread, leaf)
        if isinstance(message, AIMessage)
    }
    return len(spoken)


def versions_of(store: Store, thread: str) -> tuple[str, ...]:
    """The versions that the runs of ``thread`` were on."""
    query = (
        "SELECT DISTINCT json_extract(CAST(metadata AS TEXT), '$.versions') FROM checkpoints "
        "WHERE thread_id = ? AND checkpoint_ns = ''"
    )
    spoke = [json.loads(row[0]) for row in _rows(store, query, [thread]) if row[0]]
    return tuple(sorted({version for versions in spoke for version in versions.values()}))


def _status(store: Store, thread: str, checkpoint: str, kind: str, content: bytes) -> tuple[Status, str]:
    query = (
        "SELECT DISTINCT channel FROM writes WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id = ? "
        "AND channel IN ('__interrupt__', '__error__')"
    )
    special = {channel for (channel,) in _rows(store, query, [thread, checkpoint])}
    state = store.saver.serde.loads_typed((kind, content))
    at = str(state["ts"])
    if "__interrupt__" in special:
        return "paused", at
    if "__error__" in special:
        return "failed", at
    return ("running" if any(_waits(*channel) for channel in state["channel_values"].items()) else "done"), at


def _waits(channel: str, value: Any) -> bool:
    """Whether a step is pending because of ``value`` in ``channel``, by the names LangGraph gives its channels."""
    if channel.startswith("join:"):  # join:a+b:c holds those of a and b that have ended; c waits for all of them
        ended = value[0] if isinstance(value, (tuple, list)) else value
        return len(ended) == channel.removeprefix("join:").count("+") + 1
    return channel.startswith("branch:to:") or channel == "__start__" or (channel == "__pregel_tasks" and bool(value))


def _whole(stored: Any) -> Sequence[AnyMessage]:
    """The messages of a snapshot."""
    return getattr(stored, "value", stored) or []


def _node(store: Store, thread: str, checkpoint: str) -> CheckpointNode:
    query = (
        "SELECT checkpoint_id, parent_checkpoint_id, metadata FROM checkpoints "
        "WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id = ?"
    )
    rows = _rows(store, query, [thread, checkpoint])
    if not rows:
        latest_checkpoint(store, thread)
        raise UnknownThread(f"thread {thread!r} has no checkpoint {checkpoint!r} in {store.path}")
    return _as_node(*rows[0])


def _as_node(checkpoint: str, parent: str | None, noted: bytes) -> CheckpointNode:
    metadata = json.loads(noted)
    return CheckpointNode(checkpoint, parent, metadata.get("step", 0), metadata.get("source", ""), metadata)


def _rows(store: Store, query: str, values: Sequence[Any]) -> list[Any]:
    with store.saver.cursor(transaction=False) as cursor:
        return cursor.execute(query, values).fetchall()
