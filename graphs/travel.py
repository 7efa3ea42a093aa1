"""Time travel: fork a thread at any of its checkpoints, and replay what follows from one.

Branches stay siblings in one thread. A fork, and a live replay, become what the thread goes on from; a
recorded replay (``recorded.py``) never does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START
from langgraph.types import StateSnapshot
from sqlalchemy import select

from ..checkpoints.branching import branch_at, checkpoint_of, refuse_subgraphs_with_memory
from ..checkpoints.rows import place_of
from ..checkpoints.saver import ThreadSaver
from ..errors import CannotTravel, UnknownThread
from ..nodes.models.trace import EDIT_KEY
from .divergence import Divergence, first_divergence
from .run import Agent, Outcome, _config, _go, driving

PUSH = "__pregel_push"
TASKS = "__pregel_tasks"
OBSERVE = "threadmill.nodes.observe"


@dataclass(frozen=True, slots=True)
class Fork:
    """A new branch."""

    thread: str
    checkpoint: str
    """Where the branch begins; the thread's newest checkpoint."""
    at: str
    """The checkpoint it was forked at."""
    next: tuple[str, ...]
    """The nodes that will run when the thread is continued; empty if the branch is at its end."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of running on from an earlier checkpoint."""

    outcome: Outcome
    checkpoint: str
    """The leaf of the new branch."""
    at: str
    divergence: Divergence | None
    """The first turn that differs from what followed before; None if nothing does."""


def fork_thread(
    graph: Agent,
    thread: str,
    checkpoint: str,
    *,
    message: BaseMessage | None = None,
    change: Mapping[str, Any] | None = None,
    by: str = "human",
) -> Fork:
    """Begin a branch at ``checkpoint``, with an optional change, and do not run it yet (``continue_thread`` does).

    ``message`` takes the place of the one with its id; if the model wrote that one, its proposal is kept beside the
    new one, as with an edit at an interrupt. ``change`` is a state update, handled by the graph's reducers.

    Raises:
        UnknownThread: no such thread, checkpoint or message. ThreadBusy
        CannotTravel: a change between a decision and its calls, or a subgraph that keeps a state of its own.
    """
    saver = _saver(graph)
    with driving(graph, thread):
        before = _at(graph, thread, checkpoint)
        update = dict(change or {})
        if message is not None:
            update["messages"] = [_replacing(before, message, by)]
        noted = {"editor": by, "fork_of": checkpoint}
        if not update:
            made = branch_at(saver, thread, checkpoint, noted=noted)
            return Fork(thread, made, checkpoint, before.next)
        as_node = _speaker(graph, saver, before)
        config = _config(graph, thread, before)
        place: RunnableConfig = {
            "configurable": {**config.get("configurable", {}), "checkpoint_id": checkpoint, "checkpoint_ns": ""},
            "metadata": {**config.get("metadata", {}), **noted, "as_node": as_node},
        }
        graph.update_state(place, update, as_node=as_node)
        after = graph.get_state({"configurable": {"thread_id": thread}})
        return Fork(thread, checkpoint_of(after.config) or "", checkpoint, after.next)


def replay_thread(
    graph: Agent, thread: str, checkpoint: str, *, versions: Mapping[str, str] | None = None, by: str = "human"
) -> Replay:
    """Run on from ``checkpoint`` as a new branch, live: models are asked and tools act again, as if for the first time.

    ``versions`` (slot to version) speak in the branch until the next user turn; otherwise those of the checkpoint.

    Raises:
        UnknownThread, ThreadBusy, StoreFull
        CannotTravel: nothing follows the checkpoint, the live version would speak instead of ``versions``, or a
            subgraph keeps a state of its own.
    """
    saver = _saver(graph)
    with driving(graph, thread):
        before = _at(graph, thread, checkpoint)
        if not before.next:
            raise CannotTravel(f"the run ends at checkpoint {checkpoint}; replay from an earlier one")
        spoken = speaking(graph, before, versions)
        was = messages_of(graph, thread, recorded_path(saver, thread, checkpoint)[-1])
        noted = {"editor": by, "replay": "live", "replay_of": checkpoint}
        branch_at(saver, thread, checkpoint, noted=noted, values=spoken)
        config = _config(graph, thread, before, metadata={"replay": "live", "replay_of": checkpoint})
        outcome = _go(graph, thread, None, config)
        after = graph.get_state({"configurable": {"thread_id": thread}})
    known = before.values.get("messages", [])
    divergence = first_divergence(was, after.values.get("messages", []), known, finished=outcome.status == "done")
    return Replay(outcome, checkpoint_of(after.config) or "", checkpoint, divergence)


def recorded_path(saver: ThreadSaver, thread: str, checkpoint: str) -> list[str]:
    """The checkpoints from ``checkpoint`` to the end of the newest branch that leads through it."""
    table = saver.tables.checkpoints
    query = select(table.c.checkpoint_id, table.c.parent_checkpoint_id).where(
        table.c.thread_id == thread, table.c.checkpoint_ns == ""
    )
    parents = {made: above for made, above in saver.tables.read(query)}
    inner = set(parents.values())
    for leaf in sorted((made for made in parents if made not in inner), reverse=True):
        path = [leaf]
        while path[-1] != checkpoint and (above := parents.get(path[-1])):
            path.append(above)
        if path[-1] == checkpoint:
            return path[::-1]
    return [checkpoint]


def messages_of(graph: Agent, thread: str, checkpoint: str) -> list[BaseMessage]:
    """The messages as they stood at ``checkpoint``."""
    return list(graph.get_state(place_of(thread, checkpoint)).values.get("messages", []))


