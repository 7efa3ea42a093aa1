"""What ``threadmill export stats`` and ``check`` print for people."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..training.look.check import Report
    from ..training.look.stats import Stats


def print_stats(stats: "Stats", title: str) -> None:
    """A table of what was counted, warnings below it."""
    from rich.console import Console
    from rich.table import Table

    from ..training.look.texts import visible

    record = stats.to_dict()
    console = Console(highlight=False, markup=False, emoji=False)
    table = Table(title=visible(title), show_header=False)
    table.add_row("rows", ", ".join(f"{count:,} {split}" for split, count in record["splits"].items()) or "0")
    if record["tokens"]:
        table.add_row("tokens", f"{record['tokens']:,}, {record['trained_share']:.1%} of them trained")
        table.add_row("tokens of a row", ", ".join(f"{name} {value:,}" for name, value in record["lengths"].items()))
    for name in ("outcomes", "successes", "behaviours", "sources", "tools"):
        told = ", ".join(f"{visible(what)} {count:,}" for what, count in record[name].items())
        if told:
            table.add_row("what successes do" if name == "successes" else name, told)
    for tier, outcomes in record["tiers"].items():
        table.add_row(f"tier {visible(tier)}", ", ".join(f"{what} {count:,}" for what, count in outcomes.items()))
    console.print(table)
    for warning in record["warnings"]:
        console.print(f"warning: {visible(warning)}", style="yellow", soft_wrap=True)


def print_report(report: "Report") -> None:
    """Every kept finding with its place, its excerpt and what to do about it."""
    from rich.console import Console

    from ..training.look.texts import visible

    console = Console(highlight=False, markup=False, emoji=False)
    rows = ", ".join(f"{count:,} {split}" for split, count in report.splits.items())
    console.print(
        f"{report.path}: {report.kind} in {report.format}, rows: {rows or 'none'}", style="bold", soft_wrap=True
    )
    told: set[str] = set()
    for record in report.findings.records():
        again = record["code"] in told
        told.add(record["code"])
        place = f"{record['split']} row {record['row']}: " if record["row"] else ""
        style = "red" if record["severity"] == "error" else "yellow"
        if not again:
            console.print(f"\n{record['severity']} {record['code']}, {record['count']:,} in all", style=style)
        console.print(visible(f"{place}{record['explanation']}"), soft_wrap=True)
        if record["excerpt"]:
            console.print(visible(record["excerpt"]), style="dim", soft_wrap=True)
        console.print(visible(f"→ {record['fix']}"), soft_wrap=True)
    console.print()
    for missing in report.not_checked:
        console.print(f"not checked: {visible(missing)}", style="yellow", soft_wrap=True)
    style = "red" if report.errors else "yellow" if report.warnings else "green"
    console.print(f"{report.errors:,} errors, {report.warnings:,} warnings", style=style)
