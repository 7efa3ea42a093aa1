"""The picture of ``reasoning.py``: held-out success of each condition, and the rewards while GRPO trains."""

from pathlib import Path
from typing import Any

COLORS = {"before": "#b8bec9", "rft": "#7fb08a", "grpo": "#2f6fb3"}
NAMES = {"before": "demonstrations", "rft": "+ rejection sampling", "grpo": "+ GRPO"}


def draw(path: Path, result: dict[str, Any]) -> None:
    """Write a PNG: bars by tier, mean of the seeds with a dot for each; curves, one for each seed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    bars, curves = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _bars(bars, result)
    for points in result["rewards_by_step"].values():
        curves.plot(*zip(*points, strict=True), color=COLORS["grpo"], linewidth=1.2, alpha=0.8)
    curves.set_title("Mean reward of GRPO's training episodes, by seed", loc="left", fontsize=11)
    curves.set_xlabel("step")
    for axes in (bars, curves):
        axes.grid(axis="y", color="#e3e6eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120, format="png")


def _bars(axes: Any, result: dict[str, Any]) -> None:
    conditions = result["conditions"]
    tiers = [*conditions["before"]["success_by_tier"], "mean"]
    for number, (name, values) in enumerate(conditions.items()):
        heights = [100 * value for value in (*values["success_by_tier"].values(), values["success"])]
        places = [place + 0.27 * (number - 1) for place in range(len(tiers))]
        drawn = axes.bar(places, heights, width=0.25, color=COLORS[name], label=NAMES[name])
        axes.bar_label(drawn, fmt="%.0f", padding=6, fontsize=9)
        dots = [100 * value for value in values["success_by_seed"]]
        axes.plot([places[-1]] * len(dots), dots, ".", color="#30343b", markersize=4)
    axes.set_xticks(range(len(tiers)), tiers)
    axes.set_ylim(0, 120)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("held-out success, %")
    gains = ", ".join(
        f"{NAMES[name]} {100 * one['mean']:+.0f} points ({100 * one['low']:+.0f} to {100 * one['high']:+.0f})"
        for name, one in result["differences"].items()
    )
    axes.set_title(gains, loc="left", fontsize=9)
    axes.legend(frameon=False, ncols=3, loc="upper right")
