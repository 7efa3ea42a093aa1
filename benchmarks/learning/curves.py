"""The curves as a picture: success after each condition, and what happened on the way there."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

WITH_LOSS = ("sft", "star", "sft_star")
"""The losses of other methods do not fall when they work."""
TIERS = ("simple", "sequential", "parallel", "complex")


def draw(path: Path, results: Mapping[str, Mapping[str, Any]], table: Sequence[Mapping[str, Any]]) -> None:
    """Write a PNG: success by tier and condition, losses of SFT, success of the episodes that GRPO played."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (bars, losses, played) = pyplot.subplots(1, 3, figsize=(19, 5.5), width_ratios=(2, 1, 1))
    _draw_success(bars, table)
    for number, of_seed in enumerate(results.values()):
        for place, (name, result) in enumerate(of_seed.items()):
            line = {"label": name if number == 0 else None, "color": f"C{place}"}
            if name in WITH_LOSS and "losses" in result:
                losses.plot(*_smooth(result["losses"], 20), **line)
            if result.get("played"):
                played.plot(*_smooth(result["played"], 4), **line)
    losses.set(title="loss of SFT (mean of 20 steps)", xlabel="step", yscale="log")
    played.set(title="success of the episodes GRPO plays (mean of 4 steps)", xlabel="step", ylim=(0, 1))
    for axes in (losses, played):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_success(axes: Any, table: Sequence[Mapping[str, Any]]) -> None:
    width = 0.2
    for place, tier in enumerate(TIERS):
        at = [number + (place - 1.5) * width for number in range(len(table))]
        axes.bar(
            at, [record[tier][0] for record in table], width, yerr=[record[tier][1] for record in table], label=tier
        )
    axes.set(title="held-out success, %, sampled", ylim=(0, 104))
    axes.set_xticks(range(len(table)), [record["condition"] for record in table], rotation=25, ha="right")
    axes.legend(ncols=4, fontsize=8, loc="lower right")


def _smooth(curve: Sequence[Sequence[float]], over: int) -> tuple[list[float], list[float]]:
    """Steps and means of ``over`` values at a time."""
    edges = [*range(0, len(curve), over), len(curve)]
    parts = [curve[start:end] for start, end in pairwise(edges) if end > start]
    return [part[-1][0] for part in parts], [sum(value for _, value in part) / len(part) for part in parts]
