"""A screening: every estimate with its interval and effective sample size, and plain warnings. Pure.

It says whether a candidate is worth an evaluation. It never decides: the gate does, on episodes that the candidate
itself has played.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .estimators import (
    BY_DECISION,
    ESTIMATORS,
    Estimator,
    Terms,
    absolute,
    effective_sizes,
    relative,
    resampled,
    terms_of,
)
from .logged import Logged, LoggedEpisode, as_arrays
from .values import Values, by_task_and_step

ONLY_A_SCREENING = (
    "This is a screening only: it says whether the candidate is worth an evaluation. "
    "Whether it may answer, the gate decides on episodes that the candidate itself has played."
)
FEWEST = 30
"""An effective sample size below this is too small,"""
SMALLEST_SHARE = 0.05
"""and so is one below this share of the episodes."""
RESAMPLES = 2000
WEIGHT = "weight"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one estimator says."""

    name: Estimator
    value: float | None
    """None where the candidate would have decided otherwise in every episode."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval."""
    effective: float
    """How many episodes of the candidate's own would say about as much."""
    too_small: bool
    """Whether that is too few for the estimate to mean anything."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """How the candidate differs from what answered, decision by decision."""

    count: int
    mean_log_ratio: float | None
    """0 for equal policies, else negative on average; None where the candidate would never have decided so."""
    kl: float | None
    """An estimate of KL(μ‖π) of a decision: the mean of r - 1 - log r (Schulman, Approximating KL Divergence)."""


@dataclass(frozen=True, slots=True)
class Screening:
    """All figures."""

    episodes: int
    tasks: int
    logged: float
    """What the episodes of the log earned on average."""
    estimates: tuple[Estimate, ...]
    mean_weight: float
    """1 on average; less where the candidate does what the log does not show."""
    mean_weight_low: float
    mean_weight_high: float
    heaviest: tuple[tuple[str, float], ...]
    """Threads that count most, and their share of all weight."""
    decisions: Decisions
    warnings: tuple[str, ...]


def screen(
    episodes: Sequence[LoggedEpisode], *, values: Values | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> Screening:
    """Estimate from ``episodes`` what the candidate of their ratios would earn; ``values`` None is by task and step.

    Intervals are percentile bootstraps over tasks; over episodes where there are fewer than two tasks.

    Raises:
        BadEvaluation: no episodes, or numbers that are none.
    """
    logged = as_arrays(episodes)
    last = logged.log_weights[:, -1:]
    terms: dict[str, Terms] = {
        **terms_of(logged, values or by_task_and_step(logged)),
        WEIGHT: Terms(absolute(last), np.ones_like(last)),
    }
    found = _with_intervals(terms, groups_of(logged), seed, resamples)
    of_episodes, of_decisions = float(effective_sizes(last)[0]), float(effective_sizes(logged.log_weights).min())
    estimates = []
    for name in ESTIMATORS:
        effective = of_decisions if name in BY_DECISION else of_episodes
        estimates.append(Estimate(name, *found[name], effective, is_too_small(effective, len(episodes))))
    mean, low, high = (number or 0.0 for number in found[WEIGHT])
    shares = relative(last)[:, 0]
    shares = shares / max(shares.sum(), 1.0)
    heaviest = tuple((episodes[place].thread, float(shares[place])) for place in np.argsort(-shares)[:3])
    return Screening(
        episodes=len(episodes),
        tasks=int(logged.tasks.max()) + 1,
        logged=float(logged.rewards.sum(axis=1).mean()),
        estimates=tuple(estimates),
        mean_weight=mean,
        mean_weight_low=low,
        mean_weight_high=high,
        heaviest=heaviest,
        decisions=decisions_of(episodes),
        warnings=tuple(_warnings(of_episodes, len(episodes), (mean, low, high))),
    )


def is_too_small(effective: float, episodes: int) -> bool:
    """Below 30, or below 5 % of the episodes.

    >>> is_too_small(29.9, 40), is_too_small(30.0, 40), is_too_small(49.0, 1000), is_too_small(50.0, 1000)
    (True, False, True, False)
    """
    return effective < FEWEST or effective < SMALLEST_SHARE * episodes


def decisions_of(episodes: Sequence[LoggedEpisode]) -> Decisions:
    """What the log-ratios of all decisions say of the two policies."""
    logs = np.array([ratio for episode in episodes for ratio in episode.log_ratios])
    if not np.isfinite(logs).all():
        return Decisions(len(logs), None, None)
    return Decisions(len(logs), float(logs.mean()), float((absolute(logs) - 1 - logs).mean()))


def groups_of(logged: Logged) -> NDArray[np.int64]:
    """Which episodes are resampled together: those of a task, or each alone if there is but one task."""
    return logged.tasks if logged.tasks.max() else np.arange(len(logged.tasks))


def _with_intervals(
    terms: Mapping[str, Terms], groups: NDArray[np.int64], seed: int, resamples: int
) -> dict[str, tuple[float | None, float | None, float | None]]:
    """Value, low and high of each; all None where nothing has weight."""
    found: dict[str, tuple[float | None, float | None, float | None]] = {}
    drawn = resampled(terms, groups, resamples=resamples, seed=seed)
    for name, one in terms.items():
        value = float(one.estimates(np.ones((1, len(groups))))[0])
        if np.isnan(value):
            found[name] = None, None, None
        else:
            low, high = np.nanquantile(drawn[name], [0.025, 0.975])
            found[name] = value, float(low), float(high)
    return found


def _warnings(effective: float, episodes: int, weights: tuple[float, float, float]) -> list[str]:
    found = []
    if is_too_small(effective, episodes):
        found.append(
            f"The effective sample size is {effective:.1f} of {episodes} episodes: too small (below {FEWEST}, or below "
            f"{SMALLEST_SHARE:.0%} of them), so these estimates and their intervals say next to nothing. The candidate "
            "differs too much from what was logged, or the log is too short: evaluate it instead (`threadmill eval`)."
        )
    mean, low, high = weights
    if not low <= 1 <= high:
        found.append(
            f"Weights average {mean:.3g} ({low:.3g} to {high:.3g}) where 1 is due: the candidate does things that the "
            "log hardly shows, or its probabilities are not comparable with the recorded ones. What it earns there "
            "nobody has seen, and no interval covers it: evaluate it instead (`threadmill eval`)."
        )
    return found
