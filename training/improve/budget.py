"""How the time of a round is shared out. Pure arithmetic.

Evaluations are not negotiable: the gate's policy says how many tasks it wants. So the candidate's evaluation is
reserved first, at what the live version's took in the same round, and training gets the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MARGIN = 1.3
"""A better model often takes more turns than the one before it, and other work slows a machine down."""
CLOSING_S = 5.0
"""For the gate's arithmetic, the switch and the report."""
PAUSE_S = 60.0
"""So long nothing ends while episodes are played."""
UNKNOWN_SHARE = 1 / 3
"""Of the budget, for an evaluation of which nobody knows how long it takes."""
SHORTEST_S = 5.0
"""Training for less is not begun."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Seconds of the time that is left."""

    train: float
    """For all methods together; below ``SHORTEST_S`` there is no room for any."""
    evaluate: float
    """Kept for the candidate's evaluation and what follows it."""


def share_out(budget_s: float, spent_s: float, evaluation_s: float) -> Shares:
    """What training may take, when ``spent_s`` are gone and an evaluation takes ``evaluation_s``.

    >>> share_out(600, 100, 40)
    Shares(train=443.0, evaluate=57.0)
    >>> share_out(60, 50, 40).train
    0.0
    """
    kept = MARGIN * evaluation_s + CLOSING_S
    return Shares(max(0.0, round(budget_s - spent_s - kept, 3)), round(kept, 3))


def next_share(left_s: float, methods: Sequence[str]) -> float:
    """Seconds for the first of ``methods``: they share alike, so that time one does not need goes to the others.

    >>> next_share(300, ["sft", "dpo", "grpo"]), next_share(240, ["dpo", "grpo"]), next_share(200, ["grpo"])
    (100.0, 120.0, 200.0)
    """
    return left_s / len(methods)


def busy_seconds(ends: Sequence[float]) -> float:
    """How long it took until all these were over, by when each was; pauses between one day's work and the next are not
    counted.

    >>> busy_seconds([0.0, 2.0, 5.0, 90_000.0, 90_001.0])
    6.0
    """
    gaps = [after - before for before, after in pairwise(sorted(ends))]
    return sum(gap for gap in gaps if gap <= PAUSE_S)


def round_seconds(value: float) -> float:
    """To a tenth."""
    return float(f"{value:.1f}")
