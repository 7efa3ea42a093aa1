"""Several seeds as one table: means, half widths of 95 % intervals (Student's t over the seeds), and the aims.

The interval is over seeds: each has training tasks, held-out tasks, sampling and shuffling of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Any

TIERS = ("simple", "sequential", "parallel", "complex")
FIGURES = (*TIERS, "mean", "gain", "pass_hat_k", "steps", "calls", "failed", "needless_failed", "invalid", "unneeded")
GOALS: Mapping[str, Mapping[str, float]] = {
    "sft": dict(zip(TIERS, (92.0, 78.0, 72.0, 58.0), strict=True)),
    "grpo": dict(zip(TIERS, (96.0, 88.0, 85.0, 74.0), strict=True)),
}
"""At least so many percent, by tier, after SFT and after GRPO."""
CEILINGS = {"failed": 4.0, "unneeded": 8.0}
"""Below so many percent of the calls, after GRPO."""
T_975 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""Student's t for 95 %, by the number of seeds."""


def mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the half width of its 95 % interval; 0 for one value.

    >>> mean_and_half_width([90.0, 92.0, 94.0])
    (92.0, 4.96...)
    """
    if len(values) < 2:
        return values[0], 0.0
    return fmean(values), T_975[len(values)] * stdev(values) / sqrt(len(values))


def rows(results: Mapping[str, Mapping[str, Any]], how: str) -> list[dict[str, Any]]:
    """One record for each condition: of each figure mean and half width. ``results``: seed to condition to result."""
    conditions = list(dict.fromkeys(name for of_seed in results.values() for name in of_seed))
    table = []
    for name in conditions:
        found = [_with_gain(of_seed, name, how) for of_seed in results.values() if how in of_seed.get(name, {})]
        if not found:
            continue
        record: dict[str, Any] = {"condition": name, "seeds": len(found)}
        for figure in FIGURES:
            values = [one[figure] for one in found if figure in one]
            if len(values) == len(found):
                record[figure] = [round(value, 2) for value in mean_and_half_width(values)]
        table.append(record)
    return table


def _with_gain(of_seed: Mapping[str, Any], name: str, how: str) -> dict[str, Any]:
    """The figures of a condition, and by how much its mean success is above that of the seed policy."""
    found, before = of_seed[name][how], of_seed.get("before", {}).get(how)
    return {**found, "gain": found["mean"] - before["mean"]} if before and name != "before" else found


def compare_with_goals(table: Iterable[Mapping[str, Any]], conditions: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each goal with what was reached; ``conditions`` names who is held against those of ``sft``, and of ``grpo``."""
    by_name = {record["condition"]: record for record in table}
    found = []
    for stage, condition in conditions.items():
        record = by_name.get(condition)
        if record is None:
            continue
        wanted = [(tier, goal, True) for tier, goal in GOALS[stage].items()]
        if stage == "grpo":
            wanted += [(figure, goal, False) for figure, goal in CEILINGS.items()]
        for figure, goal, at_least in wanted:
            value = record[figure][0]
            met = value >= goal if at_least else value < goal
            found.append(
                {
                    "what": f"{condition}: {figure} {'at least' if at_least else 'below'} {goal:g} %",
                    "ratio": round(value / goal, 3),
                    "goal": 1.0,
                    "better": "higher" if at_least else "lower",
                    "met": met,
                    "reached": value,
                    "missed_by": 0.0 if met else round(abs(value - goal), 1),
                }
            )
    return found


def as_markdown(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table's lines."""
    heads = ["", "seeds", *(figure.replace("pass_hat_k", "pass^k").replace("_", " ") for figure in FIGURES)]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for record in table:
        alone = record["seeds"] == 1
        cells = [_cell(record.get(figure), 2 if figure in ("steps", "calls") else 1, alone) for figure in FIGURES]
        lines.append(f"| `{record['condition']}` | {record['seeds']} | {' | '.join(cells)} |")
    return lines


def _cell(value: Sequence[float] | None, digits: int, alone: bool) -> str:
    if value is None:
        return ""
    return f"{value[0]:.{digits}f}" if alone else f"{value[0]:.{digits}f} ± {value[1]:.{digits}f}"
