"""New branches of a thread, written straight into its tree: a copy of a checkpoint to go on from, or a finished branch.

A branch begins with a checkpoint of its own, beside the one it was made from: equal state, the same steps still
to be done, and no trace of what was done from there before.
"""

import random
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, copy_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from ..errors import CannotTravel, UnknownThread
from .prune import CHANNEL, messages_at
from .rows import place_of
from .saver import ThreadSaver

_ANSWERED_BEFORE = {"parents", "counters_since_delta_snapshot"}
"""What LangGraph itself needs of a copied checkpoint's metadata."""


def branch_at(
    saver: ThreadSaver,
    thread: str,
    checkpoint: str,
    *,
    noted: Mapping[str, Any],
    values: Mapping[str, Any] | None = None,
    new_id: str | None = None,
    whole: bool = False,
) -> str:
    """Write a copy of ``checkpoint`` beside it and return the copy's id; it is the thread's newest one.

    ``noted`` is added to its metadata. ``values`` replace those of channels that trigger nothing, such as
    ``versions``. With ``whole`` its messages are stored as a snapshot.

    Raises:
        UnknownThread: there is no such checkpoint.
    """
    found = saver.get_tuple(place_of(thread, checkpoint))
    if found is None:
        raise UnknownThread(
            f"thread {thread!r} has no checkpoint {checkpoint!r}; see `threadmill threads tree {thread}`"
        )
    step = int(found.metadata.get("step", 0))
    before = found.checkpoint["channel_versions"]
    state: Any = whole_checkpoint(saver, found, values or {}) if whole else _changed(saver, found, values or {})
    state["id"] = new_id or str(uuid6(clock_seq=step))
    fresh = {
        channel: version for channel, version in state["channel_versions"].items() if version != before.get(channel)
    }
    above = checkpoint_of(found.parent_config)
    metadata: Any = {**_kept(found), **noted, "source": "fork", "step": step}
    saver.put(place_of(thread, above), state, metadata, fresh)
    return state["id"]


def begin_thread_at(
    saver: ThreadSaver,
    thread: str,
    checkpoint: str,
    target: str,
    *,
    noted: Mapping[str, Any],
    values: Mapping[str, Any] | None = None,
) -> str:
    """Begin the thread ``target`` with a copy of ``checkpoint``, complete in itself; the copy's id.

    ``noted`` and ``values`` as in ``branch_at``. The two threads know nothing of each other: both may run at once.

    Raises:
        UnknownThread: there is no such checkpoint.
        ThreadBusy: somebody drives ``target``.
    """
    found = saver.get_tuple(place_of(thread, checkpoint))
    if found is None:
        raise UnknownThread(
            f"thread {thread!r} has no checkpoint {checkpoint!r}; see `threadmill threads tree {thread}`"
        )
    step = int(found.metadata.get("step", 0))
    state: Any = whole_checkpoint(saver, found, values or {})
    state["id"] = str(uuid6(clock_seq=step))
    metadata: Any = {**_kept(found), **noted, "source": "fork", "step": step}
    with saver.leases.hold(target):
        saver.put(place_of(target, None), state, metadata, dict(state["channel_versions"]))
    return state["id"]


def checkpoint_of(config: RunnableConfig | None) -> str | None:
    """The checkpoint that a config names."""
    return config.get("configurable", {}).get("checkpoint_id") if config else None


def whole_checkpoint(saver: ThreadSaver, found: CheckpointTuple, values: Mapping[str, Any]) -> Any:
    """A copy of the checkpoint ``found`` with its messages as a snapshot, and ``values`` in their channels."""
    held = dict(values)
    if CHANNEL in found.checkpoint["channel_versions"]:
        held[CHANNEL] = _DeltaSnapshot(messages_at(saver, found))
    return _changed(saver, found, held)


def _changed(saver: ThreadSaver, found: CheckpointTuple, values: Mapping[str, Any]) -> Any:
    state: Any = copy_checkpoint(found.checkpoint)
    for channel, value in values.items():
        state["channel_values"][channel] = value
        state["channel_versions"][channel] = saver.get_next_version(state["channel_versions"].get(channel), None)
    return state


def refuse_subgraphs_with_memory(namespaces: list[str], thread: str) -> None:
    """Nothing, unless a subgraph keeps its state between its calls, which a branch could not take back.

    A node that calls a subgraph several times has a number behind its name and task from the second on.

    >>> refuse_subgraphs_with_memory(["observe:b889665a", "observe:b889665a|1"], "t")

    Raises:
        CannotTravel
    """
    parts = {namespace: namespace.split("|") for namespace in namespaces}
    lasting = sorted(
        namespace
        for namespace, path in parts.items()
        if ":" not in path[-1] and not (path[-1].isdecimal() and len(path) > 1 and ":" in path[-2])
    )
    if lasting:
        raise CannotTravel(
            f"thread {thread!r} has the subgraph {', '.join(lasting)}, which keeps a state of its own from call to "
            "call (checkpointer=True); that state cannot be taken back, so such a thread is not forked or replayed"
        )


def ids_beside(checkpoint: str, taken: set[str]) -> Iterator[str]:
    """Ids in rising order next to ``checkpoint``, none ``taken``: nothing made earlier or later comes between.

    A branch with such ids does not become the thread's newest, for which LangGraph takes the greatest id: they sort
    behind ``checkpoint``, but before it if it is the newest itself. Later branches sort behind earlier ones.
    """
    number = UUID(checkpoint).int
    numbers = {UUID(name).int for name in taken}
    newest = max(numbers, default=0)
    near = [one for one in numbers if one < newest and one >> _MACHINE_BITS == number >> _MACHINE_BITS]
    begin = max(near) if near else number - number % (1 << _MACHINE_BITS) // 2
    begin += random.SystemRandom().getrandbits(24)
    return (name for place in count(begin + 1) if (name := str(UUID(int=place))) not in taken)


_MACHINE_BITS = 48
"""The end of an id, which says nothing about time or order."""


def _kept(found: CheckpointTuple) -> dict[str, Any]:
    handed_on = (str, int, float, bool)
    return {
        key: value
        for key, value in found.metadata.items()
        if key in _ANSWERED_BEFORE or key == "versions" or isinstance(value, handed_on)
    }
