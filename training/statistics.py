"""The arithmetic of evaluations: pass@k, pass^k, an interval for a paired difference, and one where nothing varies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, exp, log
from typing import Any

import numpy as np

from ..errors import BadEvaluation

RESAMPLES = 10_000
EACH_END = 0.025
"""Of 100 %, left out at each end of an interval."""
ROUNDING = 1e-12


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
    """How much ``after`` is above ``before`` on the same tasks; both map a task to its trials' scores, from 0 to 1.

    A task counts by the mean of its trials, a tier by the mean of its tasks, and every tier weighs the
    same. The interval is a percentile bootstrap over the tasks, drawn within each tier. If all tasks of
    each tier differ by the same amount, resamples do not differ, and the interval is that of ``bound_alike``.

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

    by_tier = {tier: float(np.mean(values)) for tier, values in differences.items()}
    mean = float(np.mean(list(by_tier.values())))
    if all(np.ptp(values) < ROUNDING for values in differences.values()):
        counts = [len(values) for values in differences.values()]
        return Difference(mean, *bound_alike([*by_tier.values()], counts, lowest=-1.0), by_tier)
    interval = bootstrap(
        list(differences.values()),
        mean_over_tiers,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Difference(mean, float(interval.low), float(interval.high), by_tier)


def bound_alike(values: Sequence[float], counts: Sequence[int], *, lowest: float = 0.0) -> tuple[float, float]:
    """A 95 % interval for the mean over tiers where the ``counts`` tasks of each tier all have the tier's value.

    A bootstrap cannot see what other tasks would do; these tasks still leave room for some share of others. The ends
    are the mean if all of those had ``lowest``, or 1, at the shares that would go unseen with a chance of 2.5 %,
    divided over the tiers as is worst. For one tier of ones or zeros it is the interval of Clopper and Pearson (1934).

    >>> [round(end, 3) for end in bound_alike([1.0], [20])]
    [0.832, 1.0]
    >>> [round(end, 3) for end in bound_alike([0.0, 0.0], [10, 10], lowest=-1.0)]
    [-0.168, 0.168]
    """
    mean = sum(values) / len(values)
    below = _most_unseen([value - lowest for value in values], counts)
    return mean - below, mean + _most_unseen([1.0 - value for value in values], counts)


def _most_unseen(rooms: Sequence[float], counts: Sequence[int]) -> float:
    """The largest mean over tiers of share x room, of shares that all ``counts`` tasks miss with a chance of 2.5 %.

    That chance is the product of (1 - share)^count. Where it is at its limit, the best shares have
    1 - share = a · count / room with one factor a for all tiers (Lagrange), or are 0 where that is above 1.
    """
    from scipy.optimize import brentq

    moving = [(room, count) for room, count in zip(rooms, counts, strict=True) if room > ROUNDING]
    if not moving:
        return 0.0

    def chance(factor: float) -> float:
        return sum(count * min(0.0, factor + log(count / room)) for room, count in moving)

    most = max(log(room / count) for room, count in moving)
    factor = float(brentq(lambda at: chance(at) - log(EACH_END), most + log(EACH_END), most))  # pyright: ignore[reportArgumentType]
    unseen = sum(room * (1 - min(1.0, exp(factor) * count / room)) for room, count in moving)
    return unseen / len(rooms)


def _check_counts(n: int, c: int, k: int) -> None:
    if not (0 <= c <= n and 1 <= k <= n):
        raise BadEvaluation(f"{c} successes in {n} trials say nothing about k = {k}; run at least k trials")
