"""Tables of evaluations, for people."""

from rich.table import Table

from .summary import METRICS, Comparison, Summary


def summary_table(summary: Summary, title: str) -> Table:
    """A table of one version: tiers as rows, then what a task costs."""
    table = Table("", "success", f"pass^{summary.k}", "reward", title=title, title_justify="left")
    for tier, values in summary.by_tier.items():
        table.add_row(tier, *(f"{values[name]:.1%}" for name in ("success", "pass_hat_k", "reward")))
    table.add_section()
    table.add_row("mean of tiers", f"{summary.pass_at_1:.1%}", f"{summary.pass_hat_k:.1%}", style="bold")
    table.add_section()
    for name, value in summary.metrics.items():
        table.add_row(_per_task(name), f"{value:.2f}")
    _align_right(table)
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
        table.add_row(_per_task(name), f"{was:.2f}", f"{now:.2f}", f"{now - was:+.2f}")
    _align_right(table)
    return table


def _per_task(metric: str) -> str:
    return f"{metric.replace('_', ' ')} per task"


def _align_right(table: Table) -> None:
    for column in table.columns[1:]:
        column.justify = "right"
