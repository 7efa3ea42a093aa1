"""Which threads: conditions such as ``agent=helpdesk`` or ``reward>=0.5``, and the threads that meet them all."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from math import isfinite
from typing import Any

from sqlalchemy import func, select

from ..errors import BadWhere
from .labels import Label, labels_of
from .reading import time_of
from .store import Store
from .tables import LabelRow
from .threads import agent_of, as_utc, reward_within, versions_by_thread, wears_label

FORMS = (
    "agent=NAME, node=NAME, slot=NAME, version=NAME, task=PATTERN, thread=PATTERN, label=KIND or KIND=VALUE, "
    "reward>=N, reward<=N, reward=N, since=TIME, until=TIME, tag=NAME or KEY:VALUE"
)
_CONDITION = re.compile(r"\s*(\w+)\s*(>=|<=|=)\s*(.*?)\s*", re.DOTALL)
_ONE = ("agent", "version", "task", "thread", "since", "until")
_SEVERAL = {"node": "nodes", "slot": "slots", "label": "labels", "tag": "tags"}


@dataclass(frozen=True, slots=True)
class Where:
    """Conditions that must all hold; None and () ask nothing."""

    agent: str | None = None
    nodes: tuple[str, ...] = ()
    """Only the turns of these nodes are meant; which threads are, they do not say."""
    slots: tuple[str, ...] = ()
    """Only the turns of these slots are meant, beside those of ``nodes``; it tells agents in one thread apart."""
    version: str | None = None
    """Spoke anywhere in the thread."""
    task: str | None = None
    """A pattern such as ``simple-*``; ``thread`` too."""
    thread: str | None = None
    labels: tuple[str, ...] = ()
    """A kind such as ``success``, or a kind and its value: ``success=1``."""
    reward: tuple[float | None, float | None] = (None, None)
    """Both ends inclusive; of the last reward."""
    since: str | None = None
    """ISO 8601; the newest checkpoint is not older. ``until``: not newer."""
    until: str | None = None
    tags: tuple[str, ...] = ()
    """One of the metadata's ``tags`` (text with commas, as LangGraph stores no lists there), or ``key:value`` for any
    other entry of the metadata."""
    among: frozenset[str] | None = None
    """Only these threads, by their ids."""

    @property
    def writers(self) -> frozenset[str] | None:
        """Nodes and slots whose turns are meant; None is all."""
        return frozenset((*self.nodes, *self.slots)) or None

    def to_dict(self) -> dict[str, Any]:
        """What it asks, JSON-safe; of ``among`` how many there are, and their digest."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.among is not None:
            digest = sha256("\0".join(sorted(self.among)).encode()).hexdigest()
            said["among"] = {"threads": len(self.among), "digest": digest}
        asked = {name: value for name, value in said.items() if value not in (None, (), (None, None))}
        return {name: [*value] if isinstance(value, tuple) else value for name, value in asked.items()}


@dataclass(frozen=True, slots=True)
class Head:
    """A thread, and where it stands."""

    thread: str
    agent: str
    task: str | None
    checkpoint: str
    """The newest."""


def parse_where(conditions: Iterable[str]) -> Where:
    """The conditions as people write them.

    >>> parse_where(["agent=helpdesk", "reward>=0.5"])
    Where(agent='helpdesk', nodes=(), slots=(), version=None, task=None, thread=None, labels=(), reward=(0.5, None), \
since=None, until=None, tags=(), among=None)

    Raises:
        BadWhere: one is not of a form that is known.
    """
    found = Where()
    for text in conditions:
        condition = _CONDITION.fullmatch(text)
        key, sign, value = condition.groups() if condition else ("", "", "")
        if key == "reward":
            found = replace(found, reward=_range(found.reward, sign, value, text))
        elif sign != "=" or not value or key not in (*_ONE, *_SEVERAL):
            raise BadWhere(f"{text!r} is no condition; there are {FORMS}")
        elif key in _SEVERAL:
            name = _SEVERAL[key]
            found = replace(found, **{name: (*getattr(found, name), value)})
        elif getattr(found, key) is not None:
            raise BadWhere(f"{text!r} is the second condition on {key}; name one")
        else:
            found = replace(found, **{key: _time(value) if key in ("since", "until") else value})
    return found


