"""Looking at the same candidate again: a bound for each look, so that all looks together err no more than a level says.

Each look may spend a fixed share of the level, and the bound of a look is the one that spends exactly this share,
given that no look before it decided (Slud and Wei 1982; Lan and DeMets 1983, with the number of the look in place of
time). The shares add up to one, so there may be any number of looks.
"""

from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist
from typing import Any

FIRST = 0.6
"""Of the level, for the first look; each further look has this share of what is left."""
_POINTS = 160
_FAR = 8.0
"""Standard errors below zero beyond which nothing is likely."""


def share_of_look(look: int) -> float:
    """How much of the level the look may spend, counted from 1.

    >>> [round(share_of_look(look), 4) for look in (1, 2, 3)]
    [0.6, 0.24, 0.096]
    """
    return FIRST * (1 - FIRST) ** (look - 1)


def share_of_candidate(place: int) -> float:
    """How much of the level candidate number ``place`` may spend, where all those of a live version share one.

    >>> sum(share_of_candidate(place) for place in range(1, 1000)).__round__(3)
    0.999
    """
    return 1 / (place * (place + 1))


@lru_cache(maxsize=1000)
def bounds(sizes: tuple[int, ...], level: float) -> tuple[float, ...]:
    """For each look the standard errors that an estimate must lie above zero; ``sizes`` are the trials seen by then.

    Estimates of a look hold the data of those before. Should trials that came later tell less than the first (more
    of the same tasks), looks resemble each other more than is assumed here, and fewer errors are made than allowed.
    A look without new trials has the bound of the one before, for it can decide nothing new.

    >>> [round(bound, 2) for bound in bounds((100, 200, 300), 0.05)]
    [1.88, 2.05, 2.25]
    """
    import numpy as np

    found = [-NormalDist().inv_cdf(level * share_of_look(1))]
    points, weights = _undecided(sizes[0], found[0])
    mass = weights * np.exp(-(points**2) / (2 * sizes[0])) / np.sqrt(2 * np.pi * sizes[0])
    for look, (before, size) in enumerate(pairwise(sizes), 2):
        if size <= before:
            found.append(found[-1])
            continue
        step = (size - before) ** 0.5
        found.append(_bound(points, mass, size, step, level * share_of_look(look)))
        onward, weights = _undecided(size, found[-1])
        steps = (onward[:, None] - points) / step
        mass = weights * (np.exp(-(steps**2) / 2) @ mass) / (step * np.sqrt(2 * np.pi))
        points = onward
    return tuple(found)


def _bound(points: Any, mass: Any, size: int, step: float, spend: float) -> float:
    """What a sum of ``size``, which was at ``points`` with ``mass`` and went on by ``step``, exceeds with ``spend``."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    def too_much(bound: float) -> float:
        return float(mass @ ndtr((points - bound * size**0.5) / step)) - spend

    return float(brentq(too_much, -_FAR, 5 * _FAR))  # pyright: ignore[reportArgumentType]


def _undecided(size: int, bound: float) -> tuple[Any, Any]:
    """Points and weights to integrate with over the sums that do not decide; a sum of ``size`` has that variance."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    low, high = -_FAR * size**0.5, bound * size**0.5
    return (high - low) / 2 * nodes + (high + low) / 2, (high - low) / 2 * weights


def chance_at(look: int, level: float, sizes: tuple[int, ...]) -> float:
    """The one-sided error that an interval of the newest look may have; without ``sizes`` looks may overlap anyhow.

    >>> chance_at(2, 0.05, ()), round(chance_at(2, 0.05, (100, 200)), 3)
    (0.012, 0.02)
    """
    if len(sizes) != look:
        return level * share_of_look(look)
    return NormalDist().cdf(-bounds(sizes, level)[-1])
