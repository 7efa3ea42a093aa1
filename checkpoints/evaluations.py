"""Evaluations as they are kept: what was evaluated, every trial, and what it amounts to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import UnknownEvaluation
from .store import Store
from .tables import EvaluationRow, TrialRow, now

AT_ONCE = 500
"""Threads asked for in one query."""


@dataclass(frozen=True, slots=True)
class RecordedEvaluation:
    """One model on one list of tasks."""

    id: str
    suite: str
    versions: dict[str, str]
    """Slot to the version that was evaluated."""
    k: int
    settings: dict[str, Any]
    status: str
    """``running`` (or interrupted) or ``done``."""
    summary: dict[str, Any] | None
    """None until it is done."""
    created_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class RecordedTrial:
    """One trial of one task."""

    task: str
    trial: int
    tier: str
    thread: str
    success: bool
    reward: float
    measured: dict[str, Any]
    """What the metrics counted."""


def begin_evaluation(
    store: Store, evaluation: str, *, suite: str, versions: Mapping[str, str], k: int, settings: Mapping[str, Any]
) -> None:
    """Note that ``evaluation`` runs; one that is known already keeps its trials and goes on."""
    with Session(store.engine) as session, session.begin():
        if session.get(EvaluationRow, evaluation) is None:
            row = EvaluationRow(
                id=evaluation, suite=suite, versions=dict(versions), k=k, settings=dict(settings), status="running"
            )
            session.add(row)


def add_trial(store: Store, evaluation: str, trial: RecordedTrial) -> None:
    """Keep one trial that has ended; a second record of it takes the place of the first."""
    with Session(store.engine) as session, session.begin():
        session.merge(
            TrialRow(
                evaluation=evaluation,
                task=trial.task,
                trial=trial.trial,
                tier=trial.tier,
                thread=trial.thread,
                success=trial.success,
                reward=trial.reward,
                measured=trial.measured,
            )
        )


def end_evaluation(store: Store, evaluation: str, summary: Mapping[str, Any]) -> None:
    """Note that all trials of ``evaluation`` are there, and what they amount to."""
    with Session(store.engine) as session, session.begin():
        row = session.get_one(EvaluationRow, evaluation)
        row.status, row.summary, row.finished_at = "done", dict(summary), now()


def trials_of(store: Store, evaluation: str) -> list[RecordedTrial]:
    """The trials of ``evaluation`` that have ended, by task and number; none if nobody began it."""
    query = select(TrialRow).where(TrialRow.evaluation == evaluation).order_by(TrialRow.task, TrialRow.trial)
    with Session(store.engine) as session:
        return [
            RecordedTrial(row.task, row.trial, row.tier, row.thread, row.success, row.reward, row.measured)
            for row in session.scalars(query)
        ]


def trials_in(store: Store, threads: Sequence[str]) -> list[RecordedTrial]:
    """The trials that any evaluation recorded of ``threads``; several evaluations may have one of them."""
    with Session(store.engine) as session:
        return [
            RecordedTrial(row.task, row.trial, row.tier, row.thread, row.success, row.reward, row.measured)
            for start in range(0, len(threads), AT_ONCE)
            for row in session.scalars(select(TrialRow).where(TrialRow.thread.in_(threads[start : start + AT_ONCE])))
        ]


def list_evaluations(store: Store, *, suite: str | None = None, version: str | None = None) -> list[RecordedEvaluation]:
    """Evaluations, newest first; only those of a suite, or those in which a version answered."""
    query = select(EvaluationRow).order_by(EvaluationRow.created_at.desc(), EvaluationRow.id)
    if suite is not None:
        query = query.where(EvaluationRow.suite == suite)
    with Session(store.engine) as session:
        rows = [_recorded(row) for row in session.scalars(query)]
    return [row for row in rows if version is None or version in row.versions.values()]


def read_evaluation(store: Store, evaluation: str) -> RecordedEvaluation:
    """One evaluation.

    Raises:
        UnknownEvaluation
    """
    with Session(store.engine) as session:
        row = session.get(EvaluationRow, evaluation)
        if row is None:
            raise UnknownEvaluation(
                f"no evaluation {evaluation!r} in {store.name}; `threadmill eval SUITE --model SPEC` makes one"
            )
        return _recorded(row)


def _recorded(row: EvaluationRow) -> RecordedEvaluation:
    return RecordedEvaluation(
        id=row.id,
        suite=row.suite,
        versions=dict(row.versions),
        k=row.k,
        settings=dict(row.settings),
        status=row.status,
        summary=row.summary,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
