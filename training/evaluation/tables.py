"""Tables of evaluations, for people: success by tier, what matters of the metrics, why episodes fail."""

from collections.abc import Sequence
from itertools import zip_longest

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .intervals import Interval, Paired
from .metrics import METRIC
from .report import Report
from .summary import METRICS, Comparison

SHOWN = (
    "tool_selection",
    "argument_accuracy",
    "json_validity",
    "groundedness",
    "clarification",
    "needless_question",
    "refusal",
    "recovery",
    "match_unordered",
    "steps",
    "calls",
    "failed_calls",
    "invalid_calls",
    "unneeded_calls",
    "repeated_calls",
    "sampled_tokens",
    "model_call_p50",
    "model_call_p95",
    "cost_usd",
)
"""The metrics of the table; all others are in the JSON document."""


def print_reports(reports: Sequence[Report], console: Console) -> None:
    """Print all figures of ``reports``, and of each model its tools and failures."""
    console.print(figures_table(reports))  # what models and users have named is no markup: hence Text and markup=False
    for number, report in enumerate(reports):
        crashed = sum(error is not None for error in report.evaluation.errors)
        name = report.name if len(reports) == 1 else f"{chr(ord('A') + number)}  {report.name}"
        console.print(f"\n{name}: evaluation {report.evaluation.id}", highlight=False, markup=False, soft_wrap=True)
        if crashed:
            console.print(f"{crashed} of {len(report.evaluation.errors)} episodes crashed", style="bold red")
        if report.unpriced:
            console.print(f"no price for {', '.join(report.unpriced)}; name it in the price table", markup=False)
        if report.tools:
            console.print(tools_table(report))
        if len(report.slots) > 1:
            console.print(slots_table(report))
        if report.failures:
            console.print(failures_table(report))


def figures_table(reports: Sequence[Report]) -> Table:
    """A column for each model, and behind each but the first how far it is from the first, with 95 % intervals."""
    columns = ["", "A" if len(reports) > 1 else ""]
    for number in range(1, len(reports)):
        letter = chr(ord("A") + number)
        columns += [letter, f"{letter} − A (95 %)"]
    table = Table(
        *columns, title=Text(_title(reports), "table.title"), title_justify="left", show_header=len(reports) > 1
    )
    for tier in reports[0].evaluation.summary.by_tier:
        cells = [_success(report, tier, with_interval=len(reports) == 1) for report in reports]
        changes = [
            "" if report.difference is None else f"{report.difference.by_tier[tier]:+.1%}" for report in reports[1:]
        ]
        table.add_row(Text(f"{tier} success"), *_woven(cells, changes))
    table.add_section()
    _add_figure(table, reports, "success", "mean success", style="bold")
    _add_figure(table, reports, "reward", "partial credit")
    if (k := reports[0].evaluation.k) > 1:
        _add_figure(table, reports, "pass_at_k", f"pass@{k}")
        _add_figure(table, reports, "pass_hat_k", f"pass^{k}")
    table.add_section()
    for name in SHOWN:
        if any(name in report.figures for report in reports):
            _add_figure(table, reports, name, name.replace("_", " "))
    _align_right(table)
    return table


def tools_table(report: Report) -> Table:
    """What became of the calls of each tool."""
    table = Table("tool", "calls", "failed", "invalid", "repeated", "ms a call", box=SIMPLE_HEAD)
    for tool, counts in report.tools.items():
        table.add_row(
            Text(tool),
            *(str(count) for count in (counts.calls, counts.failed, counts.invalid, counts.repeated)),
            "" if counts.mean_ms is None else f"{counts.mean_ms:.1f}",
        )
    _align_right(table)
    return table


def slots_table(report: Report) -> Table:
    """What the model in each slot did and took."""
    table = Table("slot", "steps", "calls", "failed", "invalid", "tokens", "ms a step", box=SIMPLE_HEAD)
    for slot, counts in report.slots.items():
        table.add_row(
            Text(slot),
            *(str(count) for count in (counts.steps, counts.calls, counts.failed, counts.invalid)),
            "" if counts.sampled_tokens is None else str(counts.sampled_tokens),
            "" if counts.mean_ms is None else f"{counts.mean_ms:.1f}",
        )
    _align_right(table)
    return table


