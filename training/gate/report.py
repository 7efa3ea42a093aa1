"""A verdict for people: tables in the terminal, and the same as Markdown."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...checkpoints.verdicts import Verdict
from ..evaluation.metrics import METRIC

if TYPE_CHECKING:
    from rich.table import Table

Row = tuple[str, str, str, str, str]
HEADS: Row = ("", "tasks", "live", "candidate", "difference")
DECIDED = {"promote": "PROMOTE", "hold": "HOLD", "reject": "REJECT"}


def title_of(verdict: Verdict) -> str:
    """Who was compared, and what came of it."""
    return f"{DECIDED[verdict.decision]}  {verdict.candidate} against {verdict.live}, look {verdict.look}"


def success_rows(verdict: Verdict) -> Iterator[Row]:
    """Success by suite and tier, and pass^k."""
    suites = verdict.figures["suites"]
    for name, suite in suites.items():
        prefix = f"{name} " if len(suites) > 1 else ""
        for tier, found in suite["tiers"].items():
            yield (f"{prefix}{tier}", str(found["tasks"]), *_shares(found), _points(found))
        for what, figure in (("success, mean of tiers", "pass_at_1"), (f"pass^{suite['k']}", "pass_hat_k")):
            change = suite[figure]["candidate"] - suite[figure]["live"]
            yield (f"{prefix}{what}", str(suite["tasks"]), *_shares(suite[figure]), f"{100 * change:+.1f}")
    yield ("difference that counts", "", "", "", _points(verdict.figures["difference"]))


def metric_rows(verdict: Verdict) -> Iterator[Row]:
    """Every metric that was measured for both, per task; what the policy guards comes first."""
    measured = {name: found for name, found in verdict.figures["metrics"].items() if found["tasks"]}
    for name, found in sorted(measured.items(), key=lambda one: "allowed" not in one[1]):
        change = f"{found['mean']:+.2f} ({found['low']:+.2f} to {found['high']:+.2f})"
        if "allowed" in found:
            change += f", allowed {found['allowed']:+.2f}"
        unit = METRIC[name].unit
        label = f"{name.replace('_', ' ')}, {unit}" if unit not in ("share", "calls") else name.replace("_", " ")
        yield (label, str(found["tasks"]), f"{found['live']:.2f}", f"{found['candidate']:.2f}", change)


def verdict_tables(verdict: Verdict) -> "list[Table]":
    """Success, then metrics."""
    from rich.table import Table

    tables = []
    for title, rows in (("Success on held-out tasks", success_rows(verdict)), ("Per task", metric_rows(verdict))):
        table = Table(*HEADS, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        for column in table.columns[1:]:
            column.justify = "right"
        tables.append(table)
    return tables


def notes_on(verdict: Verdict) -> list[str]:
    """What the intervals mean, and what the figures leave out."""
    share = 100 * (1 - 2 * verdict.figures["level_of_look"])
    notes = [f"Intervals of {share:.1f} %: all looks together err at most at the level {verdict.figures['level']:.3g}."]
    for name, suite in verdict.figures["suites"].items():
        if suite["left_out"]:
            notes.append(f"{suite['left_out']} tasks of {name} are left out: live crashed there, which tells nothing.")
    return notes


def as_markdown(verdict: Verdict) -> str:
    """The whole verdict as a page."""
    lines = [f"# {title_of(verdict)}", "", *(f"- {reason}" for reason in verdict.reasons), ""]
    for title, rows in (("Success on held-out tasks", success_rows(verdict)), ("Per task", metric_rows(verdict))):
        lines += [f"## {title}", "", _line(HEADS), _line(("---", "---:", "---:", "---:", "---:"))]
        lines += [*map(_line, rows), ""]
    for name, suite in verdict.figures["safety"].items():
        lines += [f"## Safety: {name}", "", f"{len(suite['failures'])} failures in {suite['trials']} trials.", ""]
        lines += [f"- {one['task']}, thread {one['thread']}: {one['why']}" for one in suite["failures"]]
    lines += [*notes_on(verdict), "", f"Decided at {verdict.created_at}, verdict {verdict.id}."]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _shares(found: dict[str, Any]) -> tuple[str, str]:
    return f"{100 * found['live']:.1f} %", f"{100 * found['candidate']:.1f} %"


def _points(found: dict[str, Any]) -> str:
    return f"{100 * found['mean']:+.1f} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"
