"""How well a reward model predicts which side of a held-out pair is better, and whether its certainty is earned.

Pure. A margin is the score of the better side minus that of the worse one. Bradley and Terry (1952) read it as the
chance ``sigmoid(margin)`` that the model gives to the truth. What it predicts is the side with the higher score; its
confidence in that is ``sigmoid(|margin|)``, from 0.5 to 1, and it is right where the margin is above 0.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import BadEvaluation

BINS = 10
"""Of equal width over the confidences from 0.5 to 1."""
RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval; the ends are None if there is a single group, which says nothing of others."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of about the same confidence."""

    low: float
    high: float
    pairs: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What held-out pairs say of a model."""

    pairs: int
    groups: int
    accuracy: Interval
    """The part of the pairs whose better side has the higher score; equal scores are half right."""
    loss: Interval
    """The mean of -ln sigmoid(margin); ln 2 is what a model earns that knows nothing."""
    brier: Interval
    """The mean of (1 - sigmoid(margin))² (Brier 1950); a quarter is what a model earns that knows nothing."""
    ece: Interval
    """Expected calibration error (Guo et al. 2017, equation 3): the sum over bins of n/N · |accuracy - confidence|."""
    ece_if_calibrated: Interval
    """What a model with these confidences would show by chance if every one of them were true (Bröcker and Smith 2007);
    its mean is above 0, because few pairs never come out exactly as they should."""
    bins: tuple[Bin, ...]
    """Those that hold a pair."""


def calibrate(margins: Sequence[float], groups: Sequence[Hashable] | None = None, *, seed: int = 0) -> Calibration:
    """The figures of held-out pairs with these ``margins``; pairs of a group (a task) stand or fall together.

    Intervals are percentiles of a bootstrap over groups. Where all groups come out alike, as where every pair
    is right, that would have no width: the accuracy then has the exact interval of Clopper and Pearson (1934) over as
    many trials as groups.

    >>> found = calibrate([2.0, 1.0, -1.0, 3.0])
    >>> found.accuracy.mean, round(found.brier.mean, 3)
    (0.75, 0.156)

    Raises:
        BadEvaluation: no margin, one that is no finite number, or not one group for each.
    """
    values = np.asarray(margins, dtype=float)
    names = list(range(len(values))) if groups is None else list(groups)
    if not len(values) or not np.isfinite(values).all():
        raise BadEvaluation(f"{len(values)} margins, of which {int((~np.isfinite(values)).sum())} are no finite number")
    if len(names) != len(values):
        raise BadEvaluation(f"{len(values)} margins, but {len(names)} groups; give the group of each")
    sums, counts = _sums(values, names)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=RESAMPLES)
    whole = _figures(sums.sum(0, keepdims=True), counts.sum(keepdims=True))[0]
    ends = np.quantile(_figures(drawn @ sums, drawn @ counts), (0.025, 0.975), axis=0)
    accuracy, loss, brier, ece = (
        Interval(float(mean), *(map(float, both) if len(counts) > 1 else (None, None)))
        for mean, both in zip(whole, ends.T, strict=True)
    )
    return Calibration(
        pairs=len(values),
        groups=len(counts),
        accuracy=_exact(accuracy, len(counts)),
        loss=loss,
        brier=brier,
        ece=ece,
        ece_if_calibrated=_by_chance(values, rng),
        bins=reliability(values),
    )


def reliability(margins: Any) -> tuple[Bin, ...]:
    """The bins that hold a pair, by confidence."""
    margins = np.asarray(margins, dtype=float)
    confidence, right = sigmoid(np.abs(margins)), _right(margins)
    place = _place(confidence)
    width = 0.5 / BINS
    return tuple(
        Bin(
            low=round(0.5 + width * int(number), 6),
            high=round(0.5 + width * (int(number) + 1), 6),
            pairs=int((place == number).sum()),
            confidence=float(confidence[place == number].mean()),
            accuracy=float(right[place == number].mean()),
        )
        for number in np.unique(place)
    )


def expected_calibration_error(margins: Any) -> float:
    """The sum over bins of n/N · |accuracy - confidence|, where a bin's confidence is the mean of its pairs.

    One sure pair that is right and one that is wrong: 50 % right at a confidence of 95 %.

    >>> round(expected_calibration_error([3.0, -3.0]), 3)
    0.453
    """
    margins = np.asarray(margins, dtype=float)
    confidence, right = sigmoid(np.abs(margins)), _right(margins)
    return _gap(confidence, right)


def sigmoid(margins: Any) -> Any:
    """1 / (1 + e^-x), without overflow.

    >>> float(sigmoid(0.0)), float(sigmoid(-1e6))
    (0.5, 0.0)
    """
    return np.exp(-np.logaddexp(0, -np.asarray(margins, dtype=float)))


def _gap(confidence: Any, right: Any) -> float:
    """|sum of (right - confidence)| of each bin, over all pairs: n/N · |accuracy - confidence| summed."""
    sums = np.bincount(_place(confidence), weights=right - confidence, minlength=BINS)
    return float(np.abs(sums).sum() / len(confidence))


def _place(confidence: Any) -> Any:
    return np.minimum(((confidence - 0.5) / 0.5 * BINS).astype(int), BINS - 1)


def _right(margins: Any) -> Any:
    return np.where(margins == 0, 0.5, margins > 0)


def _sums(margins: Any, names: Sequence[Hashable]) -> tuple[Any, Any]:
    """What the figures are made of, summed over each group: right, loss, Brier, and right - confidence of each bin."""
    confidence, right = sigmoid(np.abs(margins)), _right(margins)
    binned = np.zeros((len(margins), BINS))
    binned[np.arange(len(margins)), _place(confidence)] = right - confidence
    each = np.column_stack([right, np.logaddexp(0, -margins), (1 - sigmoid(margins)) ** 2, binned])
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    group = np.array([places[name] for name in names])
    sums = np.zeros((len(places), each.shape[1]))
    np.add.at(sums, group, each)
    return sums, np.bincount(group)


def _figures(sums: Any, counts: Any) -> Any:
    """Accuracy, loss, Brier score and calibration error, a row for each row of ``sums``."""
    means = sums / counts[:, None]
    return np.column_stack([means[:, :3], np.abs(means[:, 3:]).sum(1)])


def _exact(found: Interval, groups: int) -> Interval:
    if found.low is None or found.low != found.high:
        return found
    from scipy.stats import binomtest

    exact = binomtest(round(found.mean * groups), groups).proportion_ci(method="exact")
    return Interval(found.mean, float(exact.low), float(exact.high))


def _by_chance(margins: Any, rng: Any) -> Interval:
    confidence = sigmoid(np.abs(margins))
    draws = [_gap(confidence, rng.random(len(confidence)) < confidence) for _ in range(RESAMPLES)]
    low, high = np.quantile(draws, (0.025, 0.975))
    return Interval(float(np.mean(draws)), float(low), float(high))
