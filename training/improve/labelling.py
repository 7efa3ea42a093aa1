"""Judge finished threads that nobody has judged: by rewards that the user names, or by the suite whose task it is.

A suite can judge a thread only while the thread's world is there, or if its tasks have none: an episode's messages
alone do not say what became of a database.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...checkpoints.labels import Label
from ...checkpoints.store import Store
from ...checkpoints.where import Head
from ...errors import BadReward, UnknownSuite
from ..credit.tasks import find_tasks
from ..jsonl_suite import JsonlSuite
from ..rewards.compose import Rewards, Scored, score
from ..rewards.finished import Finished
from ..rewards.stored import read_finished
from ..rollout import source_of, to_judge, worlds_folder
from ..suites import Judged, Suite
from .threads import Threads

REWARDS = "rewards"
"""The source of labels that a rewards file gave."""


@dataclass
class Labelled:
    """What was found out; nothing of it is written yet."""

    labels: list[Label] = field(default_factory=list)
    scored: dict[str, Scored] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Thread to why it still has no label."""


def judge_threads(store: Store, threads: Threads, *, suite: Suite | None, rewards: Rewards | None) -> Labelled:
    """Labels for the unjudged ``threads``; nothing is written."""
    if rewards is not None:
        return _by_rewards(store, threads, suite, rewards)
    if suite is not None:
        return _by_suite(store, threads, suite)
    return Labelled()


def _by_rewards(store: Store, threads: Threads, suite: Suite | None, rewards: Rewards) -> Labelled:
    """The threads of a task are scored together, judged ones too, for some rewards compare."""
    unjudged = {head.thread: (head, finished) for head, finished in threads.unjudged}
    wanted = {head.task for head, _ in unjudged.values()} - {None}
    tasks = tasks_of(suite, [task for task in wanted if task])
    groups: dict[str, list[Finished]] = defaultdict(list)
    for head in [head for head, _ in unjudged.values()] + [head for head in threads.judged if head.task in wanted]:
        task = tasks.get(head.task or "")
        groups[head.task or f"\0{head.thread}"].append(read_finished(store, head.thread, suite=suite, task=task))
    found = Labelled()
    for group in groups.values():
        try:
            scored = score(group, rewards)
        except BadReward as error:
            found.refused |= {one.thread: str(error) for one in group if one.thread in unjudged}
            continue
        for one, earned in zip(group, scored, strict=True):
            if one.thread in unjudged:
                found.labels.append(Label(one.thread, None, None, "reward", earned.total, REWARDS))
                found.scored[one.thread] = earned
    return found


def _by_suite(store: Store, threads: Threads, suite: Suite) -> Labelled:
    found = Labelled()
    tasks = tasks_of(suite, [head.task for head, _ in threads.unjudged if head.task])
    folder = worlds_folder(store)
    for head, finished in threads.unjudged:
        task = tasks.get(head.task or "")
        if task is None:
            found.refused[head.thread] = f"it is of no task of the suite {suite.name}"
            continue
        try:
            judged = _judge(suite, task, folder, head, finished)
        except Exception as error:  # one thread must not stop all others
            found.refused[head.thread] = f"the suite {suite.name} failed to judge it: {type(error).__name__}: {error}"
            continue
        if judged is None:
            found.refused[head.thread] = "its world is gone, and without it the suite cannot judge it"
        else:
            source = source_of(suite)
            found.labels.append(Label(head.thread, None, None, "reward", judged.reward, source))
            found.labels.append(Label(head.thread, None, None, "success", float(judged.success), source))
    return found


def _judge(suite: Suite, task: Any, folder: Path, head: Head, finished: Finished) -> Judged | None:
    place = folder / head.thread
    if place.exists() or not _has_a_world(suite, task):
        return suite.judge(task, place, to_judge(suite, finished.messages, finished.inner))
    return None


def _has_a_world(suite: Suite, task: Any) -> bool:
    """Whether an episode of the task has anything on disk that its end could be read from."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "world"
        suite.start(task, place)
        there = place.exists()
        suite.close(place)
    return there


def tasks_of(suite: Suite | None, ids: Iterable[str]) -> dict[str, Any]:
    """Id to task, for those ids that are of ``suite``."""
    wanted = [*dict.fromkeys(ids)]
    if suite is None or not wanted:
        return {}
    if isinstance(suite, JsonlSuite):
        return {task.id: task for task in suite.everything if task.id in wanted}
    try:
        return find_tasks(suite, wanted)
    except UnknownSuite:
        if len(wanted) == 1:
            return {}
        return {task: one for name in wanted for task, one in tasks_of(suite, [name]).items()}
