"""How much one model is above another on the same tasks, with a standard error that can be trusted at the edges too."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over tasks that were drawn from more of their kind."""

    mean: float
    error: float
    """Standard error of ``mean``."""
    freedom: float
    """Degrees of freedom of ``error``."""

    def interval(self, chance: float) -> tuple[float, float]:
        """Its ends; the truth is beyond either of them with the probability ``chance`` (Student's t)."""
        from scipy.special import stdtrit

        if self.error == 0:
            return self.mean, self.mean
        wide = -float(stdtrit(self.freedom, chance)) * self.error
        return self.mean - wide, self.mean + wide


def success_above(before: np.ndarray, after: np.ndarray) -> Estimate:
    """After minus before, of shares of trials that succeeded, task by task.

    The standard error is that of Bonett and Price (2012) for paired proportions, with two tasks added, one won and one
    lost: where all tasks ended alike the interval keeps a width, which it needs, since the next task may end otherwise.
    Its middle is the difference as it was seen; theirs lies nearer to zero, which would favour a tier that lost.
    """
    difference = after - before
    tasks, seen = len(difference) + 2, float(difference.sum())
    variance = (float(difference @ difference) + 2) / tasks - (seen / tasks) ** 2
    return Estimate(seen / len(difference), (variance / tasks) ** 0.5, max(tasks - 3, 1))


def measure_above(change: np.ndarray) -> Estimate:
    """The mean of what a metric, or any other number, changes by, task by task."""
    mean, tasks = float(change.mean()), len(change)
    error = float(change.std(ddof=1)) / tasks**0.5 if tasks > 1 else 0.0
    return Estimate(mean, error, max(tasks - 1, 1))


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of independent estimates, each of which weighs the same (degrees of freedom: Satterthwaite 1946)."""
    parts = [one.error**2 for one in estimates]
    total = sum(parts)
    freedom = sum(part**2 / one.freedom for part, one in zip(parts, estimates, strict=True))
    number = len(estimates)
    return Estimate(
        sum(one.mean for one in estimates) / number,
        total**0.5 / number,
        total**2 / freedom if freedom else 1.0,
    )
