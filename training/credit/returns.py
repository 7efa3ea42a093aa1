"""What follows each turn of an episode: its returns. Pure; turns are counted, not tokens or supersteps."""

from collections.abc import Sequence
from itertools import accumulate


def discounted_returns(reward: float, turns: int, gamma: float) -> list[float]:
    """The outcome as seen from each turn, G_t = gamma^(T-t) R for t = 1..T: the last turn gets all of it.

    Sutton & Barto 2018, Reinforcement Learning, section 3.3, with the outcome R as the only reward, after turn T.

    >>> discounted_returns(8.0, turns=4, gamma=0.5)
    [1.0, 2.0, 4.0, 8.0]
    """
    return [reward * gamma ** (turns - turn) for turn in range(1, turns + 1)]


def rewards_to_go(rewards: Sequence[float], gamma: float) -> list[float]:
    """The discounted sum of what is earned from each turn on, G_t = r_t + gamma r_(t+1) + gamma^2 r_(t+2) + …

    Sutton & Barto 2018, section 3.3; as process supervision in GRPO (Shao et al. 2024, section 4.1.3), which has
    gamma = 1. An outcome that counts as well belongs into the last of ``rewards``.

    >>> rewards_to_go([1.0, 0.0, 4.0], gamma=0.5)
    [2.0, 2.0, 4.0]
    """
    return list(accumulate(reversed(rewards), lambda after, reward: reward + gamma * after))[::-1]


def held_at(returns: Sequence[float], turn: int) -> float:
    """The return at ``turn`` (from 0); an episode that has ended keeps that of its last turn.

    >>> [held_at([1.0, 3.0], turn) for turn in range(3)]
    [1.0, 3.0, 3.0]
    """
    return returns[min(turn, len(returns) - 1)]
