"""Train one method after the other, each from what the one before it made, in the time that there is."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import BadSuite
from ..recipes.config import load_config
from ..recipes.methods import METHODS as RECIPES
from ..recipes.report import Progress, TrainingReport, read_report
from .budget import SHORTEST_S, next_share
from .settings import METHODS
from .work import Work

GRPO_STEPS = 20
"""At most, however much time there is; ``recipes`` may say another number."""
READS = {"sft": "sft", "dpo": "pairs"}
"""Method to the kind of data set that it is trained on."""
Data = Mapping[str, Mapping[str, Any]]
"""Kind of data set to what the export told of it: ``rows``, ``folder`` …"""
Stage = Callable[[str], AbstractContextManager[Progress]]
"""Announces a stage by its title and gives a function ``(done, total, loss=None)`` to report with."""


@dataclass(frozen=True)
class Lesson:
    """What one method did."""

    report: TrainingReport
    share_s: float
    """The time it was given."""


def train_methods(work: Work, data: Data, left_s: float, stage: Stage) -> tuple[list[Lesson], dict[str, str]]:
    """What each method did, in their order, and why others did nothing; folders that are there already are kept.

    Raises:
        KeyboardInterrupt: the run was stopped; what it had learnt by then is kept beside its folder.
    """
    methods = [method for method in METHODS if method in work.config.methods]
    refused = {method: why for method in methods if (why := why_not(method, work, data))}
    waiting = [method for method in methods if method not in refused]
    lessons: list[Lesson] = []
    base = work.base_folder
    while waiting:
        share_s = next_share(left_s, waiting)
        method = waiting.pop(0)
        out = work.folder / "models" / method
        began = time.monotonic()
        if out.exists():
            report = read_report(out)
            left_s -= report.seconds
        elif share_s < SHORTEST_S:
            refused[method] = "no time is left for it"
            continue
        else:
            with stage(f"train {method.upper()}") as progress:
                report = _train(method, work, data, base, out, share_s, progress)
            left_s -= time.monotonic() - began
        lessons.append(Lesson(report, round(share_s, 1)))
        base = str(out)
    return lessons, refused


def why_not(method: str, work: Work, data: Data) -> str | None:
    """Why there is nothing that ``method`` could train on; None if there is."""
    if method != "grpo":
        found = data.get(READS[method], {}).get("rows")
        return None if found else f"there are no {'rows' if method == 'sft' else 'pairs'}"
    if work.suite is None:
        return "there is no suite whose tasks could be played"
    try:
        found = work.suite.tasks("train", 1, work.config.seed)
    except BadSuite:
        found = []
    return None if found else "the suite has no tasks to train on"


def _train(
    method: str, work: Work, data: Data, base: str, out: Path, share_s: float, progress: Progress
) -> TrainingReport:
    told = {"base": base, "out": str(out), "seed": work.config.seed, "max_minutes": round(share_s / 60, 3)}
    told |= {"data": data[READS[method]]["folder"]} if method in READS else _played(work)
    told |= work.config.recipes.get(method, {})
    recipe = RECIPES[method]  # which imports torch
    config: Any = load_config(recipe.config_class(), flags=told)
    if not recipe.plays:
        return recipe.train_function()(config, progress=progress)
    assert work.suite is not None
    there = len(work.suite.tasks("train", config.tasks, config.seed))
    config = replace(config, tasks_per_step=min(config.tasks_per_step, there))
    return recipe.train_function()(config, work.store, suite=work.suite, progress=progress)


def _played(work: Work) -> dict[str, Any]:
    """What GRPO is told about the tasks that it plays."""
    return {
        "suite": work.suite_name,
        "steps": GRPO_STEPS,
        "workers": work.config.workers,
        "train_slots": (work.slot,),
    }
