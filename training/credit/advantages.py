"""Advantages: one number for each completion token of each episode of a group, 0 where the token was given.

Pure. Credit is given to turns, and all tokens of a turn share it:

- ``outcome``: A = (R - b) / s, the same for all turns (GRPO, Shao et al. 2024; ``scale="none"`` is Dr. GRPO, Liu et
  al. 2025; ``leave_one_out`` without scale is RLOO, Ahmadian et al. 2024);
- ``discounted``: A_t = (G_t - b_t) / s with G_t = gamma^(T-t) R;
- ``steps``: A_t = (G_t - b_t) / s with G_t the discounted sum of the step rewards from turn t on;
- ``forks``: A_t = (V(s_(t+1)) - V(s_t)) / s with the values of the states before each turn, V(end) = R (VinePPO,
  Kazemnejad et al. 2024; Math-Shepherd, Wang et al. 2024).

**Baselines are taken turn by turn**: b_t compares G_t with the returns of the group at the same turn, and an episode
that has ended counts with the return of its last turn. So the baseline never depends on what the episode did later,
every turn has the whole group to be compared with, and ``discounted`` with gamma = 1 is ``outcome``.

**Scale**: s is one number for a group, or for the batch: the spread of the episodes' returns from their first turn on
(the rewards, with ``outcome`` and ``forks``). One number keeps the turns in proportion: a turn on which little depended
stays small.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Annotated, Literal, TypeVar

from ...errors import BadCredit
from .baselines import Baseline, Scale, baselines, divisor
from .returns import discounted_returns, held_at, rewards_to_go

T = TypeVar("T")
Assign = Literal["outcome", "discounted", "steps", "forks"]

GIVEN = -1
"""The turn of a token that the policy did not sample."""


@dataclass(frozen=True, slots=True)
class Played:
    """One whole episode, as credit assignment needs it; one that fills several rows is still one."""

    reward: float
    """The outcome."""
    turn_of_token: Sequence[int]
    """For each completion token the turn (from 0) that sampled it, -1 if it was given."""
    step_rewards: Sequence[float] | None = None
    """What each turn earned, for ``steps``; the outcome is not added to them."""
    step_values: Sequence[float | None] | None = None
    """The expected outcome before each turn, for ``forks``; None where nobody estimated it."""


@dataclass(frozen=True, slots=True)
class Credit:
    """How an outcome is shared out among the turns that led to it."""

    assign: Annotated[Assign, "How the outcome is shared out among turns; forks: by values of continuations."] = (
        "outcome"
    )
    gamma: Annotated[float, "Discount of each turn, above 0 and at most 1; outcome and forks have none."] = 1.0
    baseline: Annotated[Baseline, "What of the group a return is compared with."] = "mean"
    """With ``forks`` only for turns in front of the first value."""
    scale: Annotated[Scale, "What the spread that advantages are divided by is taken over."] = "group"

    def __post_init__(self) -> None:
        if not 0.0 < self.gamma <= 1.0:
            raise BadCredit(f"gamma is {self.gamma!r}; it discounts each turn, so give a number above 0 and at most 1")
        if self.gamma != 1.0 and self.assign in ("outcome", "forks"):
            raise BadCredit(
                f"gamma is {self.gamma!r}, but {self.assign!r} does not discount; use assign='discounted' or 'steps', "
                "or leave gamma at 1"
            )


def advantages(group: Sequence[Played], settings: Credit) -> list[list[float]]:
    """For each member of one group one number per completion token; 0 for tokens that were given.

    An empty group has none; of a group of one, and of one in which all is equal, all are 0 (but with the baseline
    ``none``, and with ``forks``). ``scale="batch"`` needs the whole batch: ``batch_advantages``; here the group is all
    there is.

    Raises:
        BadCredit: a number is missing or not finite, or the numbers of a member do not fit its turns.
    """
    return batch_advantages([group], settings)[0]


def batch_advantages(groups: Sequence[Sequence[Played]], settings: Credit) -> list[list[list[float]]]:
    """``advantages`` of each group of a batch; with ``scale="batch"`` all are divided by the spread in the batch.

    Raises:
        BadCredit
    """
    by_turn = turn_advantages(groups, settings)
    return [
        [
            [0.0 if turn == GIVEN else numbers[turn] for turn in played.turn_of_token]
            for played, numbers in zip(group, of_group, strict=True)
        ]
        for group, of_group in zip(groups, by_turn, strict=True)
    ]


def turn_advantages(groups: Sequence[Sequence[Played]], settings: Credit) -> list[list[list[float]]]:
    """For each group of a batch, for each member, one number per turn.

    Raises:
        BadCredit
    """
    returns = [[_returns(played, settings) for played in group] for group in groups]
    whole = [[of_member[0] for of_member in of_group] for of_group in returns]
    if settings.scale == "group":
        by = [divisor(values) for values in whole]
    elif settings.scale == "batch":
        by = [divisor([value for values in whole for value in values])] * len(groups)
    else:
        by = [1.0] * len(groups)
    return [
        [[number / by_group for number in numbers] for numbers in _unscaled(group, of_group, settings)]
        for group, of_group, by_group in zip(groups, returns, by, strict=True)
    ]


def value_differences(values: Sequence[float | None], reward: float, start: float) -> list[float]:
    """What each turn changed, A_t = V(s_(t+1)) - V(s_t) with V(end) = ``reward``; their sum is ``reward`` - V(s_1).

    Turns in front of states that nobody valued count as one turn with those that follow, up to the next value: all of
    them get the difference over the whole. ``start`` stands for V(s_1) where that is missing.

    >>> value_differences([0.5, 0.25, 0.75], reward=1.0, start=0.0)
    [-0.25, 0.5, 0.25]
    >>> value_differences([None, None, 0.75, None], reward=1.0, start=0.5)
    [0.25, 0.25, 0.25, 0.25]
    """
    known = [(turn, value) for turn, value in enumerate(values) if value is not None]
    if not known or known[0][0] != 0:
        known.insert(0, (0, start))
    known.append((len(values), reward))
    return [later - earlier for (first, earlier), (after, later) in pairwise(known) for _ in range(first, after)]


def _unscaled(group: Sequence[Played], returns: Sequence[Sequence[float]], settings: Credit) -> list[list[float]]:
    if settings.assign == "forks":
        starts = baselines([played.reward for played in group], settings.baseline)
        return [
            value_differences(played.step_values or (), played.reward, start)
            for played, start in zip(group, starts, strict=True)
        ]
    found: list[list[float]] = [[] for _ in group]
    for turn in range(max((len(of_member) for of_member in returns), default=0)):
        at_turn = [held_at(of_member, turn) for of_member in returns]
        for numbers, of_member, base in zip(found, returns, baselines(at_turn, settings.baseline), strict=True):
            if turn < len(of_member):
                numbers.append(of_member[turn] - base)
    return found


def _returns(played: Played, settings: Credit) -> list[float]:
    """The return from each turn on; of an episode without turns, as if it had one."""
    turns = max(played.turn_of_token, default=GIVEN) + 1
    if min(played.turn_of_token, default=GIVEN) < GIVEN:
        raise BadCredit(f"a token is of turn {min(played.turn_of_token)}; turns count from 0, and -1 is a given token")
    if settings.assign == "steps":
        returns = rewards_to_go(_fitting(played.step_rewards, "step_rewards", turns), settings.gamma)
    elif settings.assign == "discounted":
        returns = discounted_returns(played.reward, turns, settings.gamma)
    elif settings.assign == "forks":
        values = _fitting(played.step_values, "step_values", turns)
        _refuse_infinite([value for value in values if value is not None], "step_values")
        returns = [played.reward] * len(values)
    else:
        returns = [played.reward] * turns
    _refuse_infinite([played.reward, *returns], "rewards")
    return returns or [0.0 if settings.assign == "steps" else played.reward]


def _fitting(numbers: Sequence[T] | None, name: str, turns: int) -> Sequence[T]:
    if numbers is None:
        raise BadCredit(
            f"an episode has no {name}; give one number for each of its {turns} turns, or assign the outcome"
        )
    if len(numbers) < turns:
        raise BadCredit(f"an episode has {len(numbers)} {name} for {turns} turns; give one for each turn")
    return numbers


def _refuse_infinite(numbers: Sequence[float], name: str) -> None:
    bad = [number for number in numbers if not isfinite(number)]
    if bad:
        raise BadCredit(f"an episode has {bad[0]} among its {name}; leave it out of its group")
