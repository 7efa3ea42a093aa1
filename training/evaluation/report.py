"""What evaluations say, in figures: intervals for every metric, tools, kinds of failure, and each against the first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..statistics import Difference
from .failures import KINDS, Failure
from .intervals import Interval, Paired, aggregate, paired
from .measured import METRICS, Measured
from .run import Evaluation
from .summary import compare

EXAMPLES = 5
"""Of each kind of failure, from as many different threads."""


@dataclass(frozen=True, slots=True)
class FailureKind:
    """One kind of failure."""

    kind: str
    about: str
    count: int
    episodes: int
    """In which it happened."""
    examples: tuple[Failure, ...]
    """From different threads, those that did not succeed first."""


@dataclass(frozen=True, slots=True)
class Report:
    """One evaluation in figures, and against a baseline if it is not that itself."""

    evaluation: Evaluation
    figures: dict[str, Interval]
    """Metric to its figure, in the order of ``METRICS``; metrics that do not apply are missing."""
    by_tier: dict[str, Interval]
    """Tier to success."""
    tools: dict[str, dict[str, float]]
    """Tool to what was counted over all episodes, the most used first."""
    failures: tuple[FailureKind, ...]
    """Most frequent first."""
    difference: Difference | None = None
    """Of success, less the baseline's; None for the baseline, and where a tier has but one task."""
    paired: dict[str, Paired] | None = None
    """Of every metric, less the baseline's."""

    @property
    def name(self) -> str:
        """What was evaluated, in words."""
        return name_of(self.evaluation.versions)


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
        tier: {**values, "success_low": report.by_tier[tier].low, "success_high": report.by_tier[tier].high}
        for tier, values in done.summary.by_tier.items()
        if tier in report.by_tier
    }
    return {
        "version": report.name,
        "versions": done.versions,
        "evaluation": done.id,
        "settings": done.settings,
        **asdict(done.summary),
        "by_tier": {**done.summary.by_tier, **tiers},
        "metrics": {**done.summary.metrics, **{name: figure.mean for name, figure in report.figures.items()}},
        "intervals": {name: asdict(figure) for name, figure in report.figures.items()},
        "tools": report.tools,
        "failures": [asdict(kind) for kind in report.failures],
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


def count_tools(measured: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Tool to the sums of what was counted, and ``seconds_per_call`` where times are known; the most used first."""
    sums: dict[str, Counter[str]] = {}
    for one in measured:
        for tool, counts in one.tools.items():
            sums.setdefault(tool, Counter()).update(counts)  # pyright: ignore[reportArgumentType]
    for counts in sums.values():
        if counts.get("timed"):
            counts["seconds_per_call"] = counts["seconds"] / counts["timed"]  # pyright: ignore[reportArgumentType]
    return {tool: dict(counts) for tool, counts in sorted(sums.items(), key=lambda one: (-one[1]["calls"], one[0]))}


def count_failures(measured: Sequence[Measured]) -> tuple[FailureKind, ...]:
    """Each kind that happened, the most frequent first."""
    found: dict[str, list[Failure]] = {}
    failed_first = sorted(measured, key=lambda one: one.values["success"] == 1.0)
    for one in failed_first:
        for failure in one.failures:
            found.setdefault(failure.kind, []).append(failure)
    kinds = []
    for kind, failures in found.items():
        by_thread = {failure.thread: failure for failure in reversed(failures)}
        examples = tuple(by_thread[thread] for thread in dict.fromkeys(failure.thread for failure in failures))
        kinds.append(FailureKind(kind, KINDS.get(kind, ""), len(failures), len(by_thread), examples[:EXAMPLES]))
    return tuple(sorted(kinds, key=lambda one: (-one.episodes, one.kind)))


def _report(evaluation: Evaluation, baseline: Evaluation | None, seed: int) -> Report:
    tasks = [episode.task for episode in evaluation.episodes]
    tiers = {episode.task: episode.tier for episode in evaluation.episodes}
    figures = aggregate(evaluation.measured, tasks, seed=seed, tiers=tiers, k=evaluation.k)
    return Report(
        evaluation=evaluation,
        figures={metric.name: figures[metric.name] for metric in METRICS if metric.name in figures},
        by_tier={tier: figure for tier in evaluation.summary.by_tier if (figure := _of_tier(evaluation, tier, seed))},
        tools=count_tools(evaluation.measured),
        failures=count_failures(evaluation.measured),
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


def _of_tier(evaluation: Evaluation, tier: str, seed: int) -> Interval | None:
    chosen = [number for number, episode in enumerate(evaluation.episodes) if episode.tier == tier]
    values = [evaluation.measured[number].values for number in chosen]
    only = [Measured({**dict.fromkeys(one), "success": one["success"]}) for one in values]
    return aggregate(only, [evaluation.episodes[number].task for number in chosen], seed=seed).get("success")


def _difference(before: Evaluation, after: Evaluation, seed: int) -> Difference | None:
    tasks_of = Counter({episode.task: episode.tier for episode in after.episodes}.values())
    if min(tasks_of.values()) < 2:
        return None
    return compare(before.episodes, after.episodes, k=after.k, seed=seed).difference
