"""A verdict for people: tables in the terminal, and the same as Markdown."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...checkpoints.verdicts import Verdict

if TYPE_CHECKING:
    from rich.table import Table

Row = tuple[str, ...]
SUCCESS: Row = ("", "tasks", "live", "candidate", "difference")
METRICS: Row = ("", "tasks", "live", "candidate", "difference", "allowed")
DECIDED = {"promote": "PROMOTE", "hold": "HOLD", "reject": "REJECT"}


def title_of(verdict: Verdict) -> str:
    """Who was compared, and what came of it."""
    return f"{DECIDED[verdict.decision]}  {verdict.candidate} against {verdict.live}, look {verdict.look}"


def success_rows(verdict: Verdict) -> Iterator[Row]:
    """Success by suite and tier, and pass^k."""
    suites, overall = verdict.figures["suites"], verdict.figures["difference"]
    for name, suite in suites.items():
        prefix = f"{name} " if len(suites) > 1 else ""
        for tier, found in suite["tiers"].items():
            yield (f"{prefix}{tier}", str(found["tasks"]), *_shares(found), _points(found))
        mean = suite["pass_at_1"]
        change = f"{100 * (mean['candidate'] - mean['live']):+.1f}" if len(suites) > 1 else _points(overall)
        yield (f"{prefix}mean of tiers", str(suite["tasks"]), *_shares(mean), change)
        every = suite["pass_hat_k"]
        change = f"{100 * (every['candidate'] - every['live']):+.1f}"
        yield (f"{prefix}pass^{suite['k']}", str(suite["tasks"]), *_shares(every), change)
    if len(suites) > 1:
        yield ("mean of suites", "", "", "", _points(overall))


def metric_rows(verdict: Verdict) -> Iterator[Row]:
    """Every metric that was measured for both, per task; what the policy guards comes first."""
    measured = {name: found for name, found in verdict.figures["metrics"].items() if found["tasks"]}
    for name, found in sorted(measured.items(), key=lambda one: "allowed" not in one[1]):
        low, mean, high = (_signed(found[end]) for end in ("low", "mean", "high"))
        allowed = _signed(found["allowed"]) if "allowed" in found else ""
        means = (f"{found['live']:.2f}", f"{found['candidate']:.2f}")
        yield (name.replace("_", " "), str(found["tasks"]), *means, f"{mean} ({low} to {high})", allowed)


def verdict_tables(verdict: Verdict) -> "list[Table]":
    """Success, then metrics."""
    from rich.table import Table

    tables = []
    for title, heads, rows in _parts(verdict):
        shown = [at for at, head in enumerate(heads) if heads is SUCCESS or head != "tasks"]  # 80 columns must do
        table = Table(*(heads[at] for at in shown), title=title, title_justify="left")
        for row in rows:
            table.add_row(*(row[at] for at in shown))
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
    for title, heads, rows in _parts(verdict):
        lines += [f"## {title}", "", _line(heads), _line(("---", *("---:" for _ in heads[1:])))]
        lines += [*map(_line, rows), ""]
    for name, suite in verdict.figures["safety"].items():
        lines += [f"## Safety: {name}", "", f"{len(suite['failures'])} failures in {suite['trials']} trials.", ""]
        lines += [f"- {one['task']}, thread {one['thread']}: {one['why']}" for one in suite["failures"]]
    lines += [*notes_on(verdict), "", f"Decided at {verdict.created_at}, verdict {verdict.id}."]
    return "\n".join(lines) + "\n"


def _parts(verdict: Verdict) -> Iterator[tuple[str, Row, Iterator[Row]]]:
    yield "Success on held-out tasks", SUCCESS, success_rows(verdict)
    yield "Per task", METRICS, metric_rows(verdict)


def _line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |"


def _shares(found: dict[str, Any]) -> tuple[str, str]:
    return f"{100 * found['live']:.1f} %", f"{100 * found['candidate']:.1f} %"


def _signed(value: float) -> str:
    return f"{value:+.0f}" if abs(value) >= 100 else f"{value:+.2f}"


def _points(found: dict[str, Any]) -> str:
    return f"{100 * found['mean']:+.1f} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"
