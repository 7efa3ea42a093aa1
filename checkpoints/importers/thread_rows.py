"""The rows of a thread, made without running a graph: thousands of runs would take minutes.

They are those of a graph whose node ``imported`` says one message a step; where a run splits into paths, each further
one begins with a copy of the checkpoint before it, as forks do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from ..saver import ThreadSaver
from ..tables import now
from ..typed import as_json
from .record import SERDE

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Said:
    """Where a message stands once it is written: its checkpoint, and what the next one needs to know."""

    checkpoint: str
    above: str
    versions: dict[str, str]
    length: int
    """Messages on its path so far."""
    since: tuple[int, int]
    """Messages and steps since the last snapshot; (0, 0) if there is one here."""


def rows_of_thread(
    saver: ThreadSaver,
    messages: Sequence[BaseMessage],
    parents: Sequence[int],
    metadata: Row,
    checkpoints: dict[str | None, str],
) -> Iterator[Row]:
    """The rows, for ``RecordWriter``; ``checkpoints`` learns at which of them each message was said.

    ``parents`` are the places of the messages before each one; the first message alone has none, and -1 says so.
    """
    root, start, task = _id(-1), saver.get_next_version(None, None), str(uuid4())
    noted = {"source": "input", "step": -1, "parents": {}, "counters_since_delta_snapshot": {"messages": [0, 1]}}
    given = {"__start__": {"messages": [messages[0]], "versions": {}}}
    yield _checkpoint(root, None, given, {"__start__": start}, {"__input__": {}}, {**metadata, **noted})
    yield _write(root, task, 0, "messages", [messages[0]], "__start__")
    yield _write(root, task, 1, "versions", {}, "__start__")

    def state(id_: str, place: int, said: _Said, source: str) -> Row:
        values: Row = {"versions": {}}
        noted: Row = {"source": source, "step": said.length - 1, "parents": {}, "versions": {}}
        if said.since == (0, 0):
            values["messages"] = _DeltaSnapshot(_path(messages, parents, place))
        else:
            noted["counters_since_delta_snapshot"] = {"messages": list(said.since)}
        seen = {"__input__": {}, "__start__": {"__start__": start}}
        return _checkpoint(id_, said.above, values, said.versions, seen, {**metadata, **noted})

    written: list[_Said] = []
    continued: set[int] = set()
    for place, (message, parent) in enumerate(zip(messages, parents, strict=True)):
        before = _Said(root, "", {"__start__": start}, 0, (0, 1)) if parent < 0 else written[parent]
        above = before.checkpoint
        if parent in continued:  # what is written there belongs to the path that went on from it
            above = _id(before.length - 1)
            yield state(above, parent, before, "fork")
        continued.add(parent)
        if parent >= 0:
            yield _write(above, str(uuid4()), 0, "messages", [message], "imported")
        versions = {**before.versions, "messages": saver.get_next_version(before.versions.get("messages", start), None)}
        if parent < 0:
            versions |= {name: versions["messages"] for name in ("__start__", "versions")}
        length, (updates, steps) = before.length + 1, (part + 1 for part in before.since)
        since = (0, 0) if updates >= max(4, length // 8) else (updates, steps)
        written.append(_Said(_id(length - 1), above, versions, length, since))
        checkpoints[message.id] = written[-1].checkpoint
        yield state(written[-1].checkpoint, place, written[-1], "loop")


def _path(messages: Sequence[BaseMessage], parents: Sequence[int], place: int) -> list[BaseMessage]:
    path: list[BaseMessage] = []
    while place >= 0:
        path.append(messages[place])
        place = parents[place]
    return path[::-1]


def _checkpoint(id_: str, above: str | None, values: Row, versions: dict[str, str], seen: Row, metadata: Row) -> Row:
    updated = ["__start__"] if above is None else ["messages"]
    fields = {"v": 4, "ts": now(), "id": id_, "channel_versions": versions, "versions_seen": seen}
    return {
        "record": "checkpoint",
        "namespace": "",
        "id": id_,
        "parent": above,
        "checkpoint": {**fields, "updated_channels": updated},
        "values": {name: as_json(SERDE.dumps_typed(value)) for name, value in values.items()},
        "metadata": metadata,
    }


def _write(checkpoint: str, task: str, index: int, channel: str, value: Any, node: str) -> Row:
    return {
        "record": "write",
        "namespace": "",
        "checkpoint": checkpoint,
        "task": task,
        "path": f"~__pregel_pull, {node}",
        "index": index,
        "channel": channel,
        "value": as_json(SERDE.dumps_typed(value)),
    }


def _id(step: int) -> str:
    return str(uuid6(clock_seq=step))