def find_heads(store: Store, where: Where) -> list[Head]:
    """The threads that fit, those of one task together: in the order of task and thread as Python orders text."""
    table, latest = store.tables.checkpoints, store.tables.latest()
    query = (
        select(table.c.thread_id, table.c.checkpoint_id, table.c.noted)
        .join(latest, (table.c.thread_id == latest.c.thread_id) & (table.c.checkpoint_id == latest.c.checkpoint_id))
        .where(table.c.checkpoint_ns == "")
    )
    heads: list[Head] = []
    with store.engine.connect() as connection:
        for row in connection.execution_options(yield_per=500).execute(query):
            task = row.noted.get("task")
            head = Head(row.thread_id, agent_of(row.noted), None if task is None else str(task), row.checkpoint_id)
            if _fits(where, head) and all(_is_tagged(row.noted, tag) for tag in where.tags):
                heads.append(head)
    if where.version is not None:
        spoke = versions_by_thread(store, [head.thread for head in heads])
        heads = [head for head in heads if where.version in spoke.get(head.thread, ())]
    if where.labels or where.reward != (None, None):
        heads = [head for part in _parts(heads) for head in _labelled(store, part, where)]
    return sorted(heads, key=lambda head: (head.task or "", head.thread))


def state_of(store: Store, heads: Sequence[Head]) -> str:
    """A text that is another one as soon as any of the threads, or a label of any thread, has changed."""
    digest = sha256()
    for head in heads:
        digest.update(f"{head.thread}\0{head.checkpoint}\0".encode())
    if store.has_labels:
        told = select(func.count(LabelRow.id), func.max(LabelRow.id), func.max(LabelRow.created_at))  # ids come again
        digest.update(repr(store.tables.read(told)[0]).encode())
    return digest.hexdigest()


def _fits(where: Where, head: Head) -> bool:
    if where.among is not None and head.thread not in where.among:
        return False
    if where.agent is not None and head.agent != where.agent:
        return False
    if where.task is not None and not (head.task is not None and fnmatchcase(head.task, where.task)):
        return False
    if where.thread is not None and not fnmatchcase(head.thread, where.thread):
        return False
    at = time_of(head.checkpoint)
    return (where.since is None or at >= where.since) and (where.until is None or at <= where.until)


def _is_tagged(noted: Any, tag: str) -> bool:
    key, colon, value = tag.partition(":")
    tags = noted.get("tags", "")
    known = tags if isinstance(tags, list) else [word.strip() for word in str(tags).split(",")]
    return tag in known or (bool(colon) and str(noted.get(key)) == value)


def _parts(heads: Sequence[Head]) -> Iterable[Sequence[Head]]:
    return (heads[start : start + 500] for start in range(0, len(heads), 500))


def _labelled(store: Store, heads: Sequence[Head], where: Where) -> list[Head]:
    labels = labels_of(store, [head.thread for head in heads])
    return [head for head in heads if _wears(labels.get(head.thread, ()), where)]


def _wears(labels: Sequence[Label], where: Where) -> bool:
    return reward_within(labels, *where.reward) and all(wears_label(labels, wanted) for wanted in where.labels)


def _range(
    known: tuple[float | None, float | None], sign: str, value: str, text: str
) -> tuple[float | None, float | None]:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise BadWhere(f"{text!r} compares reward with no finite number; write reward>=0.5")
    return (known[0] if sign == "<=" else number, known[1] if sign == ">=" else number)


def _time(text: str) -> str:
    try:
        return as_utc(text)
    except ValueError as error:
        raise BadWhere(str(error)) from error
