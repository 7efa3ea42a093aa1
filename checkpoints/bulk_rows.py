"""Rows of many threads in a few queries: which checkpoints there are, what chosen ones hold, and what was written.

Nothing is decoded that nobody asks for: a cell is a function that gives a channel's value.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from langgraph.checkpoint.serde.base import SerializerProtocol
from sqlalchemy import TextClause, select, text

from .prune import CHANNEL
from .rows import ThreadTables

Cell = Callable[[], Any]
ROOT = "__root__"
"""The channel of a graph that names none."""
EDITED = "hitl_edited_tool_calls"
"""Where LangChain's middleware keeps the edits that people made."""
WANTED = (CHANNEL, ROOT, EDITED)
ASKED = "__interrupt__"


Tree = dict[str, dict[str, str | None]]
"""Namespace to its checkpoints, each with the one before it."""


class Place(NamedTuple):
    """A checkpoint."""

    thread: str
    namespace: str
    checkpoint: str


@dataclass(frozen=True, slots=True)
class State:
    """What a checkpoint holds."""

    metadata: dict[str, Any]
    cells: Mapping[str, Cell]
    """Of the ``WANTED`` channels those whose values are stored there, whole or as a snapshot."""
    written: bool
    """Whether anything was written into the messages, there or before."""


class Seed(NamedTuple):
    """Where the messages of a chain of checkpoints begin."""

    at: int
    """The place in the chain."""
    cell: Cell


class Write(NamedTuple):
    """What one task wrote into a channel."""

    place: Place
    channel: str
    task_path: str
    task: str
    number: int
    kind: str
    content: bytes


class BulkRows(ABC):
    """The rows of one database; what can't be read comes as the error, for each checkpoint of its own."""

    given: str
    """A table of the parameter ``places``, its columns, and what it has in common with another one called ``own``."""

    def __init__(self, tables: ThreadTables, serde: SerializerProtocol) -> None:
        self.tables, self.serde = tables, serde

    @abstractmethod
    def states(self, places: Sequence[Place]) -> dict[Place, State | Exception]:
        """What the checkpoints hold."""

    @abstractmethod
    def seeds(self, chains: Sequence[Sequence[Place]]) -> list[Seed | Exception | None]:
        """For each chain of checkpoints the first that holds the messages, whole or as a snapshot; None if none."""

    def trees(self, threads: Sequence[str]) -> dict[str, Tree]:
        """Thread to its tree; unknown threads are missing."""
        table = self.tables.checkpoints
        query = select(table.c.thread_id, table.c.checkpoint_ns, table.c.checkpoint_id, table.c.parent_checkpoint_id)
        found: dict[str, Tree] = {}
        for thread, namespace, checkpoint, parent in self.tables.read(query.where(table.c.thread_id.in_(threads))):
            tree = found.get(thread)
            if tree is None:
                tree = found[thread] = {}
            own = tree.get(namespace)
            if own is None:
                own = tree[namespace] = {}
            own[checkpoint] = parent
        return found

    def writes_at(self, places: Sequence[Place]) -> Iterator[Write]:
        """What was written into the messages at these checkpoints."""
        table = self.tables.writes
        query = self.query(
            f"SELECT own.thread_id, own.checkpoint_ns, own.checkpoint_id, own.channel, {self.task_path}, own.task_id, "
            f"own.idx, own.type, own.{table.c.value.name} FROM {self.given.format(own=table.name)} "
            f"WHERE own.channel = '{CHANNEL}'",
            places,
        )
        return (Write(Place(*row[:3]), *row[3:]) for row in self.tables.read(query))

    def writes_of(self, threads: Sequence[str]) -> Iterator[Write]:
        """What was ever written into the messages, and the questions that were asked."""
        table = self.tables.writes
        place = (table.c.thread_id, table.c.checkpoint_ns, table.c.checkpoint_id)
        columns = (table.c.channel, self.tables.task_path(), table.c.task_id, table.c.idx, table.c.type, table.c.value)
        chosen = table.c.thread_id.in_(threads), table.c.channel.in_((CHANNEL, ASKED))
        return (Write(Place(*row[:3]), *row[3:]) for row in self.tables.read(select(*place, *columns).where(*chosen)))

    @property
    def task_path(self) -> str:
        """The column of that name; older databases have none."""
        return "own.task_path" if "task_path" in self.tables.writes.c else "''"

    def query(self, statement: str, places: Sequence[Place]) -> TextClause:
        """``statement`` about ``places``."""
        return text(statement).bindparams(places=json.dumps(places))
