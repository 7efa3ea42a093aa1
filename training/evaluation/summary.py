"""From finished episodes to numbers: success by tier, pass@k, pass^k, what a task costs, before against after.

Running the episodes is the part of ``run.py``, the arithmetic that of ``statistics.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ...errors import BadEvaluation
from ..statistics import Difference, paired_difference, pass_at_k, pass_hat_k

METRICS = ("steps", "calls", "failed_calls", "invalid_calls", "unneeded_calls", "sampled_tokens")


class Attempt(Protocol):
    """One trial of one task; ``episode.Episode`` is one."""

    @property
    def task(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def reward(self) -> float: ...
    @property
    def success(self) -> bool: ...
    @property
    def steps(self) -> int: ...
    @property
    def calls(self) -> int: ...
    @property
    def failed_calls(self) -> int: ...
    @property
    def invalid_calls(self) -> int: ...
    @property
    def unneeded_calls(self) -> int: ...
    @property
    def sampled_tokens(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Summary:
    """What a list of episodes amounts to."""

    k: int
    by_tier: dict[str, dict[str, float]]
    """Tier to ``tasks``, ``success``, ``reward``, ``pass_at_k`` and ``pass_hat_k``, tiers in the order they came."""
    pass_at_1: float
    """Mean success over the tiers: every tier weighs the same, every task within it too."""
    pass_at_k: float
    """The chance that at least one of k trials of a task succeeds, averaged likewise."""
    pass_hat_k: float
    """The chance that k trials of a task all succeed, averaged likewise."""
    metrics: dict[str, float]
    """Means over the episodes of each name in ``METRICS``."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions on the same tasks."""

    before: Summary
    after: Summary
    difference: Difference
    """Of success."""


def summarise(episodes: Sequence[Attempt], *, k: int | None = None) -> Summary:
    """Success, pass^k and metrics of ``episodes``; without ``k`` it is the smallest number of trials.

    Raises:
        BadEvaluation: there are no episodes, or a task has fewer than ``k``.
    """
    if not episodes:
        raise BadEvaluation("there are no episodes to summarise; run at least one task")
    trials = _by_task(episodes)
    if k is None:
        k = min(len(attempts) for attempts in trials.values())
    by_tier: dict[str, dict[str, float]] = {}
    for tier in dict.fromkeys(episode.tier for episode in episodes):
        tasks = [attempts for attempts in trials.values() if attempts[0].tier == tier]
        counts = [(len(task), sum(attempt.success for attempt in task)) for task in tasks]
        by_tier[tier] = {
            "tasks": len(tasks),
            "success": _mean([_mean([attempt.success for attempt in task]) for task in tasks]),
            "reward": _mean([_mean([attempt.reward for attempt in task]) for task in tasks]),
            "pass_at_k": _mean([pass_at_k(n, c, k) for n, c in counts]),
            "pass_hat_k": _mean([pass_hat_k(n, c, k) for n, c in counts]),
        }
    return Summary(
        k=k,
        by_tier=by_tier,
        pass_at_1=_mean([values["success"] for values in by_tier.values()]),
        pass_at_k=_mean([values["pass_at_k"] for values in by_tier.values()]),
        pass_hat_k=_mean([values["pass_hat_k"] for values in by_tier.values()]),
        metrics={name: _mean([getattr(episode, name) for episode in episodes]) for name in METRICS},
    )


def compare(before: Sequence[Attempt], after: Sequence[Attempt], *, k: int, seed: int) -> Comparison:
    """Both summaries and the paired difference of success; ``seed`` is the bootstrap's.

    Raises:
        BadEvaluation: the episodes are of different tasks, or too few.
    """
    tiers = {episode.task: episode.tier for episode in before}
    difference = paired_difference(_successes(before), _successes(after), tiers=tiers, seed=seed)
    return Comparison(summarise(before, k=k), summarise(after, k=k), difference)


def _by_task(episodes: Sequence[Attempt]) -> dict[str, list[Attempt]]:
    trials: dict[str, list[Attempt]] = {}
    for episode in episodes:
        trials.setdefault(episode.task, []).append(episode)
    return trials


def _successes(episodes: Sequence[Attempt]) -> dict[str, list[float]]:
    return {task: [float(attempt.success) for attempt in attempts] for task, attempts in _by_task(episodes).items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
