"""Which threads of an agent a round may learn from, and who has judged them.

Left out are threads that were played to measure (evaluations), those that a training run played for itself (GRPO has
learnt from them already), and those that wait for an answer or broke off. Held-out tasks are left out later, by the
export, which knows them by their words, too.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from ...checkpoints.labels import Label, labels_of
from ...checkpoints.store import Store
from ...checkpoints.tables import TrialRow
from ...checkpoints.threads import versions_by_thread
from ...checkpoints.where import Head, Where, find_heads
from ...errors import ThreadmillError
from ..evaluation.identity import PREFIX
from ..rewards.finished import Finished
from ..rewards.stored import read_finished

EVALUATED = "played in an evaluation"
IN_TRAINING = "played by a training run for itself"
UNFINISHED = "not finished"
NOBODY = "nobody has judged them"
_IN_TRAINING = re.compile(r"grpo-.*-[0-9a-f]{6}@\d{4}")
"""What the policy of a GRPO run is called while it is trained."""


@dataclass
class Threads:
    """The threads of an agent, sorted."""

    judged: list[Head] = field(default_factory=list)
    """A reward or a success is known of them."""
    unjudged: list[tuple[Head, Finished]] = field(default_factory=list)
    """Finished, and nobody has said how well."""
    by_source: Counter[str] = field(default_factory=Counter)
    """Who has judged how many threads."""
    left_out: Counter[str] = field(default_factory=Counter)


def sort_threads(store: Store, agent: str) -> Threads:
    """All threads of ``agent``."""
    heads = find_heads(store, Where(agent=agent))
    names = [head.thread for head in heads]
    evaluated, spoke, labels = evaluated_threads(store), versions_by_thread(store, names), labels_of(store, names)
    found = Threads()
    for head in heads:
        if head.thread in evaluated or PREFIX.match(head.thread):  # a crash or a kill leaves some unrecorded
            found.left_out[EVALUATED] += 1
        elif any(_IN_TRAINING.fullmatch(version) for version in spoke.get(head.thread, ())):
            found.left_out[IN_TRAINING] += 1
        elif judge := judge_of(labels.get(head.thread, ())):
            found.judged.append(head)
            found.by_source[judge] += 1
        elif (finished := _finished(store, head)) is None:
            found.left_out[UNFINISHED] += 1
        else:
            found.unjudged.append((head, finished))
    return found


def judge_of(labels: Sequence[Label]) -> str | None:
    """Who said last how well a thread, or a branch of it, went; None if nobody did."""
    said = [label for label in labels if label.kind in ("reward", "success") and label.message is None]
    return said[-1].source if said else None


def evaluated_threads(store: Store) -> set[str]:
    """Threads that are trials of an evaluation, whoever asked for it."""
    if not knows_evaluations(store):
        return set()
    with Session(store.engine) as session:
        return {*session.scalars(select(TrialRow.thread))}


def knows_evaluations(store: Store) -> bool:
    """Whether the database has room for evaluations; one that is only read may be of before there were any."""
    return not store.read_only or inspect(store.engine).has_table(TrialRow.__tablename__)


def _finished(store: Store, head: Head) -> Finished | None:
    try:
        finished = read_finished(store, head.thread)
    except ThreadmillError:  # a thread that cannot be read; the export says of each why
        return None
    return finished if finished.status in ("done", "truncated") else None