def failures_table(report: Report) -> Table:
    """Kinds of failure, in how many episodes each, and a thread to look at."""
    table = Table("failure", "episodes", "threadmill threads show …", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for kind, counts in report.failures.items():
        table.add_row(kind.replace("_", " "), str(counts.episodes), Text(counts.examples[0].thread))
    table.columns[1].justify = "right"
    table.columns[2].overflow = "fold"
    return table


def comparison_table(comparison: Comparison) -> Table:
    """A table of both versions side by side: success by tier, pass^k, what a task costs."""
    before, after, difference = comparison.before, comparison.after, comparison.difference
    table = Table("", "before", "after", "difference", title="Held-out tasks", title_justify="left")
    for tier, change in difference.by_tier.items():
        was, now = before.by_tier[tier]["success"], after.by_tier[tier]["success"]
        table.add_row(f"{tier} success", f"{was:.1%}", f"{now:.1%}", f"{change:+.1%}")
    table.add_section()
    table.add_row(
        "mean success",
        f"{before.pass_at_1:.1%}",
        f"{after.pass_at_1:.1%}",
        f"{difference.mean:+.1%} ({difference.low:+.1%} to {difference.high:+.1%})",
        style="bold",
    )
    change = after.pass_hat_k - before.pass_hat_k
    table.add_row(f"pass^{after.k}", f"{before.pass_hat_k:.1%}", f"{after.pass_hat_k:.1%}", f"{change:+.1%}")
    table.add_section()
    for name in METRICS:
        was, now = before.metrics[name], after.metrics[name]
        table.add_row(f"{name.replace('_', ' ')} per task", f"{was:.2f}", f"{now:.2f}", f"{now - was:+.2f}")
    _align_right(table)
    return table


def _title(reports: Sequence[Report]) -> str:
    if len(reports) == 1:
        return reports[0].name
    return "\n".join(f"{chr(ord('A') + number)}  {report.name}" for number, report in enumerate(reports))


def _success(report: Report, tier: str, *, with_interval: bool) -> str:
    figure = report.by_tier[tier].get("success")
    if figure is None:
        return "–"
    return _with_interval(figure, "success") if with_interval else _written(figure.mean, "success")


def _add_figure(table: Table, reports: Sequence[Report], name: str, said: str, style: str | None = None) -> None:
    figures = [report.figures.get(name) for report in reports]
    if len(reports) == 1:
        cells = ["–" if figure is None else _with_interval(figure, name) for figure in figures]
    else:
        cells = ["–" if figure is None else _written(figure.mean, name) for figure in figures]
    changes = [_change((report.paired or {}).get(name), name) for report in reports[1:]]
    table.add_row(said, *_woven(cells, changes), style=style)


def _with_interval(figure: Interval, name: str) -> str:
    mean = _written(figure.mean, name)
    if figure.low is None or figure.high is None:
        return mean
    return f"{mean} ({_written(figure.low, name)} to {_written(figure.high, name)})"


def _change(change: Paired | None, name: str) -> str:
    if change is None:
        return "–"
    said = _written(change.difference, name, signed=True)
    if change.low is None or change.high is None:
        return said
    return f"{said} ({_written(change.low, name, signed=True)} to {_written(change.high, name, signed=True)})"


def _written(value: float, name: str, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    unit = METRIC[name].unit
    if unit == "share":
        return f"{value:{sign}.1%}"
    if unit == "USD":
        return f"{value:{sign}.5f}"
    return f"{value:{sign}.3f}" if unit == "s" else f"{value:{sign}.2f}"


def _woven(cells: Sequence[str], changes: Sequence[str]) -> list[str]:
    """The first cell, then each other one with its change.

    >>> _woven(["1", "2", "3"], ["+1", "+2"])
    ['1', '2', '+1', '3', '+2']
    """
    return [cells[0], *(text for pair in zip_longest(cells[1:], changes, fillvalue="") for text in pair)]


def _align_right(table: Table) -> None:
    for column in table.columns[1:]:
        column.justify = "right"
