"""What the members of a group are compared with, and by what their differences are divided. Pure."""

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal

Baseline = Literal["mean", "min", "leave_one_out", "none"]
Scale = Literal["group", "batch", "none"]

SAME = 1e-4
"""Rewards that spread less than this count as equal; TRL adds as much to what it divides by."""


def baselines(values: Sequence[float], kind: Baseline) -> list[float]:
    """One baseline for each member, from the values of all.

    - ``mean``: of all, the member included (GRPO, Shao et al. 2024; Dr. GRPO, Liu et al. 2025). The member's own
      value in it shrinks the expected gradient by (n-1)/n and does not turn it;
    - ``leave_one_out``: the mean of the others (RLOO, Kool et al. 2019, Ahmadian et al. 2024). It does not depend on
      the member, so the gradient is unbiased;
    - ``min``: the worst of all. No advantage is negative: good members are imitated, none is pushed away. It depends on
      the member that is the worst, so the gradient is biased, as that of rejection sampling is;
    - ``none``: 0 (REINFORCE, Williams 1992).

    A member that is alone has nobody to be compared with: each kind but ``none`` gives its own value.

    >>> baselines([1.0, 2.0, 6.0], "mean"), baselines([1.0, 2.0, 6.0], "leave_one_out")
    ([3.0, 3.0, 3.0], [4.0, 3.5, 1.5])
    >>> baselines([1.0, 2.0, 6.0], "min"), baselines([5.0], "leave_one_out"), baselines([], "mean")
    ([1.0, 1.0, 1.0], [5.0], [])
    """
    if kind == "none":
        return [0.0] * len(values)
    if kind == "leave_one_out" and len(values) > 1:
        return [fmean([*values[:at], *values[at + 1 :]]) for at in range(len(values))]
    if kind == "min":
        return [min(values)] * len(values) if values else []
    return [fmean(values)] * len(values) if values else []


def divisor(values: Sequence[float]) -> float:
    """What advantages are divided by: the sample standard deviation (n-1) of ``values`` plus 0.0001, as TRL has it.

    1 where there is nothing to divide by: fewer than two values, or values that spread less than 0.0001. GRPO divides
    by that of the group (Shao et al. 2024), REINFORCE++ by that of the batch (Hu et al. 2025), Dr. GRPO not at all.

    >>> round(divisor([0.0, 2.0, 4.0]), 6), divisor([3.0, 3.0]), divisor([3.0]), divisor([])
    (2.0001, 1.0, 1.0, 1.0)
    """
    spread = stdev(values) if len(values) > 1 else 0.0
    return 1.0 if spread < SAME else spread + SAME
