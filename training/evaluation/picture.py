"""One picture of evaluations: success by tier, a bar for each model with its interval."""

from collections.abc import Sequence
from pathlib import Path

from .report import Report

COLORS = ("#b8bec9", "#2f6fb3", "#e0902f", "#4f9d69", "#9467bd", "#8c564b")
WHISKER = "#3a3f4a"


def draw_success(path: Path, reports: Sequence[Report]) -> None:
    """Write a PNG to ``path``; whiskers are 95 % intervals over tasks."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}):  # dollars in a name are dollars
        _draw(path, reports)


def _draw(path: Path, reports: Sequence[Report]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tiers = list(reports[0].evaluation.summary.by_tier)
    figure = Figure(figsize=(max(6.0, 1.5 + 1.4 * len(tiers)), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.8 / len(reports)
    for number, report in enumerate(reports):
        places = [place + (number - (len(reports) - 1) / 2) * width for place in range(len(tiers))]
        axes.bar(
            places,
            [100 * report.evaluation.summary.by_tier[tier]["success"] for tier in tiers],
            width=0.94 * width,
            yerr=list(zip(*(_whisker(report, tier) for tier in tiers), strict=True)),
            error_kw={"ecolor": WHISKER, "capsize": 3, "elinewidth": 1.1},
            color=COLORS[number % len(COLORS)],
            label=report.name,
        )
    axes.set_xticks(range(len(tiers)), tiers, rotation=0 if len(tiers) < 8 else 30)
    axes.set_ylim(0, 100 + 8 * (len(reports) + 1))  # room for the legend above a full bar
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("success, %")
    axes.set_title(_title(reports), loc="left", fontsize=11)
    axes.legend(frameon=False, loc="upper left", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, format="png")


def _whisker(report: Report, tier: str) -> tuple[float, float]:
    """How far the interval reaches below and above the bar, in points; nothing where there is none."""
    figure = report.by_tier[tier].get("success")
    if figure is None or figure.low is None or figure.high is None:
        return 0.0, 0.0
    return 100 * max(figure.mean - figure.low, 0.0), 100 * max(figure.high - figure.mean, 0.0)


def _title(reports: Sequence[Report]) -> str:
    last = reports[-1]
    if last.difference is None:
        return f"{last.evaluation.suite}: success {100 * last.evaluation.summary.pass_at_1:.1f} %"
    mean, low, high = (100 * one for one in (last.difference.mean, last.difference.low, last.difference.high))
    which = "" if len(reports) == 2 else ", last less first:"
    return f"{last.evaluation.suite}: success{which} {mean:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
