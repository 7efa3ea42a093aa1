"""The arithmetic of evaluations: pass@k, pass^k, and an interval for a paired difference. Nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from ..errors import BadEvaluation

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Difference:
    """After minus before, as a mean over the tiers with its 95 % interval."""

    mean: float
    low: float
    high: float
    by_tier: dict[str, float]


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of ``k`` trials succeeds, unbiased, from ``c`` successes in ``n`` trials.

    Chen et al. 2021, Evaluating Large Language Models Trained on Code: 1 - C(n-c, k) / C(n, k).

    >>> pass_at_k(n=4, c=1, k=2)
    0.5
    """
    _check_counts(n, c, k)
    return 1 - comb(n - c, k) / comb(n, k)


def pass_hat_k(n: int, c: int, k: int) -> float:
    """The chance that all of ``k`` trials succeed, unbiased, from ``c`` successes in ``n`` trials.

    Yao et al. 2024, tau-bench: C(c, k) / C(n, k).

    >>> pass_hat_k(n=4, c=2, k=1)
    0.5
    >>> pass_hat_k(n=3, c=2, k=3)
    0.0
    """
    _check_counts(n, c, k)
    return comb(c, k) / comb(n, k)


def paired_difference(
    before: Mapping[str, Sequence[float]],
    after: Mapping[str, Sequence[float]],
    *,
    tiers: Mapping[str, str],
    seed: int,
) -> Difference:
    """How much ``after`` is above ``before`` on the same tasks; both map a task to the scores of its trials.

    A task counts by the mean of its trials, a tier by the mean of its tasks, and every tier weighs the
    same. The interval is a percentile bootstrap over the tasks, drawn within each tier. If all tasks of
    each tier differ by the same amount, it has no width.

    Raises:
        BadEvaluation: the two do not hold the same tasks, or a tier has fewer than two of them.
    """
    from scipy.stats import bootstrap  # takes a second to import

    if before.keys() != after.keys():
        lone = sorted(before.keys() ^ after.keys())
        raise BadEvaluation(
            f"{len(lone)} tasks are in one evaluation only, {lone[0]!r} among them; "
            "evaluate both versions on the same tasks"
        )
    differences: dict[str, list[float]] = {}
    for task in before:
        change = float(np.mean(after[task]) - np.mean(before[task]))
        differences.setdefault(tiers[task], []).append(change)
    if not differences:
        raise BadEvaluation("no tasks to compare; evaluate both versions on at least two tasks of a tier")
    for tier, values in differences.items():
        if len(values) < 2:
            raise BadEvaluation(f"tier {tier!r} has one task, too few for an interval; evaluate at least two")

    def mean_over_tiers(*samples: Any, axis: int) -> Any:
        return np.mean([sample.mean(axis=axis) for sample in samples], axis=0)

    interval = bootstrap(
        list(differences.values()),
        mean_over_tiers,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    by_tier = {tier: float(np.mean(values)) for tier, values in differences.items()}
    mean = float(np.mean(list(by_tier.values())))
    return Difference(mean, float(interval.low), float(interval.high), by_tier)


def _check_counts(n: int, c: int, k: int) -> None:
    if not (0 <= c <= n and 1 <= k <= n):
        raise BadEvaluation(f"{c} successes in {n} trials say nothing about k = {k}; run at least k trials")
