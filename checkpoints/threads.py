"""List threads: which there are, where each stands, who spoke in it and what came of it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

from sqlalchemy import func, select

from .labels import Label, labels_of
from .pauses import pauses_at
from .reading import count_turns, time_of
from .rows import place_of
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


def list_threads(
    store: Store,
    *,
    agent: str | None = None,
    task: str | None = None,
    version: str | None = None,
    label: str | None = None,
    reward: tuple[float | None, float | None] = (None, None),
    status: Status | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[ThreadSummary]:
    """The threads that fit, ordered by id as Python orders text.

    States are read of the threads that are returned, and with a ``status`` of those that might have it until enough
    are found. ``version`` is one that spoke anywhere in the thread; ``label`` a kind such as ``success``, or a kind and
    its value, as in ``success=1``; ``reward`` a range, both ends inclusive, in which the last reward lies;
    ``since`` and ``until`` (ISO 8601, compared as UTC) enclose the time of the newest checkpoint.
    """
    low, high = (None if time is None else as_utc(time) for time in (since, until))
    needs_labels = label is not None or reward != (None, None)
    labels = labels_of(store) if needs_labels else {}
    fitting = [
        row
        for row in _heads(store, agent, task, version)
        if (label is None or wears_label(labels.get(row.thread_id, ()), label))
        and reward_within(labels.get(row.thread_id, ()), *reward)
        and (low is None or time_of(row.checkpoint_id) >= low)
        and (high is None or time_of(row.checkpoint_id) <= high)
    ]
    standing = ((row, None) for row in fitting) if status is None else _standing(store, fitting, status)
    found = [*islice(standing, offset, None if limit is None else offset + limit)]
    threads = [row.thread_id for row, _ in found]
    labels = labels if needs_labels else labels_of(store, threads)
    versions = versions_by_thread(store, threads)
    return [
        ThreadSummary(
            thread=row.thread_id,
            agent=agent_of(row.noted),
            task=row.noted.get("task"),
            status=stands or status_of(store, row.thread_id, row.checkpoint_id),
            turns=count_turns(store, row.thread_id),
            versions=versions.get(row.thread_id, ()),
            labels=tuple(labels.get(row.thread_id, ())),
            updated_at=time_of(row.checkpoint_id),
        )
        for row, stands in found
    ]


def versions_of(store: Store, thread: str) -> tuple[str, ...]:
    """The versions that the runs of ``thread`` were on."""
    return versions_by_thread(store, [thread]).get(thread, ())


def _heads(store: Store, agent: str | None, task: str | None, version: str | None) -> Sequence[Any]:
    """Thread, newest checkpoint and its metadata."""
    tables = store.tables
    table, latest = tables.checkpoints, tables.latest()
    query = (
        select(table.c.thread_id, table.c.checkpoint_id, table.c.noted)
        .join(latest, (table.c.thread_id == latest.c.thread_id) & (table.c.checkpoint_id == latest.c.checkpoint_id))
        .where(table.c.checkpoint_ns == "")
    )
    if agent is not None:
        query = query.where(
            func.coalesce(func.nullif(tables.noted("agent"), ""), tables.noted("lc_agent_name")) == agent
        )
    if task is not None:
        query = query.where(tables.noted("task") == task)
    rows = sorted(tables.read(query), key=lambda row: row.thread_id)  # PostgreSQL sorts as its locale does
    if version is None:
        return rows
    spoke = versions_by_thread(store, [row.thread_id for row in rows])
    return [row for row in rows if version in spoke.get(row.thread_id, ())]


def agent_of(noted: Any) -> str:
    """The agent of a thread: our runs note it, LangChain's agents under a name of their own."""
    return str(noted.get("agent") or noted.get("lc_agent_name") or "")


