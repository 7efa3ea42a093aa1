"""Episodes read back from stored threads, and what they earned written beside them.

Components are kept in one label of kind ``feedback`` with the source ``rewards``, as JSON: see
``docs/decisions/0021-components-are-feedback.md``. The labels ``reward`` and ``success`` stay those of the suite.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from ...checkpoints.branch import branch_messages, questions_and_answers, read_steps
from ...checkpoints.inner import read_inner
from ...checkpoints.labels import Label, add_labels, labels_of
from ...checkpoints.reading import checkpoint_tree
from ...checkpoints.rows import place_of
from ...checkpoints.store import Store
from ...checkpoints.writers import slots_noted
from ...errors import ContextOverflow
from ..branches import Outcome, read_outcome
from ..rollout import status_of
from ..suites import Judged, Suite, SuiteTask
from .compose import Scored
from .finished import Finished, Status, make_finished

SOURCE = "rewards"


def read_finished(store: Store, thread: str, *, suite: Suite | None = None, task: SuiteTask | None = None) -> Finished:
    """The newest branch of ``thread`` that is no recorded replay, as rewards see it.

    Its judgement is what its labels say: k/n from a reward between 0 and 1, unless a success says that all came true;
    None without labels. ``suite`` and ``task`` add what only they know: tier, text, the expected answer and the
    shortest solution.

    Raises:
        UnknownThread
        BadTrace: its recorded tokens are damaged.
    """
    nodes = checkpoint_tree(store, thread)
    parents = {node.parent for node in nodes}
    leaves = [node for node in nodes if node.checkpoint not in parents]
    played = [node for node in leaves if node.metadata.get("replay") != "recorded"]
    leaf = (played or leaves)[-1]
    steps = read_steps(store, thread, leaf.checkpoint)
    outcome = read_outcome(
        labels_of(store, [thread]).get(thread, []),
        [step.checkpoint for step in steps],
        only_leaf=len(leaves) == 1,
    )
    answered = [pair for step in steps for pause in step.pauses for pair in questions_and_answers(pause)]
    judged = judged_by(outcome)
    if suite is not None and task is not None and judged is not None:
        judged = replace(judged, expected=_expected(suite, task))
    messages = branch_messages(store, thread, leaf.checkpoint)
    inner = read_inner(store, thread, leaf.checkpoint)
    finished = make_finished(
        thread,
        messages,
        task=task,
        judged=judged,
        needed=suite.needed(task) if suite is not None and task is not None else None,
        approved=[question["id"] for question, answer in answered if answer and answer["type"] in ("approve", "edit")],
        inner=inner,
        slots=slots_noted([*messages, *(message for one in inner for message in one.messages)], leaf.metadata),
    )
    status = _status(store, thread, leaf.checkpoint, finished, waiting=any(answer is None for _, answer in answered))
    return replace(finished, status=status, task=finished.task or str(leaf.metadata.get("task") or ""))


def judged_by(outcome: Outcome) -> Judged | None:
    """What labels say, as met of all conditions in lowest terms; None if they say nothing of the sort.

    >>> judged_by(Outcome(success=False, reward=2 / 3)), judged_by(Outcome(success=True, reward=1.4))
    (Judged(met=2, conditions=3, expected=None), Judged(met=1, conditions=1, expected=None))
    """
    reward, success = outcome.reward, outcome.success
    if success or (success is None and reward == 1.0):
        return Judged(1, 1)
    if reward is not None and 0 <= reward < 1:
        share = Fraction(reward).limit_denominator(10_000)
        return Judged(share.numerator, share.denominator)
    return None if success is None else Judged(0, 1)


def record_scores(store: Store, scored: Mapping[str, Scored], weights: Mapping[str, float]) -> None:
    """Keep what threads earned, and by which weights; the newest record of a thread counts."""
    add_labels(
        store,
        [Label(thread, None, None, "feedback", _write(one, weights), SOURCE) for thread, one in scored.items()],
    )


def read_scores(store: Store, threads: Sequence[str] | None = None) -> dict[str, Scored]:
    """Thread to its newest record; threads without one are missing. None means all threads."""
    found: dict[str, Scored] = {}
    for thread, labels in labels_of(store, threads).items():
        for label in labels:
            if label.kind == "feedback" and label.source == SOURCE:
                said = json.loads(str(label.value))
                found[thread] = Scored(said["total"], said["components"], said.get("notes", {}))
    return found


def _write(scored: Scored, weights: Mapping[str, float]) -> str:
    said = {"total": scored.total, "components": scored.components, "weights": dict(weights)}
    return json.dumps(said | ({"notes": scored.notes} if scored.notes else {}))


def _expected(suite: Suite, task: SuiteTask) -> str | None:
    """The right answer, asked for in a world anew."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "world"
        suite.start(task, place)
        try:
            return suite.judge(task, place, []).expected
        finally:
            suite.close(place)


def _status(store: Store, thread: str, checkpoint: str, finished: Finished, *, waiting: bool) -> Status:
    if waiting:
        return "paused"
    found = store.reader.get_tuple(place_of(thread, checkpoint))
    writes = (found.pending_writes or []) if found else []
    errors = [str(error) for _, channel, error in writes if channel == "__error__"]
    if errors:
        return "truncated" if all(error.startswith(ContextOverflow.__name__) for error in errors) else "failed"
    return status_of(finished.messages)
