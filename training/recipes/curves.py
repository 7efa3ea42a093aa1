"""The picture of a run: its loss, and reward, KL and accuracy where the method logs them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report import TrainingReport

DRAWN = ("reward", "kl", "accuracy")
"""Curves that are drawn below the loss; all others are in the report alone."""


def draw_curves(path: Path, report: "TrainingReport") -> None:
    """Write a PNG to ``path``: one curve below the other over the same steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = {"loss": report.losses, **{name: report.curves[name] for name in DRAWN if name in report.curves}}
    figure = Figure(figsize=(8, 0.6 + 2.2 * len(curves)))
    FigureCanvasAgg(figure)
    figure.subplots_adjust(
        left=0.09, right=0.98, bottom=0.5 / figure.get_figheight(), top=1 - 0.4 / figure.get_figheight()
    )
    figure.subplots_adjust(hspace=0.3)
    below = figure.subplots(len(curves), squeeze=False, sharex=True)[:, 0]
    for axes, (name, points) in zip(below, curves.items(), strict=True):
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, color="#2f6fb3", linewidth=1.4, marker=".")
        axes.set_title(f"{report.method} {name}", loc="left", fontsize=11)
        axes.grid(axis="y", color="#e3e6eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    below[-1].set_xlabel("step")
    figure.savefig(path, dpi=100, format="png")