def _standing(store: Store, rows: Iterable[Any], status: Status) -> Iterator[tuple[Any, Status]]:
    """Those that stand so, one by one."""
    leaves_mark = {"paused": "__interrupt__", "failed": "__error__"}.get(status)
    if leaves_mark is not None:
        writes, latest = store.tables.writes, store.tables.latest()
        query = (
            select(writes.c.thread_id)
            .join(
                latest, (writes.c.thread_id == latest.c.thread_id) & (writes.c.checkpoint_id == latest.c.checkpoint_id)
            )
            .where(writes.c.checkpoint_ns == "", writes.c.channel == leaves_mark)
        )
        marked = {thread for (thread,) in store.tables.read(query)}
        rows = (row for row in rows if row.thread_id in marked)
    for row in rows:
        if status_of(store, row.thread_id, row.checkpoint_id) == status:
            yield row, status


def versions_by_thread(store: Store, threads: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Thread to the versions that its runs were on; threads without any are missing."""
    tables = store.tables
    table, noted = tables.checkpoints, tables.noted("versions")
    found: dict[str, set[str]] = {}
    for start in range(0, len(threads), 500):
        part = threads[start : start + 500]
        query = select(table.c.thread_id, noted).distinct()
        query = query.where(table.c.checkpoint_ns == "", table.c.thread_id.in_(part), noted.is_not(None))
        for thread, versions in tables.read(query):
            found.setdefault(thread, set()).update(json.loads(versions).values())
    return {thread: tuple(sorted(versions)) for thread, versions in found.items()}


def wears_label(labels: Sequence[Label], wanted: str) -> bool:
    """Whether a label is of the kind ``wanted``, such as ``success``, or of a kind and value: ``success=1``."""
    kind, _, value = wanted.partition("=")
    return any(label.kind == kind and (not value or _same(label.value, value)) for label in labels)


def reward_within(labels: Sequence[Label], low: float | None, high: float | None) -> bool:
    """Whether the last reward of a thread or checkpoint lies between ``low`` and ``high``, both inclusive."""
    if low is None and high is None:
        return True
    rewards = [float(label.value) for label in labels if label.kind == "reward" and label.message is None]
    return bool(rewards) and (low is None or rewards[-1] >= low) and (high is None or rewards[-1] <= high)


def _same(value: float | str, text: str) -> bool:
    if isinstance(value, str):
        return value == text
    try:
        return value == float(text)
    except ValueError:
        return False


def as_utc(time: str) -> str:
    """``time`` (ISO 8601) as UTC; without a zone it is taken to be UTC.

    Raises:
        ValueError: it is no time.
    """
    try:
        given = datetime.fromisoformat(time)
    except ValueError as error:
        raise ValueError(f"{time!r} is no time; write it as 2026-11-21 or 2026-11-21T08:30:00+00:00") from error
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def status_of(store: Store, thread: str, checkpoint: str) -> Status:
    """Where ``thread`` stands at ``checkpoint``, its newest."""
    found = store.reader.get_tuple(place_of(thread, checkpoint))
    if found is None:
        return "done"
    writes = found.pending_writes or []
    broken = {task for task, channel, _ in writes if channel == "__error__"}
    resumed = {task for task, channel, _ in writes if channel == "__resume__"}
    asking = [write for write in writes if write[0] not in broken & resumed]  # an answer that broke its task is taken
    if any(pause.answer is None for pause in pauses_at(asking)):
        return "paused"
    if broken:
        return "failed"
    values = found.checkpoint["channel_values"]
    return "running" if any(_waits(*channel) for channel in values.items()) else "done"


def _waits(channel: str, value: Any) -> bool:
    """Whether a step is pending because of ``value`` in ``channel``, by the names LangGraph gives its channels."""
    if channel.startswith("join:"):  # join:a+b:c holds those of a and b that have ended; c waits for all of them
        ended = value[0] if isinstance(value, (tuple, list)) else value
        return len(ended) == channel.removeprefix("join:").count("+") + 1
    return channel.startswith("branch:to:") or channel == "__start__" or (channel == "__pregel_tasks" and bool(value))