def speaking(graph: Agent, before: StateSnapshot, versions: Mapping[str, str] | None) -> dict[str, Any]:
    """The change of state that makes ``versions`` speak after ``before``.

    Raises:
        CannotTravel: the next step would take the live versions instead.
    """
    if not versions:
        return {}
    messages = before.values.get("messages", [])
    begins = bool(messages) and isinstance(messages[-1], HumanMessage)
    if START in before.next or (begins and any(module_of(graph, name) == OBSERVE for name in before.next)):
        raise CannotTravel(
            "a user turn begins at this checkpoint, and with it the live version would speak; replay from the next "
            "checkpoint, at which the model is asked"
        )
    return {"versions": {**before.values.get("versions", {}), **versions}}


def module_of(graph: Agent, node: str) -> str:
    """The module of the function that ``node`` is; empty if it is none."""
    spec = graph.builder.nodes.get(node)
    made = (getattr(spec and spec.runnable, name, None) for name in ("func", "afunc", "story"))
    return getattr(next(filter(None, made), None), "__module__", "") or ""


def _at(graph: Agent, thread: str, checkpoint: str) -> StateSnapshot:
    saver = _saver(graph)
    before = graph.get_state(place_of(thread, checkpoint))
    namespaces = saver.tables.namespaces(thread)
    if before.created_at is None:
        inside = [ns for ns in namespaces if saver.get_tuple(place_of(thread, checkpoint, ns)) is not None]
        if inside:
            raise CannotTravel(
                f"checkpoint {checkpoint} lies inside the subgraph {inside[0]}; LangGraph would start the subgraph "
                f"anew, so fork or replay at the thread's own checkpoint before it (`threadmill threads tree {thread}`)"
            )
        raise UnknownThread(
            f"thread {thread!r} has no checkpoint {checkpoint!r}; try `threadmill threads tree {thread}`"
        )
    refuse_subgraphs_with_memory(namespaces, thread)
    return before


def _saver(graph: Agent) -> ThreadSaver:
    if not isinstance(graph.checkpointer, ThreadSaver):
        raise CannotTravel(
            f"the graph's checkpointer is {type(graph.checkpointer).__name__}; compile it with the saver of "
            "threadmill.checkpoints.open_store(url)"
        )
    return graph.checkpointer


def _speaker(graph: Agent, saver: ThreadSaver, before: StateSnapshot) -> str:
    """The node that brought the thread to ``before``: after a change the graph goes on from its edges."""
    if any(task.path and task.path[0] == PUSH for task in before.tasks):
        raise CannotTravel(
            "the calls of this checkpoint are already on their way, and a change of state would lose them; "
            "fork at the checkpoint before it"
        )
    if START in before.next:
        raise CannotTravel(
            "what the user said is not among the messages of this checkpoint yet, and a change of state would lose "
            "it; fork at the checkpoint after it"
        )
    noted = before.metadata or {}
    if "as_node" in noted:  # itself a change
        return noted["as_node"]
    above = graph.get_state(before.parent_config) if before.parent_config else None
    names = {task.name for task in above.tasks} if above else set()
    if noted.get("source") == "update" or above is None or above.metadata is None or not _follows(before, above):
        names = _seen_last(graph, saver, before)
    if len(names) != 1:
        raise CannotTravel(
            f"{len(names)} nodes may have run just before this checkpoint ({', '.join(sorted(names)) or 'none'}), so "
            "it is not clear whose edges to follow after a change; fork at another checkpoint"
        )
    return names.pop()


def _follows(before: StateSnapshot, above: StateSnapshot) -> bool:
    """Whether nothing that lay between the two was pruned."""
    return (before.metadata or {}).get("step") == (above.metadata or {}).get("step", 0) + 1


def _seen_last(graph: Agent, saver: ThreadSaver, before: StateSnapshot) -> set[str]:
    """The nodes that ran just before, as far as the checkpoint itself tells.

    A node notes the versions of the channels that woke it, which rise from step to step; one that was sent calls
    notes nothing, but its step used the calls up. A deferred node may have been woken long before it ran.
    """
    found = saver.get_tuple(before.config)
    assert found is not None
    if any(node.defer for node in graph.builder.nodes.values()):
        return set()
    seen = {
        node: max(map(_number, noted.values()), default=0)
        for node, noted in found.checkpoint["versions_seen"].items()
        if node == START or not node.startswith("__")  # those are LangGraph's own
    }
    last = max(seen.values(), default=0)
    if _number(found.checkpoint["channel_versions"].get(TASKS, "")) > last:
        last = 0
    return {node for node, number in seen.items() if number == last}


def _number(version: Any) -> int:
    return int(str(version).split(".")[0] or 0)


def _replacing(before: StateSnapshot, message: BaseMessage, by: str) -> BaseMessage:
    known: dict[str | None, BaseMessage] = {known.id: known for known in before.values.get("messages", [])}
    old = known.get(message.id)
    if old is None:
        raise UnknownThread(
            f"there is no message {message.id!r} at this checkpoint; there are {', '.join(map(repr, known)) or 'none'}"
        )
    if not (isinstance(old, AIMessage) and isinstance(message, AIMessage)):
        return message
    proposal = {
        "content": old.content,
        "tool_calls": old.tool_calls,
        "invalid_tool_calls": old.invalid_tool_calls,
    }
    edit = {
        "by": by,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "proposal": old.response_metadata.get(EDIT_KEY, {}).get("proposal", proposal),
    }
    return message.model_copy(
        update={
            "response_metadata": {**old.response_metadata, EDIT_KEY: edit},
            "additional_kwargs": {key: value for key, value in old.additional_kwargs.items() if key != "tool_calls"},
        }
    )
