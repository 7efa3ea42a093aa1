"""GRPO episodes of the helpdesk: the policy in training plays tasks through the real graph, as threads."""

from collections import Counter
from collections.abc import Sequence

from ..checkpoints.data_sets import record_data_set
from ..checkpoints.reading import read_messages
from ..checkpoints.store import Store
from ..nodes.models.local import LocalChatModel
from ..nodes.models.slot import Slot
from .recipes.grpo import GroupRow
from .recipes.report import TrainingReport
from .rollout import run_tasks
from .trajectory import read_trajectory
from .worlds.helpdesk.prompt import SLOT
from .worlds.helpdesk.tasks import Task


class HelpdeskRollout:
    """Plays tasks by their ids; every episode is a thread ``grpo-…`` in ``store``."""

    def __init__(self, store: Store, tasks: Sequence[Task], *, seed: int, prefix: str = "grpo") -> None:
        self.store = store
        self.tasks = {task.id: task for task in tasks}
        self.seed = seed
        self.prefix = prefix
        self.threads: list[str] = []
        """The episodes so far."""

    def __call__(self, model: LocalChatModel, task_ids: Sequence[str], step: int) -> list[GroupRow]:
        """One row per id, in order; an id that occurs n times is played n times."""
        slot = Slot.fixed(SLOT, model, model.version)
        repeats = Counter(task_ids)
        rows: dict[str, list[GroupRow]] = {}
        for count in sorted(set(repeats.values())):
            tasks = [self.tasks[task] for task, times in repeats.items() if times == count]
            episodes = run_tasks(
                self.store,
                tasks,
                slot,
                trials=count,
                seed=self.seed + step,
                prefix=f"{self.prefix}-{step:04d}-",
            )
            for episode in episodes:
                self.threads.append(episode.thread)
                rows.setdefault(episode.task, []).append(self._row(episode.thread, episode.reward))
        return [rows[task].pop(0) for task in task_ids]

    def record(self, report: TrainingReport) -> None:
        """Remember whose threads ``report`` was trained on, so that none is forgotten by half."""
        digest = report.config["data"]["digest"]
        record_data_set(self.store, digest=digest, kind="grpo", folder=str(report.out), threads=self.threads)

    def _row(self, thread: str, reward: float) -> GroupRow:
        trajectory = read_trajectory(read_messages(self.store, thread))[-1]
        first, *rest = trajectory.spans
        return GroupRow(
            prompt_ids=list(first.tokens),
            completion_ids=[token for span in rest for token in span.tokens],
            env_mask=[int(span.origin == "sampled") for span in rest for _ in span.tokens],
            logprobs=[value for span in rest for value in (span.logprobs or (0.0,) * len(span.tokens))],
            reward=reward,
        )
