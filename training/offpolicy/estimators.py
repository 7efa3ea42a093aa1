"""What a candidate would have earned, estimated from episodes that another policy played. Pure.

With ρ(t) = π(a₁|s₁)…π(aₜ|sₜ) / μ(a₁|s₁)…μ(aₜ|sₜ), the weight of an episode up to decision t:

- ``ips``: mean of ρ(end) · reward (Horvitz & Thompson 1952). Unbiased; a few episodes may carry everything.
- ``snips``: the same over the sum of the weights (Swaminathan & Joachims 2015). Biased by about 1/n, far steadier, and
  always within the rewards that were seen.
- ``pdis``: each reward weighted by the decisions up to it alone (Precup, Sutton & Singh 2000). Unbiased; the same as
  ``ips`` where all reward comes at the end.
- ``wpdis``: that, over the sum of the weights at each decision (Thomas 2015, Safe Reinforcement Learning).
- ``dr``: values as a baseline, weighted corrections where the log differs from them (Dudík et al. 2011 for one
  decision, Jiang & Li 2016 for several). Unbiased.
- ``wdr``: that, with weights over their sum (Thomas & Brunskill 2016).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .logged import Floats, Logged, summed_by
from .values import Values

Estimator = Literal["ips", "snips", "pdis", "wpdis", "dr", "wdr"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
BY_DECISION = ("pdis", "wpdis", "wdr")
"""Those whose weights are taken at each decision."""
LARGEST_LOG_WEIGHT = 50.0
"""Weights of estimators without a norm are cut at e^50: one like it makes an estimate meaningless anyway."""


@dataclass(frozen=True, slots=True)
class Terms:
    """An estimator as a sum over columns of Σ numerators / Σ denominators, both with a row for each episode."""

    numerators: Floats
    denominators: Floats

    def summed(self, groups: NDArray[np.int64]) -> "Terms":
        """A row for each group of episodes; ``groups`` says which each is in."""
        return Terms(summed_by(groups, self.numerators), summed_by(groups, self.denominators))

    def estimates(self, counts: Floats) -> Floats:
        """One estimate for each row of ``counts``: how often each row counts. Not a number where nothing has weight."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return ((counts @ self.numerators) / (counts @ self.denominators)).sum(axis=1)


def terms_of(logged: Logged, values: Values) -> dict[Estimator, Terms]:
    """Every estimator's terms."""
    total = logged.rewards.sum(axis=1, keepdims=True)
    last = logged.log_weights[:, -1:]
    now, before = logged.log_weights, logged.log_weights_before
    rho, rho_before = absolute(now), absolute(before)
    norm, norm_before = relative(now), relative(before)
    each = np.ones_like(rho)
    surprise = logged.rewards - values.decisions
    return {
        "ips": Terms(absolute(last) * total, each[:, :1]),
        "snips": Terms(relative(last) * total, relative(last)),
        "pdis": Terms(rho * logged.rewards, each),
        "wpdis": Terms(norm * logged.rewards, norm),
        "dr": Terms(rho * surprise + rho_before * values.states, each),
        "wdr": Terms(
            np.concatenate([norm * surprise, norm_before * values.states], axis=1),
            np.concatenate([norm, norm_before], axis=1),
        ),
    }


def absolute(log_weights: Floats) -> Floats:
    """The weights themselves, cut so that nothing overflows."""
    return np.exp(np.minimum(log_weights, LARGEST_LOG_WEIGHT))


def relative(log_weights: Floats) -> Floats:
    """The weights of each column up to a factor: its largest is 1, so that none overflows and not all vanish."""
    largest = log_weights.max(axis=0)
    return np.exp(log_weights - np.where(np.isneginf(largest), 0.0, largest))


def effective_sizes(log_weights: Floats) -> Floats:
    """Of each column, how many equally weighted episodes would say as much: (Σw)² / Σw² (Kish 1965); 0 without weight.

    >>> effective_sizes(np.log([[1.0, 1.0], [1.0, 3.0]])).round(3).tolist()
    [2.0, 1.6]
    """
    weights = relative(log_weights)
    squares = (weights**2).sum(axis=0)
    return np.divide(weights.sum(axis=0) ** 2, squares, out=np.zeros_like(squares), where=squares > 0)


def resampled(terms: Mapping[str, Terms], groups: NDArray[np.int64], *, resamples: int, seed: int) -> dict[str, Floats]:
    """Estimates from samples of as many groups as there are, drawn with repetition: the same for all ``terms``."""
    by_group = {name: one.summed(groups) for name, one in terms.items()}
    found: dict[str, list[Floats]] = {name: [] for name in terms}
    for counts in _draws(int(groups.max()) + 1, resamples, seed):
        for name, one in by_group.items():
            found[name].append(one.estimates(counts))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _draws(groups: int, resamples: int, seed: int) -> Iterator[Floats]:
    chance = np.random.default_rng(seed)
    at_once = max(1, 2_000_000 // groups)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        yield chance.multinomial(groups, np.full(groups, 1 / groups), size=size).astype(float)
