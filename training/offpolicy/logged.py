"""Logged episodes as arrays: rewards by decision, and how much likelier a candidate is to decide the same. Pure.

A decision is one model call. Its log-ratio is log π(a|s) - log μ(a|s), summed over the tokens that were sampled: π is
the candidate, μ whoever answered, both at the temperature that it was sampled with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import BadEvaluation

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LoggedEpisode:
    """What happened once, as far as an estimate from the log needs it."""

    thread: str
    task: str
    """Episodes of one task are alike, so that intervals are over tasks."""
    log_ratios: tuple[float, ...]
    """One per decision; ``-inf`` where the candidate would never have decided so."""
    rewards: tuple[float, ...]
    """What each decision earned; often all zeros and, at the last one, the reward of the episode."""

    @property
    def total(self) -> float:
        """What the episode earned."""
        return sum(self.rewards)


@dataclass(frozen=True, slots=True)
class Logged:
    """Episodes as rows, decisions as columns; behind an episode's end nothing is earned and its weight stays."""

    log_weights: Floats
    """Sums of log-ratios up to and with each decision."""
    rewards: Floats
    taken: NDArray[np.bool_]
    """Whether the episode had so many decisions."""
    tasks: NDArray[np.int64]
    """Equal numbers are equal tasks."""

    @property
    def log_weights_before(self) -> Floats:
        """Sums of log-ratios before each decision: 0 at the first."""
        return np.concatenate([np.zeros((len(self.tasks), 1)), self.log_weights[:, :-1]], axis=1)


def summed_by(groups: NDArray[np.int64], rows: Floats) -> Floats:
    """The sums of the ``rows`` of each group, group 0 first.

    >>> summed_by(np.array([1, 0, 1]), np.array([[1.0], [2.0], [3.0]])).tolist()
    [[2.0], [4.0]]
    """
    sums = np.zeros((int(groups.max()) + 1, rows.shape[1]))
    np.add.at(sums, groups, rows)
    return sums


def as_arrays(episodes: Sequence[LoggedEpisode]) -> Logged:
    """``episodes`` in their order.

    Raises:
        BadEvaluation: there are none, one has no decision or not one reward for each, or a number is not a number.
    """
    if not episodes:
        raise BadEvaluation("there are no logged episodes to estimate from; run some with `threadmill rollout`")
    columns = max(len(episode.log_ratios) for episode in episodes)
    ratios, rewards = np.zeros((len(episodes), columns)), np.zeros((len(episodes), columns))
    taken = np.zeros((len(episodes), columns), dtype=bool)
    for row, episode in enumerate(episodes):
        length = len(episode.log_ratios)
        if not length or len(episode.rewards) != length:
            raise BadEvaluation(
                f"episode {episode.thread!r} has {length} decisions and {len(episode.rewards)} rewards; "
                "give one reward for each decision, and at least one decision"
            )
        ratios[row, :length] = episode.log_ratios
        rewards[row, :length] = episode.rewards
        taken[row, :length] = True
    if not np.isfinite(rewards).all() or np.isnan(ratios).any() or np.isposinf(ratios).any():
        raise BadEvaluation(
            "a reward or log-ratio is no finite number (a log-ratio may be -inf); score the episodes again"
        )
    names = {name: number for number, name in enumerate(dict.fromkeys(episode.task for episode in episodes))}
    tasks = np.array([names[episode.task] for episode in episodes])
    return Logged(ratios.cumsum(axis=1), rewards, taken, tasks)
