"""Write a record as a thread with its labels, all or nothing; what is there already stays as it is."""

from collections.abc import Iterator
from hashlib import sha256
from json import dumps
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from sqlalchemy.exc import OperationalError, StatementError

from ...errors import StoreFull, ThreadBusy, ThreadmillError, UnknownThread
from ..copies import snapshot
from ..reading import latest_metadata
from ..record_writer import RecordWriter
from ..store import Store
from ..tables import now
from .record import CANNED_KEY, TOOLS_KEY, BadRow, Record
from .thread_rows import rows_of_thread


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
        messages = list(_with_tools(record))
        for row in rows_of_thread(store.saver, messages, _parents(record), metadata, checkpoints):
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
