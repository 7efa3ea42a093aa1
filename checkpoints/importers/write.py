"""Write a record as a real thread, all or nothing: a checkpoint for each message, as a graph would have left them.

No graph is run: thousands of runs would take minutes. The rows are those of a graph whose node ``imported`` says one
message a step; where a run splits into paths, each further one begins with a copy of the checkpoint before it, as
forks do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from sqlalchemy.exc import OperationalError, StatementError

from ...errors import StoreFull, ThreadBusy, ThreadmillError, UnknownThread
from ..copies import snapshot
from ..reading import latest_metadata
from ..record_writer import RecordWriter
from ..saver import ThreadSaver
from ..store import Store
from ..tables import now
from ..typed import as_json
from .record import CANNED_KEY, SERDE, TOOLS_KEY, BadRow, Record


@dataclass(frozen=True, slots=True)
class _Said:
    """Where a message stands once it is written: its checkpoint, and what the next one needs to know."""

    checkpoint: str
    above: str
    versions: dict[str, str]
    messages: tuple[BaseMessage, ...]
    since: tuple[int, int]
    """Messages and steps since the last snapshot."""


def write_record(store: Store, record: Record, source: str, format: str) -> int | None:
    """Write the thread with its labels: how many labels; None if it is there already.

    Raises:
        BadRow: there is another run under the same id, this database cannot hold it, or somebody else writes it.
        StoreFull, ReadOnly
    """
    store.saver.check_may_write({"configurable": {"thread_id": record.thread}})
    digest = digest_of_run(record)
    try:
        with store.leases.hold(record.thread):
            if _is_there(store, record.thread, digest):
                return None
            return _write(store, record, {"source_file": source, "format": format, "digest": digest})
    except OperationalError as error:
        if "disk is full" not in str(error) and "No space left" not in str(error):
            raise
        raise StoreFull(f"no room in {store.name}; what was imported is kept, make room and import again") from error
    except ThreadBusy as error:
        raise BadRow(f"{error}; import it again") from error
    except (BadRow, ThreadmillError):
        raise
    except (StatementError, ValueError, TypeError, OverflowError) as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise BadRow(f"it cannot be kept in {store.name}: {reason}") from error


def _is_there(store: Store, thread: str, digest: str) -> bool:
    try:
        known = latest_metadata(store, thread)
    except UnknownThread:
        return False
    if known.get("digest", digest) != digest:
        raise BadRow(
            f"there is a thread {thread!r} with another content already, from {known.get('source_file')}; "
            "if it is a run of another model, name that in the file's name"
        )
    return True


def _write(store: Store, record: Record, origin: dict[str, Any]) -> int:
    about = {"agent": record.agent, "task": record.task, "trial": record.trial, "model": record.model}
    about |= {**record.metadata, **origin}
    metadata = {key: value for key, value in about.items() if value is not None}
    labels = list(_labels(record))
    with snapshot(store, to_write=True) as connection:
        writer = RecordWriter(store, connection, record.thread)
        checkpoints: dict[str | None, str] = {}
        for row in _rows(store.saver, record, metadata, checkpoints):
            writer.add(row)
        for at, message, kind, value in labels:
            where = {"checkpoint": None if at is None else checkpoints[at], "message": message}
            label = {"kind": kind, "value": value, "source": origin["format"], "created_at": now()}
            writer.add({"record": "label", **where, **label})
        writer.flush()
    return len(labels)


def digest_of_run(record: Record) -> str:
    """The same for the same run, whichever file it comes from, and whatever else is noted of it."""
    said: list[Any] = [record.parents]
    for message in record.messages:
        calls = [*message.tool_calls, *message.invalid_tool_calls] if isinstance(message, AIMessage) else []
        said.append([message.type, message.content, [[call["name"], call["args"]] for call in calls]])
    outcome = [record.reward, record.success, record.turn_rewards, record.labels, record.endings]
    return sha256(dumps([said, outcome], sort_keys=True).encode()).hexdigest()[:16]


def _labels(record: Record) -> Iterator[tuple[str | None, str | None, str, float | str]]:
    """Message whose checkpoint is meant, message that is meant, kind and value; for the whole thread neither."""
    for message, value in record.turn_rewards:
        yield None, message, "reward", value
    for message, kind, value in record.labels:
        yield None, message, kind, value
    for message, kind, value in record.endings:
        yield message, None, kind, value
    if record.reward is not None:
        yield None, None, "reward", record.reward
    success = record.success
    if success is None and record.reward is not None:
        success = float(record.reward == 1.0)
    if success is not None:
        yield None, None, "success", success


def _with_tools(record: Record) -> Iterator[BaseMessage]:
    """The messages of ``record``; on every path the first answer of a model has a note of its tools."""
    knows: list[bool] = []
    for message, parent in zip(record.messages, _parents(record), strict=True):
        known = parent >= 0 and knows[parent]
        is_answer = isinstance(message, AIMessage) and not message.response_metadata.get(CANNED_KEY)
        if record.tools and is_answer and not known:
            notes = {**message.response_metadata, TOOLS_KEY: list(record.tools)}
            message = message.model_copy(update={"response_metadata": notes})
        knows.append(known or is_answer)
        yield message


def _parents(record: Record) -> tuple[int, ...]:
    return record.parents or tuple(range(-1, len(record.messages) - 1))


def _rows(
    saver: ThreadSaver, record: Record, metadata: dict[str, Any], checkpoints: dict[str | None, str]
) -> Iterator[dict[str, Any]]:
    """The rows of the thread; ``checkpoints`` learns at which of them each message was said."""
    messages = list(_with_tools(record))
    root = _id(-1)
    start = saver.get_next_version(None, None)
    yield _checkpoint(
        root,
        None,
        {"__start__": {"messages": [messages[0]], "versions": {}}},
        {"__start__": start},
        {"__input__": {}},
        {
            **metadata,
            "source": "input",
            "step": -1,
            "parents": {},
            "counters_since_delta_snapshot": {"messages": [0, 1]},
        },
    )
    task = str(uuid4())
    yield _written(root, task, 0, "messages", [messages[0]], "__start__")
    yield _written(root, task, 1, "versions", {}, "__start__")
    said: list[_Said] = []
    continued: set[int] = set()
    for message, parent in zip(messages, _parents(record), strict=True):
        before = _Said(root, "", {"__start__": start}, (), (0, 1)) if parent < 0 else said[parent]
        above = before.checkpoint
        if parent >= 0 and parent in continued:  # what is written there belongs to the path that went on from it
            above = _id(len(before.messages) - 1)
            yield _state(above, before.above, before, start, {**metadata, "source": "fork"})
        continued.add(parent)
        told = (*before.messages, message)
        if parent >= 0:
            yield _written(above, str(uuid4()), 0, "messages", [message], "imported")
        versions = {**before.versions, "messages": saver.get_next_version(before.versions.get("messages", start), None)}
        if parent < 0:
            versions |= {name: versions["messages"] for name in ("__start__", "versions")}
        updates, steps = (part + 1 for part in before.since)
        since = (0, 0) if updates >= max(4, len(told) // 8) else (updates, steps)
        said.append(_Said(_id(len(told) - 1), above, versions, told, since))
        checkpoints[message.id] = said[-1].checkpoint
        yield _state(said[-1].checkpoint, above, said[-1], start, {**metadata, "source": "loop"})


def _state(id_: str, above: str, said: _Said, start: str, metadata: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"versions": {}}
    metadata = {**metadata, "step": len(said.messages) - 1, "parents": {}, "versions": {}}
    if said.since == (0, 0):
        values["messages"] = _DeltaSnapshot(list(said.messages))
    else:
        metadata["counters_since_delta_snapshot"] = {"messages": list(said.since)}
    seen = {"__input__": {}, "__start__": {"__start__": start}}
    return _checkpoint(id_, above, values, said.versions, seen, metadata)


def _checkpoint(
    id_: str,
    above: str | None,
    values: dict[str, Any],
    versions: dict[str, str],
    seen: dict[str, Any],
    metadata: dict[str, Any],
) -> dict[str, Any]:
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


def _written(checkpoint: str, task: str, index: int, channel: str, value: Any, node: str) -> dict[str, Any]:
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
