"""What an episode was expected to earn from each decision on, for doubly robust estimates. Pure."""

from dataclasses import dataclass

import numpy as np

from .logged import Floats, Logged, summed_by


@dataclass(frozen=True, slots=True)
class Values:
    """Expected sums of rewards from each decision on, aligned with ``Logged``; 0 behind an episode's end.

    Estimates are unbiased for any values that do not come from the episode's own decisions and rewards, as long as
    ``states`` is the mean of ``decisions`` over what the candidate would do.
    """

    states: Floats
    """V: before the decision."""
    decisions: Floats
    """Q: with the decision that was taken."""


def by_task_and_step(logged: Logged) -> Values:
    """The mean of what the other episodes of the task earned from the same step on, cross-fitted: each without itself.

    A mean of few episodes is drawn to that of all others, which counts as one episode more. The decision itself is not
    looked at: what is said to a tool has no mean over all that could be said, so V and Q are the same number.
    """
    to_go = np.where(logged.taken, np.flip(np.flip(logged.rewards, 1).cumsum(1), 1), 0.0)
    taken = logged.taken.astype(float)
    everyone = (to_go.sum(0) - to_go) / np.maximum(taken.sum(0) - taken, 1)
    earned = summed_by(logged.tasks, to_go)[logged.tasks] - to_go
    others = summed_by(logged.tasks, taken)[logged.tasks] - taken
    means = np.where(logged.taken, (earned + everyone) / (others + 1), 0.0)
    return Values(means, means)
