"""Whether a reward model ranks pairs that it was not trained on, and how far its certainty can be believed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .calibration import Calibration, calibrate
from .compared import OVERALL, Compared, Row, compare
from .learned import RewardModel


def judge_pairs(model: RewardModel, rows: Sequence[Row]) -> dict[str, Any]:
    """Accuracy and calibration of every head on these pairs, JSON-safe, and of ``overall`` by the pairs' source.

    Pairs of one task (without one: of one thread) stand or fall together. A head of which no pair tells is left out.

    Raises:
        BadReward: a side that the model cannot read.
        BadEvaluation: no pair.
    """
    compared = compare(rows, components=len(model.heads) > 1)
    scores = model.score([ids for one in compared for ids in (one.chosen, one.rejected)])
    margins = [
        {head: better * (chosen[head] - rejected[head]) for head, better in one.better.items() if head in chosen}
        for one, chosen, rejected in zip(compared, scores[::2], scores[1::2], strict=True)
    ]
    return judge_margins(compared, margins, model.heads)


def judge_margins(
    compared: Sequence[Compared], margins: Sequence[Mapping[str, float]], heads: Sequence[str] = (OVERALL,)
) -> dict[str, Any]:
    """The figures of whatever gave the better side of each comparison so much more than the worse one, by head."""
    told = [*zip(compared, margins, strict=True)]
    found: dict[str, Any] = {"heads": {}, "by_source": {}}
    for head in heads:
        own = [(one.group, margin[head]) for one, margin in told if head in margin]
        if own:
            found["heads"][head] = asdict(_figures(own))
    for source in sorted({one.source for one, margin in told if OVERALL in margin}):
        figures = _figures([(one.group, margin[OVERALL]) for one, margin in told if one.source == source])
        found["by_source"][source] = {"pairs": figures.pairs, "accuracy": asdict(figures.accuracy)}
    return found


def _figures(told: Sequence[tuple[str, float]]) -> Calibration:
    return calibrate([margin for _, margin in told], [group for group, _ in told])
