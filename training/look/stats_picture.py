"""Statistics as one picture: lengths and what is trained of them, outcomes, activity, tools and behaviours."""

from collections import Counter
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

from .stats import Stats, histogram

GOOD, BAD, QUIET, FILL, LINE = "#2f8f5b", "#c9503c", "#b8bec9", "#2f6fb3", "#e3e6eb"
MOST = 12
"""Bars in one panel."""
COLOURS = {"acts": GOOD, "runs a tool": GOOD, "only reads": "#e0a030", "runs no tool": BAD, "unknown": QUIET}


def draw_stats(path: Path, stats: Stats, title: str) -> None:
    """Write a PNG to ``path``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_plain(f"{title} · {stats.rows:,} rows"), x=0.01, ha="left", fontsize=13, fontweight="bold")
    panels = figure.subplots(2, 3)
    _bins(panels[0][0], stats.lengths, f"tokens in a row ({stats.tokens:,} in all)", "tokens")
    share = f"{stats.trained / stats.tokens:.0%} in all" if stats.tokens else "no tokens"
    _bins(panels[0][1], stats.shares, f"share of trained tokens ({share})", "per cent of a row")
    _outcomes(panels[0][2], stats)
    successes = stats.outcomes["success"]
    _bars(
        panels[1][0], stats.activity, f"what the {successes:,} successes do", [COLOURS[name] for name in stats.activity]
    )
    _bars(panels[1][1], stats.tools, "rows that call a tool")
    _bars(panels[1][2], stats.behaviours or stats.sources, "behaviours" if stats.behaviours else "sources")
    path.parent.mkdir(parents=True, exist_ok=True)
    with catch_warnings():
        simplefilter("ignore")  # about letters that its font lacks
        figure.savefig(path, dpi=130, format="png")


def _bins(axes: Any, counts: Counter[int], title: str, label: str) -> None:
    bins = histogram(counts)
    if bins:
        width = bins[0][1] - bins[0][0] + 1
        axes.bar([low for low, _, _ in bins], [n for *_, n in bins], width=width, align="edge", color=FILL, ec="white")
    axes.set_xlabel(label)
    axes.set_ylabel("rows")
    _dress(axes, title, "y")


def _outcomes(axes: Any, stats: Stats) -> None:
    tiers = dict(sorted(stats.tiers.items())) or {"all": stats.outcomes}
    names = list(tiers)[:MOST]
    below = [0] * len(names)
    for outcome, colour in (("success", GOOD), ("failure", BAD), ("unlabelled", QUIET)):
        heights = [tiers[name][outcome] for name in names]
        axes.bar(range(len(names)), heights, bottom=below, color=colour, label=outcome, width=0.7)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set_xticks(range(len(names)), [_plain(name) for name in names])
    axes.set_ylim(0, 1.25 * max([*below, 1]))
    axes.legend(frameon=False, ncols=3, fontsize=8, loc="upper center")
    _dress(axes, "outcomes by tier" if stats.tiers else "outcomes", "y")


def _bars(axes: Any, counts: Counter[str], title: str, colours: list[str] | None = None) -> None:
    shown = counts.most_common(MOST)
    colour = {name: colours[at] for at, name in enumerate(counts)} if colours else {}
    bars = axes.barh(
        range(len(shown)), [count for _, count in shown], color=[colour.get(name, FILL) for name, _ in shown]
    )
    axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=9)
    axes.set_yticks(range(len(shown)), [_plain(name) for name, _ in shown])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    if not shown:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not known", ha="center", va="center", color="#8a919c", transform=axes.transAxes)
    more = len(counts) - len(shown)
    _dress(axes, title + (f" ({more} more)" if more > 0 else ""), "x")


def _dress(axes: Any, title: str, grid: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(axis=grid, color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(axis=grid, integer=True, nbins=6)
    axes.tick_params(labelsize=9)


def _plain(text: str) -> str:
    """``text`` that is no formula, and not longer than there is room for."""
    shown = text if len(text) <= 28 else f"{text[:27]}…"
    return shown.replace("$", r"\$")
