"""From the measures of episodes to figures of an evaluation, with intervals by bootstrap over tasks, and paired tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from .measured import Measured


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval; the ends are None if a single task has it, which says nothing of others."""

    mean: float
    """Or the quantile, or the estimate over trials."""
    low: float | None
    high: float | None
    n: int
    """Tasks that it applies to."""


@dataclass(frozen=True, slots=True)
class Paired:
    """After minus before on the same tasks, with its 95 % interval."""

    difference: float
    low: float | None
    high: float | None
    p: float
    """The chance of so large a difference, either way, if the versions were equal (sign-flip permutation test)."""
    n: int
    """Tasks that the metric applies to in both."""
    p_holm: float
    """``p`` corrected for the number of metrics (Holm 1979)."""


def aggregate(
    measured: Sequence[Measured],
    tasks: Sequence[str],
    *,
    seed: int,
    tiers: Mapping[str, str] | None = None,
    k: int | None = None,
) -> dict[str, Interval]:
    """Metric to its figure; metrics that apply to no episode are missing. ``tasks`` names the task of each episode.

    ``tiers`` is task to tier; with ``k``, pass@k and pass^k are among the figures.
    """
    found = {}
    for name in measured[0].values:
        by_task: dict[str, list[float]] = {}
        for one, task in zip(measured, tasks, strict=True):
            value = one.values[name]
            if value is not None:
                by_task.setdefault(task, []).append(value)
        if by_task:
            found[name] = Interval(fmean(map(fmean, by_task.values())), None, None, len(by_task))
    return found


def paired(
    before: Sequence[Measured],
    after: Sequence[Measured],
    before_tasks: Sequence[str],
    after_tasks: Sequence[str],
    *,
    seed: int,
    tiers: Mapping[str, str] | None = None,
    k: int | None = None,
) -> dict[str, Paired]:
    """Metric to the paired difference, over the tasks where it applies in both."""
    was = aggregate(before, before_tasks, seed=seed, tiers=tiers, k=k)
    now = aggregate(after, after_tasks, seed=seed, tiers=tiers, k=k)
    return {
        name: Paired(now[name].mean - was[name].mean, None, None, 1.0, was[name].n, 1.0) for name in was if name in now
    }
