"""Read many threads at once: the messages at the end of every branch, with who wrote them and what people decided.

A few queries serve a whole part of the threads, and only the ends of branches are put together: what stands whole
in a checkpoint is read from there, what is stored as deltas from the nearest snapshot on.
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from sqlalchemy.exc import DatabaseError, OperationalError

from ..errors import BadCheckpoint, ThreadmillError
from .branch import IMPORTED, OURS, with_decisions
from .bulk_postgres import PostgresRows
from .bulk_rows import ASKED, EDITED, ROOT, BulkRows, Place, Seed, State, Tree, Write
from .bulk_sqlite import SqliteRows
from .messages import merge_messages
from .prune import CHANNEL
from .reading import latest_checkpoint
from .store import Store
from .stored_messages import load
from .writers import writers_logged, writers_noted

MOST_THREADS = 32
"""Threads that are read together,"""
MOST_CHECKPOINTS = 6000
"""unless they have more checkpoints than this."""
STRIDE = 64
"""How many checkpoints are looked through at once for a snapshot that is not where it should be."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """The end of a branch of a thread, or of a conversation that a subgraph had in it."""

    checkpoint: str
    namespace: str
    """Empty, or that of the subgraph."""
    path: tuple[str, ...]
    """Its checkpoints, the leaf first."""
    metadata: Mapping[str, Any]
    messages: tuple[AnyMessage, ...]
    """With people's decisions written into them, also in threads of agents that are not ours."""
    writers: Mapping[str, str]
    """Message of a model to the node that wrote it, where that is known."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """What became of reading a thread: its leaves, oldest first, those of subgraphs last; or why there are none."""

    thread: str
    leaves: tuple[Leaf, ...]
    error: ThreadmillError | None = None


@dataclass(slots=True)
class _Thread:
    """A thread that is being read."""

    name: str
    tree: Tree
    leaves: list[Place] = field(default_factory=list)
    newest: Place | None = None
    messages: dict[Place, list[AnyMessage]] = field(default_factory=dict)
    """At each leaf, as they are stored."""
    writers: dict[Place, dict[str, str]] = field(default_factory=dict)
    """At each leaf, as far as the messages themselves say who wrote them."""
    knows_writers: bool = True
    foreign: bool = False
    trouble: Exception | None = None

    def path(self, leaf: Place) -> list[Place]:
        """From the leaf to the root."""
        return [Place(self.name, leaf.namespace, checkpoint) for checkpoint in self.ids(leaf)]

    def ids(self, leaf: Place) -> list[str]:
        """The same as ids."""
        parents = self.tree[leaf.namespace]
        ids: dict[str, None] = {}
        at: str | None = leaf.checkpoint
        while at in parents and at not in ids:  # an id that was put again below itself would never end
            ids[at] = None
            at = parents[at]
        return list(ids)


def read_leaves(store: Store, threads: Sequence[str]) -> Iterator[Leaves]:
    """The leaves of ``threads``, in their order; whatever is wrong with one stops none of the others."""
    rows = (PostgresRows if store.tables.postgres else SqliteRows)(store.tables, store.serde)
    for start in range(0, len(threads), MOST_THREADS):
        part = threads[start : start + MOST_THREADS]
        trees = rows.trees(part)
        for few in _in_parts(part, trees):
            yield from _read(store, rows, few, trees)


def _in_parts(threads: Sequence[str], trees: Mapping[str, Tree]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for thread in threads:
        more = sum(map(len, trees.get(thread, {}).values()))
        if part and size + more > MOST_CHECKPOINTS:
            yield part
            part, size = [], 0
        part.append(thread)
        size += more
    if part:
        yield part


def _read(store: Store, rows: BulkRows, names: Sequence[str], trees: Mapping[str, Tree]) -> Iterator[Leaves]:
    try:
        with _collector_paused():
            found = _Part(store, rows, [_thread(name, trees.get(name, {})) for name in names]).read()
    except OperationalError:
        raise
    except DatabaseError as error:  # a damaged page, say: one of the threads has it
        if len(names) > 1:
            for name in names:
                yield from _read(store, rows, [name], trees)
            return
        found = [Leaves(names[0], (), _as_ours(names[0], error))]
    yield from found


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Python's search for garbage finds none among objects that have just been read, and takes a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _thread(name: str, tree: Tree) -> _Thread:
    thread = _Thread(name, tree)
    for namespace in sorted(tree):
        inner = set(tree[namespace].values())
        ends = sorted(checkpoint for checkpoint in tree[namespace] if checkpoint not in inner)
        thread.leaves += [Place(name, namespace, end) for end in ends]
    if "" in tree:
        thread.newest = Place(name, "", max(tree[""]))
    return thread


class _Part:
    """Some threads, read together."""

    def __init__(self, store: Store, rows: BulkRows, threads: Sequence[_Thread]) -> None:
        self.store, self.rows, self.threads = store, rows, threads
        self.states: dict[Place, State | Exception] = {}
        self.chains: dict[Place, Sequence[Place]] = {}
        """From a leaf that does not hold its messages up to a checkpoint that does, or to the root."""
        self.seeds: dict[Place, Seed | Exception | None] = {}
        self.writes: dict[Place, list[Write]] = {}

    def read(self) -> list[Leaves]:
        """The threads, in their order."""
        known = [thread for thread in self.threads if thread.newest is not None]
        ends = {place for thread in known for place in (*thread.leaves, thread.newest) if place is not None}
        self.states = self.rows.states(list(ends))
        self._find_seeds(known)
        between = {place for chain in self.chains.values() for place in chain}
        for write in sorted(self.rows.writes_at(list(between)), key=_order):
            self.writes.setdefault(write.place, []).append(write)
        for thread in known:
            try:
                self._put_together(thread)
            except Exception as error:  # whatever it is, the other threads can be read
                thread.trouble = error
        sound = [thread for thread in known if thread.trouble is None]
        asking = {thread.name: thread for thread in sound if thread.foreign or not thread.knows_writers}
        logs: dict[str, list[Write]] = {}
        for write in sorted(self.rows.writes_of(list(asking)), key=_order):
            logs.setdefault(write.place.thread, []).append(write)
        return [self._finish(thread, logs.get(thread.name, ())) for thread in self.threads]

    def _find_seeds(self, threads: Sequence[_Thread]) -> None:
        """Fill ``chains`` and ``seeds``."""
        paths: dict[Place, list[Place]] = {}
        reach: dict[Place, int] = {}
        for thread in threads:
            for leaf in thread.leaves:
                state = self.states.get(leaf)
                if isinstance(state, State) and state.written and state.cells.keys().isdisjoint((CHANNEL, ROOT)):
                    reach[leaf] = _steps_since_snapshot(state.metadata) or STRIDE
                    paths[leaf] = thread.path(leaf)[1:]
        looked: dict[Place, int] = dict.fromkeys(paths, 0)
        while waiting := [leaf for leaf in paths if leaf not in self.seeds]:
            parts = [paths[leaf][looked[leaf] : looked[leaf] + reach[leaf]] for leaf in waiting]
            for leaf, part, seed in zip(waiting, parts, self.rows.seeds(parts), strict=True):
                if isinstance(seed, Seed):
                    seed = Seed(looked[leaf] + seed.at, seed.cell)
                looked[leaf] += len(part)
                reach[leaf] = STRIDE
                if seed is not None or looked[leaf] == len(paths[leaf]):
                    self.seeds[leaf] = seed
                    self.chains[leaf] = paths[leaf][: seed.at + 1] if isinstance(seed, Seed) else paths[leaf]

    def _put_together(self, thread: _Thread) -> None:
        """The messages at every leaf, as they are stored."""
        newest = thread.newest and self.states[thread.newest]
        if isinstance(newest, Exception):
            raise newest
        assert newest is not None
        thread.foreign = newest.metadata.keys().isdisjoint(OURS)
        read: dict[Any, Any] = {}
        for leaf in thread.leaves:
            state = self.states[leaf]
            if isinstance(state, Exception):
                raise state
            found: list[Any] = [one for one in self._messages(leaf, state, read) if isinstance(one, BaseMessage)]
            thread.messages[leaf] = found
            thread.writers[leaf] = noted = writers_noted(found, state.metadata)
            if IMPORTED not in state.metadata:
                thread.knows_writers &= all(m.id in noted for m in found if isinstance(m, AIMessage))

    def _messages(self, leaf: Place, state: State, read: dict[Any, Any]) -> Sequence[Any]:
        """As ``prune.messages_at`` finds them; ``read`` holds what was decoded for other branches."""
        for channel in (CHANNEL, ROOT):
            if channel in state.cells:
                return merge_messages(_list(state.cells[channel]()), [])
        if leaf not in self.seeds:
            return []
        seed = self.seeds[leaf]
        if isinstance(seed, Exception):
            raise seed
        values = []
        for place in reversed(self.chains[leaf]):
            for write in self.writes.get(place, ()):
                key = (place, write.task, write.number)
                if key not in read:
                    read[key] = load(self.store.serde, (write.kind, write.content))
                values.append(read[key])
        return merge_messages(_list(seed.cell()) if seed else [], values)

    def _finish(self, thread: _Thread, log: Sequence[Write]) -> Leaves:
        """What is read of the thread."""
        try:
            if thread.newest is None:
                latest_checkpoint(self.store, thread.name)  # raises UnknownThread
            if thread.trouble is not None:
                raise thread.trouble
            return Leaves(thread.name, tuple(self._leaf(thread, leaf, log) for leaf in thread.leaves))
        except Exception as error:
            return Leaves(thread.name, (), _as_ours(thread.name, error))

    def _leaf(self, thread: _Thread, leaf: Place, log: Sequence[Write]) -> Leaf:
        state, messages, ids = self.states[leaf], thread.messages[leaf], thread.ids(leaf)
        assert isinstance(state, State)
        own = [write for write in log if write.place.namespace == leaf.namespace and write.channel == CHANNEL]
        writers = writers_logged(self.store, own, messages) | thread.writers[leaf]
        if thread.foreign and not leaf.namespace:
            asked = [write.place for write in log if write.channel == ASKED]
            edited = state.cells[EDITED]() if EDITED in state.cells else None
            messages = with_decisions(self.store, thread.path(leaf), messages, asked, edited)
        return Leaf(leaf.checkpoint, leaf.namespace, tuple(ids), state.metadata, tuple(messages), writers)


def _order(write: Write) -> Any:
    """LangGraph applies what was written at a checkpoint in this order."""
    return write.place, write.task_path, write.task, write.number


def _steps_since_snapshot(metadata: Mapping[str, Any]) -> int:
    """As LangGraph counts them; 0 if it does not."""
    counted = metadata.get("counters_since_delta_snapshot") or {}
    return int(counted[CHANNEL][1]) if CHANNEL in counted else 0


def _list(stored: Any) -> list[Any]:
    value = getattr(stored, "value", stored)
    return list(value) if isinstance(value, (list, tuple)) else []


def _as_ours(thread: str, error: Exception) -> ThreadmillError:
    if isinstance(error, ThreadmillError):
        return error
    return BadCheckpoint(f"thread {thread!r} holds a checkpoint that cannot be read: {error!r}")
