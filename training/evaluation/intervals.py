"""From the measures of episodes to the figures of an evaluation, with intervals, and to paired tests of two.

Intervals are percentiles of a bootstrap over tasks (Efron and Tibshirani 1993, chapter 13), drawn within each tier, or
over all where a tier has one task. A task's trials stay together, because they say less than as many tasks would.
Quantiles are resampled as quantiles, a fifth as often. Where the resamples of a share do not differ, the interval is
that of ``bound_alike``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import BadEvaluation
from ..rewards.trends import holm
from ..statistics import EACH_END, RESAMPLES, ROUNDING, bound_alike
from .measured import Measured
from .metrics import METRICS, Metric
from .permutations import p_of_means, p_of_quantiles
from .task_table import AT_ONCE, SAMPLES, TaskTable, make_table, means, metrics_of, quantiles, shared_samples

Ends = tuple[float | None, float | None]


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
    """The chance of so large a difference, either way, if the versions were equal: a permutation test over tasks."""
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
    """Metric to its figure, in the order of ``METRICS``; those that apply to no episode are missing.

    ``tasks`` names the task of each episode, ``tiers`` the tier of each task; without, there is one tier. With ``k``
    pass@k and pass^k are among the figures. Equal episodes and seeds give equal figures, whatever their order.

    Raises:
        BadEvaluation: a task has fewer than ``k`` trials.
    """
    table = make_table(measured, tasks, tiers or {}, k)
    if not table.tasks:
        return {}
    rng = np.random.default_rng(seed)
    drawn = _draw(table, rng, RESAMPLES)
    found = {
        metric.name: Interval(mean, *ends, n)
        for metric, n, mean, ends in _means_with_ends(table, table.values, drawn, lowest=0.0)
    }
    for kind in SAMPLES:
        samples = table.samples[kind]
        if not samples.tasks:
            continue
        exact, resampled = quantiles(samples, _once(table))[:, 0], quantiles(samples, drawn[: RESAMPLES // 5])
        for place, metric in enumerate(metrics_of(kind)):
            ends = _ends(resampled[place], samples.tasks)
            found[metric.name] = Interval(float(exact[place]), *ends, samples.tasks)
    return {metric.name: found[metric.name] for metric in METRICS if metric.name in found}


def aggregate_by_tier(
    measured: Sequence[Measured], tasks: Sequence[str], *, seed: int, tiers: Mapping[str, str], k: int | None = None
) -> dict[str, dict[str, Interval]]:
    """Tier to what ``aggregate`` says of its tasks alone, tiers in the order they come."""
    found = {}
    for tier in dict.fromkeys(tiers[task] for task in tasks):
        own = [(one, task) for one, task in zip(measured, tasks, strict=True) if tiers[task] == tier]
        found[tier] = aggregate([one for one, _ in own], [task for _, task in own], seed=seed, k=k)
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
    """Metric to the paired difference, over the tasks where it applies in both; means as in ``aggregate``.

    Raises:
        BadEvaluation: the two are of different tasks, or a task has fewer than ``k`` trials.
    """
    was, now = make_table(before, before_tasks, tiers or {}, k), make_table(after, after_tasks, tiers or {}, k)
    if was.tasks != now.tasks:
        lone = sorted({*was.tasks} ^ {*now.tasks})
        raise BadEvaluation(
            f"{len(lone)} tasks are in one evaluation only, {lone[0]!r} among them; "
            "evaluate both versions on the same tasks"
        )
    if not was.tasks:
        return {}
    rng = np.random.default_rng(seed)
    drawn = _draw(was, rng, RESAMPLES)
    changes = now.values - was.values
    chances = p_of_means(was, changes, rng)
    found = {
        metric.name: Paired(mean, *ends, chances[metric.name], n, 1.0)
        for metric, n, mean, ends in _means_with_ends(was, changes, drawn, lowest=-1.0)
    }
    for kind in SAMPLES:
        old, new = shared_samples(was.samples[kind], now.samples[kind])
        if not old.tasks:
            continue
        few = drawn[: RESAMPLES // 5]
        exact = quantiles(new, _once(was))[:, 0] - quantiles(old, _once(was))[:, 0]
        resampled = quantiles(new, few) - quantiles(old, few)
        for place, (metric, p) in enumerate(zip(metrics_of(kind), p_of_quantiles(old, new, rng), strict=True)):
            found[metric.name] = Paired(float(exact[place]), *_ends(resampled[place], old.tasks), p, old.tasks, 1.0)
    return _corrected({metric.name: found[metric.name] for metric in METRICS if metric.name in found})


def _corrected(found: dict[str, Paired]) -> dict[str, Paired]:
    corrected = holm([one.p for one in found.values()])
    return {
        name: Paired(one.difference, one.low, one.high, one.p, one.n, p)
        for (name, one), p in zip(found.items(), corrected, strict=True)
    }


def _draw(table: TaskTable, rng: np.random.Generator, resamples: int) -> Any:
    """How often each task is in each resample: as many of each tier as there are; of all, if a tier has one task."""
    lone = any(len(places) < 2 for places in table.tiers)
    strata = [np.arange(len(table.tasks))] if lone else table.tiers
    drawn = np.zeros((resamples, len(table.tasks)), np.int32)
    for places in strata:
        for start in range(0, resamples, AT_ONCE):
            rows = min(AT_ONCE, resamples - start)
            chosen = rng.integers(len(places), size=(rows, len(places))) + np.arange(rows)[:, None] * len(places)
            counts = np.bincount(chosen.ravel(), minlength=chosen.size)
            drawn[start : start + rows, places] = counts.reshape(chosen.shape)
    return drawn


def _once(table: TaskTable) -> Any:
    """Every task drawn once."""
    return np.ones((1, len(table.tasks)), np.int32)


def _means_with_ends(
    table: TaskTable, values: Any, drawn: Any, *, lowest: float
) -> Iterator[tuple[Metric, int, float, Ends]]:
    """Each metric that is a mean and applies: its tasks, its figure, and the interval's ends."""
    once, resampled = means(table, values, _once(table))[:, 0], means(table, values, drawn)
    for place, metric in enumerate(table.metrics):
        n = int(np.sum(~np.isnan(values[place])))
        if not n:
            continue
        ends = _ends(resampled[place], n)
        if n > 1 and metric.unit == "share" and np.ptp(resampled[place][~np.isnan(resampled[place])]) < ROUNDING:
            ends = bound_alike(*_by_tier(table, metric, values[place]), lowest=lowest)
        yield metric, n, float(once[place]), ends


def _ends(resampled: Any, n: int) -> Ends:
    if n < 2:
        return None, None
    low, high = np.nanquantile(resampled, EACH_END), np.nanquantile(resampled, 1 - EACH_END)
    return float(low), float(high)


def _by_tier(table: TaskTable, metric: Metric, values: Any) -> tuple[list[float], list[int]]:
    """The mean of each tier that has values, and how many; where tiers do not weigh the same, all are one."""
    places = table.tiers if metric.tiers_alike else [np.arange(len(values))]
    known = [found for tier in places if len(found := values[tier][~np.isnan(values[tier])])]
    return [float(found.mean()) for found in known], [len(found) for found in known]
