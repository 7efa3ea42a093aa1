"""Paired permutation tests over tasks: were the two versions equal, their labels could be swapped in any task.

Two-sided, by ``scipy.stats.permutation_test`` with ``permutation_type="samples"``; exact where the tasks are few.
"""

from typing import Any

import numpy as np

from .task_table import Samples, TaskTable, quantiles

PERMUTATIONS = 9_999
"""For means. Quantiles take a fifth of it."""
_BATCH = 250


def p_of_means(table: TaskTable, changes: Any, rng: np.random.Generator) -> dict[str, float]:
    """Metric to the chance of so large a mean change, if every task's change could as well have the other sign.

    ``changes`` are metrics x tasks; tasks without one take no part.
    """
    from scipy.stats import permutation_test

    applies = np.flatnonzero((~np.isnan(changes)).any(axis=1))
    if not len(applies):
        return {}
    weighted = np.array([_weighted(table, changes[place], table.metrics[place].tiers_alike) for place in applies])

    def total(sample: Any, axis: int) -> Any:
        return sample.sum(axis=axis)

    found = permutation_test(
        (weighted,),
        total,
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=_BATCH,
        axis=-1,
        rng=rng,
    )
    return {table.metrics[place].name: float(p) for place, p in zip(applies, np.atleast_1d(found.pvalue), strict=True)}


def p_of_quantiles(was: Samples, now: Samples, rng: np.random.Generator) -> list[float]:
    """The same for each of ``QUANTILES`` of two evaluations' samples; the same tasks have some in both."""
    from scipy.stats import permutation_test

    tasks, columns = np.unique(np.concatenate([was.columns, now.columns]), return_inverse=True)
    count = len(tasks)
    columns[len(was.columns) :] += count
    seconds = np.concatenate([was.seconds, now.seconds])
    order = np.argsort(seconds, kind="stable")
    pooled = Samples(seconds[order], columns[order])

    def change(first: Any, second: Any, axis: int) -> Any:
        """Of the quantiles, where ``first`` holds which column stands for each task in the first evaluation."""
        swapped = (np.atleast_2d(first) >= count).astype(np.int32)
        old, new = np.hstack([1 - swapped, swapped]), np.hstack([swapped, 1 - swapped])
        found = (quantiles(pooled, new) - quantiles(pooled, old)).T
        return found if first.ndim > 1 else found[0]

    found = permutation_test(
        (np.arange(count), np.arange(count) + count),
        change,
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS // 5,
        batch=_BATCH,
        rng=rng,
    )
    return [float(p) for p in np.atleast_1d(found.pvalue)]


def _weighted(table: TaskTable, changes: Any, tiers_alike: bool) -> Any:
    """``changes`` times what each weighs in the figure; 0 where there is none, which no sign changes."""
    known = ~np.isnan(changes)
    weighted = np.zeros(len(changes))
    for places in table.tiers if tiers_alike else [np.arange(len(changes))]:
        if known[places].any():
            weighted[places] = np.where(known[places], changes[places], 0.0) / known[places].sum()
    return weighted
