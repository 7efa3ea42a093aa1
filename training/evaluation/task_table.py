"""The measures of episodes as arrays over tasks: a value for each metric and task, and sorted samples of durations."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from ..statistics import pass_at_k, pass_hat_k
from .measured import Measured
from .metrics import METRICS, Metric

SAMPLES = ("model_call", "tool_call", "episode")
QUANTILES = (0.5, 0.95)
"""In the order of the metrics that are made of one kind of samples."""
AT_ONCE = 1_000
"""Resamples worked on at once: enough to be quick, few enough for little memory."""


@dataclass(frozen=True, slots=True)
class Samples:
    """All durations of one kind."""

    seconds: Any
    """Ascending."""
    columns: Any
    """The place of each one's task."""

    @property
    def tasks(self) -> int:
        """How many tasks have some."""
        return len(np.unique(self.columns))


@dataclass(frozen=True, slots=True)
class TaskTable:
    """Tasks in the order of their tiers and names, so that nothing depends on the order of episodes."""

    tasks: tuple[str, ...]
    tiers: tuple[Any, ...]
    """Of each tier the places of its tasks."""
    metrics: tuple[Metric, ...]
    """Those that are means of task values, in the order of the rows of ``values``."""
    values: Any
    """Metrics x tasks: the mean of a task's trials; NaN where the metric applies to none of them."""
    samples: Mapping[str, Samples]
    """By kind."""


def make_table(
    measured: Sequence[Measured], tasks: Sequence[str], tiers: Mapping[str, str], k: int | None
) -> TaskTable:
    """The table of episodes and the task of each; without ``k`` there are no estimates over trials."""
    trials: dict[str, list[Measured]] = defaultdict(list)
    for one, task in zip(measured, tasks, strict=True):
        trials[task].append(one)
    names = sorted(trials, key=lambda task: (tiers.get(task, ""), task))
    known = tuple(metric for metric in METRICS if metric.how == "mean" or (metric.of == "success" and k is not None))
    values = np.full((len(known), len(names)), np.nan)
    for column, name in enumerate(names):
        for row, metric in enumerate(known):
            found = [value for one in trials[name] if (value := one.values.get(metric.of or metric.name)) is not None]
            if found:
                values[row, column] = _of_trials(metric, found, k)
    of_tier: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        of_tier[tiers.get(name, "")].append(place)
    return TaskTable(
        tuple(names),
        tuple(np.array(places) for places in of_tier.values()),
        known,
        values,
        {kind: _samples(trials, names, kind) for kind in SAMPLES},
    )


def means(table: TaskTable, values: Any, drawn: Any) -> Any:
    """Metrics x resamples: the figure of ``values`` where each task counts as often as it was ``drawn``.

    Where tiers weigh the same it is the mean of their means. NaN if no task was drawn that the metric applies to.
    """
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    alike = np.array([metric.tiers_alike for metric in table.metrics])
    everything = np.arange(len(table.tasks))
    found = np.empty((len(values), len(drawn)))
    for start in range(0, len(drawn), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        counts = drawn[rows].astype(float)
        found[~alike, rows] = _mean(filled[~alike], known[~alike], counts, everything)
        by_tier = np.array([_mean(filled[alike], known[alike], counts, places) for places in table.tiers])
        there = ~np.isnan(by_tier)
        with np.errstate(invalid="ignore"):
            found[alike, rows] = np.where(there, by_tier, 0.0).sum(0) / there.sum(0)
    return found


def quantiles(samples: Samples, drawn: Any) -> Any:
    """2 x resamples: the smallest sample that half of all, and 95 % of all, are no larger than.

    A sample counts as often as its task was ``drawn``. NaN where nothing counts.
    """
    found = np.full((len(QUANTILES), len(drawn)), np.nan)
    for start in range(0, len(drawn), AT_ONCE // 4):
        rows = slice(start, start + AT_ONCE // 4)
        up_to = np.cumsum(drawn[rows][:, samples.columns], axis=1)
        total = up_to[:, -1]
        for place, quantile in enumerate(QUANTILES):
            reached = np.argmax(up_to >= (quantile * total - 1e-9)[:, None], axis=1)
            found[place, rows] = np.where(total > 0, samples.seconds[reached], np.nan)
    return found


def metrics_of(kind: str) -> list[Metric]:
    """The metrics that are quantiles of samples of ``kind``, in the order of ``QUANTILES``."""
    return [metric for how in ("p50", "p95") for metric in METRICS if (metric.of, metric.how) == (kind, how)]


def shared_samples(first: Samples, second: Samples) -> tuple[Samples, Samples]:
    """The samples of the tasks that have some in both."""
    both = np.intersect1d(first.columns, second.columns)
    kept = [np.isin(samples.columns, both) for samples in (first, second)]
    return (
        Samples(first.seconds[kept[0]], first.columns[kept[0]]),
        Samples(second.seconds[kept[1]], second.columns[kept[1]]),
    )


def _mean(filled: Any, known: Any, counts: Any, places: Any) -> Any:
    drawn = counts[:, places].T
    with np.errstate(invalid="ignore"):
        return (filled[:, places] @ drawn) / (known[:, places] @ drawn)


def _of_trials(metric: Metric, values: Sequence[float], k: int | None) -> float:
    if metric.how == "mean":
        return fmean(values)
    estimate = pass_at_k if metric.how == "pass_at_k" else pass_hat_k
    return estimate(len(values), round(sum(values)), k or 1)


def _samples(trials: Mapping[str, Sequence[Measured]], names: Sequence[str], kind: str) -> Samples:
    found = sorted(
        (seconds, place)
        for place, name in enumerate(names)
        for one in trials[name]
        for seconds in one.samples.get(kind, ())
    )
    return Samples(np.array([seconds for seconds, _ in found]), np.array([place for _, place in found], int))
