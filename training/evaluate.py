"""From finished episodes to numbers: success by tier, pass^k, what a task costs, before against after.

Running the episodes is ``rollout.py``'s part, the arithmetic that of ``statistics.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..errors import BadEvaluation
from .statistics import Difference, paired_difference, pass_hat_k

if TYPE_CHECKING:
    from rich.table import Table

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
    """Tier to ``tasks``, ``success``, ``reward`` and ``pass_hat_k``, tiers in the order they came."""
    pass_at_1: float
    """Mean success over the tiers: every tier weighs the same, every task within it too."""
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
        by_tier[tier] = {
            "tasks": len(tasks),
            "success": _mean([_mean([attempt.success for attempt in task]) for task in tasks]),
            "reward": _mean([_mean([attempt.reward for attempt in task]) for task in tasks]),
            "pass_hat_k": _mean([pass_hat_k(len(task), sum(attempt.success for attempt in task), k) for task in tasks]),
        }
    return Summary(
        k=k,
        by_tier=by_tier,
        pass_at_1=_mean([values["success"] for values in by_tier.values()]),
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


def summary_table(summary: Summary, title: str) -> "Table":
    """A table of one version: tiers as rows, then what a task costs."""
    from rich.table import Table

    table = Table("", "success", f"pass^{summary.k}", "reward", title=title, title_justify="left")
    for tier, values in summary.by_tier.items():
        table.add_row(tier, *(f"{values[name]:.1%}" for name in ("success", "pass_hat_k", "reward")))
    table.add_section()
    table.add_row("mean of tiers", f"{summary.pass_at_1:.1%}", f"{summary.pass_hat_k:.1%}", style="bold")
    table.add_section()
    for name, value in summary.metrics.items():
        table.add_row(_per_task(name), f"{value:.2f}")
    _align_right(table)
    return table


def comparison_table(comparison: Comparison) -> "Table":
    """A table of both versions side by side: success by tier, pass^k, what a task costs."""
    from rich.table import Table

    before, after, difference = comparison.before, comparison.after, comparison.difference
    table = Table("", "before", "after", "difference", title="Held-out tasks", title_justify="left")
    for tier, change in difference.by_tier.items():
        was, now = before.by_tier[tier]["success"], after.by_tier[tier]["success"]
        table.add_row(f"{tier} success", f"{was:.1%}", f"{now:.1%}", f"{change:+.1%}")
    table.add_section()
    table.add_row(
        "mean success",
        f"{before.pass_at_1:.1%}",
        f"{after.pass_at_1:.1%}",
        f"{difference.mean:+.1%} ({difference.low:+.1%} to {difference.high:+.1%})",
        style="bold",
    )
    change = after.pass_hat_k - before.pass_hat_k
    table.add_row(f"pass^{after.k}", f"{before.pass_hat_k:.1%}", f"{after.pass_hat_k:.1%}", f"{change:+.1%}")
    table.add_section()
    for name in METRICS:
        was, now = before.metrics[name], after.metrics[name]
        table.add_row(_per_task(name), f"{was:.2f}", f"{now:.2f}", f"{now - was:+.2f}")
    _align_right(table)
    return table


def _by_task(episodes: Sequence[Attempt]) -> dict[str, list[Attempt]]:
    trials: dict[str, list[Attempt]] = {}
    for episode in episodes:
        trials.setdefault(episode.task, []).append(episode)
    return trials


def _successes(episodes: Sequence[Attempt]) -> dict[str, list[float]]:
    return {task: [float(attempt.success) for attempt in attempts] for task, attempts in _by_task(episodes).items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _per_task(metric: str) -> str:
    return f"{metric.replace('_', ' ')} per task"


def _align_right(table: "Table") -> None:
    for column in table.columns[1:]:
        column.justify = "right"
