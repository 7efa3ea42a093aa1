"""Several rewards as one: a weighted sum, with every component beside it.

The sum is not normalised: with weights 1 and 0.5 a total may reach 1.5. Methods that compare the episodes of a group
scale it away; whoever wants a bounded total chooses weights that add up to it. A weight of 0 watches a reward without
paying for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, isfinite
from typing import Any

from ...errors import BadReward
from .finished import Finished, GroupReward, Reasoned
from .known import find_reward


@dataclass(frozen=True)
class Rewards:
    """Which rewards count, and how much.

    Raises:
        BadReward: a name or a parameter that is not known, or a weight that is no finite number.
    """

    weights: Mapping[str, float]
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name to the keyword arguments of that reward, such as ``{"length": {"max_tokens": 512}}``."""
    own: Mapping[str, GroupReward] = field(default_factory=dict)
    """Rewards that are not in the list: your own, and those that hold a model (``open_rewards`` makes them)."""

    def __post_init__(self) -> None:
        if not self.weights:
            raise BadReward("no rewards; give at least one weight, such as end_state = 1.0")
        if unweighted := self.parameters.keys() - self.weights.keys():
            raise BadReward(f"reward {min(unweighted)!r} has parameters but no weight; give it one, or leave them out")
        for name, weight in self.weights.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not isfinite(weight):
                raise BadReward(f"the weight of reward {name!r} is {weight!r}; give a finite number")
        self.parts()

    def parts(self) -> dict[str, GroupReward]:
        """Each reward with its parameters bound."""
        return {
            name: self.own[name] if name in self.own else find_reward(name, self.parameters.get(name, {}))
            for name in self.weights
        }


@dataclass(frozen=True, slots=True)
class Scored:
    """What one episode earned."""

    total: float
    components: dict[str, float]
    """Each reward before its weight."""
    notes: dict[str, str] = field(default_factory=dict)
    """What a reward said about it, such as the rationale of a judge."""


def score(group: Sequence[Finished], rewards: Rewards) -> list[Scored]:
    """What each episode of one task earned, in the order of ``group``; empty for an empty group.

    >>> half = Finished("t1", met=1, conditions=2)
    >>> score([half], Rewards({"end_state": 1.0, "partial": 0.5}))[0]
    Scored(total=0.25, components={'end_state': 0.0, 'partial': 0.5}, notes={})

    Raises:
        BadReward: a reward cannot be told for an episode, or is no finite number.
    """
    if not group:
        return []
    given = {name: reward(group) for name, reward in rewards.parts().items()}
    for name, values in given.items():
        if len(values) != len(group):
            raise BadReward(f"reward {name!r} gave {len(values)} numbers for {len(group)} episodes; give one for each")
        for episode, value in zip(group, values, strict=True):
            if not isfinite(value):
                raise BadReward(f"reward {name!r} gave {value} for thread {episode.thread!r}; give a finite number")
    return [_sum_up({name: values[place] for name, values in given.items()}, rewards) for place in range(len(group))]


def _sum_up(components: Mapping[str, float], rewards: Rewards) -> Scored:
    total = fsum(rewards.weights[name] * value for name, value in components.items())
    notes = {name: value.why for name, value in components.items() if isinstance(value, Reasoned)}
    return Scored(total, {name: float(value) for name, value in components.items()}, notes)
