"""Which training tasks come next: a schedule over a suite's tiers, by how often each has succeeded of late. Pure.

- ``uniform``: every tier as often as the others;
- ``frontier``: in proportion to p(1-p) of a tier's success p, the variance that its groups have to learn from: tiers
  that always or never succeed come seldom, but never less than a twentieth of the time;
- ``stages``: the first tier alone until its success reaches ``threshold``, then the first two, and so on.

Success is counted over the last ``window`` generations; a tier that was not played counts as one half.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le

if TYPE_CHECKING:
    from .suites import SuiteTask

LEAST = 0.05
"""Of the weight of the heaviest tier under ``frontier``: success that rises or falls must be noticed."""

Results = Mapping[str, tuple[int, int]]
"""Tier to successes and episodes."""


@dataclass(frozen=True)
class Curriculum:
    """How tasks are drawn."""

    kind: Annotated[
        Literal["uniform", "frontier", "stages"],
        "Tiers alike (uniform), by p(1-p) of their success (frontier), or one after the other (stages).",
    ] = "uniform"
    threshold: Annotated[float, "stages: success of a tier that opens the next.", Ge(0), Le(1)] = 0.8
    window: Annotated[int, "Generations over which success is counted.", Ge(1)] = 5


def tier_weights(tiers: Sequence[str], recent: Sequence[Results], curriculum: Curriculum) -> dict[str, float]:
    """The chance of each tier, adding up to 1; ``tiers`` from easy to hard, ``recent`` generations oldest first.

    >>> tier_weights(["easy", "hard"], [{"easy": (9, 10), "hard": (5, 10)}], Curriculum("frontier"))
    {'easy': 0.357, 'hard': 0.643}
    >>> tier_weights(["easy", "hard"], [{"easy": (7, 10)}], Curriculum("stages"))
    {'easy': 1.0, 'hard': 0.0}
    """
    success = {tier: _success(tier, recent[-curriculum.window :]) for tier in tiers}
    if curriculum.kind == "uniform":
        weights = dict.fromkeys(tiers, 1.0)
    elif curriculum.kind == "frontier":
        spread = {tier: p * (1 - p) for tier, p in success.items()}
        weights = {tier: max(value, LEAST * max(spread.values())) for tier, value in spread.items()}
    else:
        behind = [place for place, tier in enumerate(tiers) if success[tier] < curriculum.threshold]
        opened = min(behind, default=len(tiers) - 1)
        weights = {tier: float(place <= opened) for place, tier in enumerate(tiers)}
    total = sum(weights.values())
    return {tier: round(weight / total, 3) for tier, weight in weights.items()}


def draw_tasks(
    tasks: "Sequence[SuiteTask]",
    count: int,
    drawn: Sequence[str],
    weights: Mapping[str, float],
    rng: random.Random,
) -> "list[SuiteTask]":
    """``count`` different tasks: tiers by ``weights``, and within a tier those first that were drawn the least often.

    ``drawn`` are the ids that were drawn before. Where a tier has no task left the others take its place; fewer
    than ``count`` come only where there are fewer.
    """
    times = {task.id: 0 for task in tasks}
    for name in drawn:
        times[name] = times.get(name, 0) + 1
    waiting: dict[str, list[SuiteTask]] = {}
    for task in rng.sample(list(tasks), len(tasks)):
        waiting.setdefault(task.tier, []).append(task)
    for of_tier in waiting.values():
        of_tier.sort(key=lambda task: -times[task.id])  # taken from the end; sorting keeps the shuffled order
    order = list(dict.fromkeys(task.tier for task in tasks))
    chosen: list[SuiteTask] = []
    while len(chosen) < count and any(waiting.values()):
        left = [tier for tier in order if waiting[tier]]
        chances = [weights.get(tier, 0.0) for tier in left]
        tier = rng.choices(left, chances if any(chances) else None)[0]
        chosen.append(waiting[tier].pop())
    return chosen


def _success(tier: str, recent: Sequence[Results]) -> float:
    """With one success and one failure added, so that a tier is never taken for sure."""
    met = sum(results[tier][0] for results in recent if tier in results)
    played = sum(results[tier][1] for results in recent if tier in results)
    return (met + 1) / (played + 2)
