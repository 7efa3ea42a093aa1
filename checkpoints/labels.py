"""Labels: what came of a thread, a checkpoint or a message, and who says so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from ..errors import StoreFull
from .store import Store
from .tables import LabelRow

Kind = Literal["reward", "success", "preference", "feedback"]
NUMERIC = ("reward", "success")
"""Kinds that are compared and averaged, so their values must be numbers."""


@dataclass(frozen=True, slots=True)
class Label:
    """One outcome; about the whole thread if neither checkpoint nor message is named."""

    thread: str
    checkpoint: str | None
    message: str | None
    kind: Kind
    value: float | str
    source: str

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"{self.kind!r} is no kind of label; there are {', '.join(get_args(Kind))}")
        if self.kind in NUMERIC and not (isinstance(self.value, (int, float)) and isfinite(self.value)):
            raise ValueError(f"a label of kind {self.kind!r} needs a finite number, not {self.value!r}")


def add_label(store: Store, label: Label) -> None:
    """Add one label; earlier ones stay."""
    add_labels(store, [label])


def add_labels(store: Store, labels: Iterable[Label]) -> None:
    """Add labels, all or none.

    Raises:
        StoreFull: the disk is full.
    """
    rows = [
        LabelRow(
            thread=label.thread,
            checkpoint=label.checkpoint,
            message=label.message,
            kind=label.kind,
            value=label.value,
            source=label.source,
        )
        for label in labels
    ]
    try:
        with Session(store.engine) as session, session.begin():
            session.add_all(rows)
    except OperationalError as error:
        if "disk is full" not in str(error):
            raise
        raise StoreFull(
            f"no room for labels in {store.name}; what was finished is kept, make room and go on"
        ) from error


def labels_of(store: Store, threads: Sequence[str] | None = None) -> dict[str, list[Label]]:
    """Thread to its labels, oldest first; all threads if None. Threads without labels are missing."""
    found: dict[str, list[Label]] = {}
    if not store.has_labels:
        return {}
    query = select(LabelRow).order_by(LabelRow.id)
    with Session(store.engine) as session:
        if threads is None:
            rows = list(session.scalars(query))
        else:
            rows = [
                row
                for start in range(0, len(threads), 500)
                for row in session.scalars(query.where(LabelRow.thread.in_(threads[start : start + 500])))
            ]
        for row in rows:
            label = Label(row.thread, row.checkpoint, row.message, _kind(row.kind), row.value, row.source)
            found.setdefault(row.thread, []).append(label)
    return found


def labels_of_kind(store: Store, kind: Kind) -> list[Label]:
    """All labels of one kind, oldest first."""
    if not store.has_labels:
        return []
    with Session(store.engine) as session:
        rows = session.scalars(select(LabelRow).where(LabelRow.kind == kind).order_by(LabelRow.id))
        return [Label(row.thread, row.checkpoint, row.message, kind, row.value, row.source) for row in rows]


def _kind(text: str) -> Kind:
    return next(kind for kind in get_args(Kind) if kind == text)
