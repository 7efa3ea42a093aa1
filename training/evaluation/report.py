"""What evaluations say, in figures: intervals for every metric, tools, kinds of failure, and each against the first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..statistics import Difference
from .breakdown import FailureCounts, SlotCounts, ToolCounts, by_failure, by_slot, by_tool
from .intervals import Interval, Paired, aggregate, aggregate_by_tier, paired
from .run import Evaluation
from .summary import compare


@dataclass(frozen=True, slots=True)
class Report:
    """One evaluation in figures, and against a baseline if it is not that itself."""

    evaluation: Evaluation
    figures: dict[str, Interval]
    """Metric to its figure, in the order of ``METRICS``; metrics that do not apply are missing."""
    by_tier: dict[str, dict[str, Interval]]
    """Tier to the figures of its tasks alone."""
    tools: dict[str, ToolCounts]
    """The most used first."""
    slots: dict[str, SlotCounts]
    """The most asked first; empty where messages do not say which slot answered."""
    failures: dict[str, FailureCounts]
    """By kind, what failed most episodes first."""
    difference: Difference | None = None
    """Of success, less the baseline's; None for the baseline, and where a tier has but one task."""
    paired: dict[str, Paired] | None = None
    """Of every metric, less the baseline's."""

    @property
    def name(self) -> str:
        """What was evaluated, in words."""
        return name_of(self.evaluation.versions)

    @property
    def unpriced(self) -> list[str]:
        """Models that the price table does not know, so that the episodes they spoke in have no cost."""
        return list(dict.fromkeys(name for one in self.evaluation.measured for name in one.unpriced))


def report_on(evaluations: Sequence[Evaluation], *, seed: int) -> list[Report]:
    """A report for each, the first being the baseline of the others; ``seed`` is that of the bootstrap.

    Raises:
        BadEvaluation: they are not of the same tasks.
    """
    return [_report(one, evaluations[0] if number else None, seed) for number, one in enumerate(evaluations)]


def as_json(reports: Sequence[Report]) -> dict[str, Any]:
    """The JSON document of ``threadmill eval --json``: the last model at the top, all of them under ``models``."""
    models = [model_json(report) for report in reports]
    return {
        "suite": reports[-1].evaluation.suite,
        **models[-1],
        "evaluations": [report.evaluation.id for report in reports],
        "models": models,
    }


def model_json(report: Report) -> dict[str, Any]:
    """One model of that document."""
    done = report.evaluation
    tiers = {
        tier: {**values, **_ends(report.by_tier[tier].get("success"))} for tier, values in done.summary.by_tier.items()
    }
    return {
        "version": report.name,
        "versions": done.versions,
        "evaluation": done.id,
        "settings": done.settings,
        **asdict(done.summary),
        "by_tier": tiers,
        "metrics": {**done.summary.metrics, **{name: figure.mean for name, figure in report.figures.items()}},
        "intervals": {name: asdict(figure) for name, figure in report.figures.items()},
        "intervals_by_tier": {
            tier: {name: asdict(figure) for name, figure in figures.items()} for tier, figures in report.by_tier.items()
        },
        "tools": {tool: asdict(counts) for tool, counts in report.tools.items()},
        "slots": {slot: asdict(counts) for slot, counts in report.slots.items()},
        "failures": [
            {"kind": kind, "count": counts.episodes, **counts.as_json()} for kind, counts in report.failures.items()
        ],
        "unpriced": report.unpriced,
        "crashed": sum(error is not None for error in done.errors),
        "difference": asdict(report.difference) if report.difference else None,
        "paired": {name: asdict(one) for name, one in report.paired.items()} if report.paired else None,
    }


def name_of(versions: dict[str, str]) -> str:
    """One name for what answers in the slots.

    >>> name_of({"desk.think": "seed"}), name_of({"desk.plan": "desk.plan@0002", "desk.think": "out/model"})
    ('seed', 'desk.plan@0002, desk.think=out/model')
    """
    if len(set(versions.values())) == 1:
        return next(iter(versions.values()))
    return ", ".join(
        version if version.startswith(f"{slot}@") else f"{slot}={version}" for slot, version in versions.items()
    )


def _report(evaluation: Evaluation, baseline: Evaluation | None, seed: int) -> Report:
    tasks = [episode.task for episode in evaluation.episodes]
    tiers = {episode.task: episode.tier for episode in evaluation.episodes}
    return Report(
        evaluation=evaluation,
        figures=aggregate(evaluation.measured, tasks, seed=seed, tiers=tiers, k=evaluation.k),
        by_tier=aggregate_by_tier(evaluation.measured, tasks, seed=seed, tiers=tiers, k=evaluation.k),
        tools=by_tool(evaluation.measured),
        slots=by_slot(evaluation.measured),
        failures=by_failure(evaluation.measured),
        difference=None if baseline is None else _difference(baseline, evaluation, seed),
        paired=None
        if baseline is None
        else paired(
            baseline.measured,
            evaluation.measured,
            [episode.task for episode in baseline.episodes],
            tasks,
            seed=seed,
            tiers=tiers,
            k=evaluation.k,
        ),
    )


def _ends(success: Interval | None) -> dict[str, float | None]:
    return {"success_low": success.low if success else None, "success_high": success.high if success else None}


def _difference(before: Evaluation, after: Evaluation, seed: int) -> Difference | None:
    tasks_of = Counter({episode.task: episode.tier for episode in after.episodes}.values())
    if min(tasks_of.values()) < 2:
        return None
    return compare(before.episodes, after.episodes, k=after.k, seed=seed).difference
