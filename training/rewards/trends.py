"""Does a noisy series rise, and did paired scores fall? Two tests, and nothing about rewards.

The steps of a training run resemble their neighbours, which makes plain trend tests see trends in noise: white noise is
called a rise in 4 of 100 cases at p < 0.05, noise that keeps half of its last value in 15 to 18, 0.8 of it in 25 to 30
(measured at 20 and 50 steps). So the trend test here counts such a series as the fewer independent points that it is
worth: 4 to 6, 8 to 10 and 14 to 18 in 100.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

FEWEST = 4
"""Points of a series, or paired tasks, below which nothing is said."""
ALL_SIGNS = 13
DRAWN = 9_999


@dataclass(frozen=True, slots=True)
class Trend:
    """How a series moves."""

    slope: float
    """Per step: the median of the slopes between all pairs of points (Theil and Sen)."""
    p_up: float
    """The chance of so clear a rise, or a clearer one, in a series that goes nowhere; 1 if there is no telling."""
    p_down: float


def trend(steps: Sequence[float], values: Sequence[float]) -> Trend:
    """The trend of ``values`` at ``steps`` by Kendall's rank correlation (Mann and Kendall), one-sided both ways.

    The test's variance is multiplied by (1 + r) / (1 - r), where r is the correlation of neighbours, if positive, once
    the trend is taken out (Yue and Wang 2004): here the best rising or falling curve, since rewards rise and then level
    off, and a straight line would leave that curve among the noise. Fewer than four points, or points that are all the
    same, show no trend.

    >>> trend([1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.4, 0.5]).p_up < 0.01
    True
    """
    from scipy.stats import theilslopes

    if len(values) < FEWEST or len({*values}) < 2:
        return Trend(0.0, 1.0, 1.0)
    slope: Any = theilslopes(values, steps)[0]
    return Trend(float(slope), _p_rise(steps, np.asarray(values, float)), _p_rise(steps, -np.asarray(values, float)))


def _p_rise(steps: Sequence[float], values: np.ndarray) -> float:
    from scipy.optimize import isotonic_regression
    from scipy.stats import kendalltau, norm

    alike = _neighbours_correlate(values - isotonic_regression(values).x)
    found: Any = kendalltau(steps, values, alternative="greater")
    return float(norm.sf(norm.isf(found.pvalue) / sqrt((1 + alike) / (1 - alike))))


def p_fell(before: Sequence[float], after: Sequence[float], *, seed: int = 0) -> float:
    """The chance of so large a fall, or a larger one, if ``after`` is no lower than ``before`` on the same tasks.

    A paired permutation test: under that hypothesis each task's difference could as well have the other sign. All signs
    are tried up to 13 tasks, 9,999 drawn by ``seed`` beyond. Fewer than four tasks: 1.

    >>> p_fell([1, 1, 1, 1], [0, 0, 0, 0])  # one of 16 ways to choose the signs
    0.0625
    """
    if len(before) < FEWEST:
        return 1.0
    differences = np.asarray(after, float) - np.asarray(before, float)
    count = len(differences)
    if count <= ALL_SIGNS:
        signs = (np.arange(2**count)[:, None] >> np.arange(count) & 1) * 2 - 1
        return float(np.mean(signs @ differences <= differences.sum() + 1e-9))
    signs = np.random.default_rng(seed).choice([-1, 1], size=(DRAWN, count))
    as_low = int(np.sum(signs @ differences <= differences.sum() + 1e-9))
    return (as_low + 1) / (DRAWN + 1)


def holm(values: Sequence[float]) -> list[float]:
    """``values`` corrected for being several (Holm 1979), in their order.

    >>> holm([0.25, 0.75, 0.125])
    [0.5, 0.75, 0.375]
    """
    corrected = [0.0] * len(values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda place: values[place])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return corrected


def _neighbours_correlate(rest: np.ndarray) -> float:
    """The correlation of each value with the next, between 0 and 0.95."""
    around = rest - rest.mean()
    total = float(around @ around)
    return 0.0 if total == 0 else min(0.95, max(0.0, float(around[1:] @ around[:-1]) / total))
