"""One picture of a training: success by tier before and after, and the loss curves beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .evaluation.summary import Summary
from .statistics import Difference

BEFORE, AFTER, LINE = "#b8bec9", "#2f6fb3", "#2f6fb3"


def draw_result(
    path: Path,
    before: Summary,
    after: Summary,
    difference: Difference,
    losses: Mapping[str, Sequence[tuple[int, float]]],
) -> None:
    """Write a PNG to ``path``; ``losses`` maps a curve's name to its (step, loss) points.

    Curves are stacked, each with its own axis, because the losses of different methods cannot be compared.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    rows = max(len(losses), 1)
    grid = figure.add_gridspec(rows, 2, width_ratios=(1.25, 1))
    _draw_success(figure.add_subplot(grid[:, 0]), before, after, difference)
    for row, (name, points) in enumerate(losses.items()):
        axes = figure.add_subplot(grid[row, 1])
        _draw_loss(axes, name, points)
        if row == rows - 1:
            axes.set_xlabel("step")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, format="png")


def _draw_success(axes: Any, before: Summary, after: Summary, difference: Difference) -> None:
    tiers = list(before.by_tier)
    for summary, name, color, shift in ((before, "before", BEFORE, -0.2), (after, "after", AFTER, 0.2)):
        heights = [100 * summary.by_tier[tier]["success"] for tier in tiers]
        places = [place + shift for place in range(len(tiers))]
        bars = axes.bar(places, heights, width=0.38, color=color, label=name)
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=9)
    axes.set_xticks(range(len(tiers)), tiers)
    axes.set_ylim(0, 120)  # room for the legend above a full bar
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("held-out success, %")
    axes.set_title(
        f"Success {100 * difference.mean:+.1f} points"
        f" (95 % interval {100 * difference.low:+.1f} to {100 * difference.high:+.1f})",
        loc="left",
        fontsize=11,
    )
    axes.legend(frameon=False, ncols=2, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_loss(axes: Any, name: str, points: Sequence[tuple[int, float]]) -> None:
    axes.plot([step for step, _ in points], [loss for _, loss in points], color=LINE, linewidth=1.4)
    axes.set_title(f"{name} loss", loc="left", fontsize=11)
    axes.grid(axis="y", color="#e3e6eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
