"""The whole loop once: run, label, export, train, evaluate, register, swap, roll back.

Everything lands in one folder: the database with all threads, the data sets, the models, the picture.
An interrupted quickstart goes on where it stopped: finished threads, exports and trainings are kept.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checkpoints.reading import read_messages
from ..checkpoints.registry import list_versions, promote, register_version, resolve, rollback
from ..checkpoints.store import Store, open_store
from ..errors import ThreadmillError
from ..graphs.run import Outcome, answer_thread, read_outcome, run_thread
from ..nodes.models.slot import Slot
from .evaluation.summary import Comparison, compare
from .export import export_pairs, export_sft
from .picture import draw_result
from .recipes.dpo import DpoConfig, train_dpo
from .recipes.grpo import GrpoConfig, train_grpo
from .recipes.lineage import lineage_of
from .recipes.report import TrainingReport, read_report
from .recipes.sft import SftConfig, train_sft
from .rollout import run_tasks, worlds_folder
from .slots import SEED_POLICY, open_slot
from .worlds.helpdesk import make_tasks
from .worlds.helpdesk.agent import build_helpdesk
from .worlds.helpdesk.database import make_world, write_world
from .worlds.helpdesk.prompt import AGENT, SLOT

Progress = Callable[..., None]
Stage = Callable[[str], AbstractContextManager[Progress]]
"""Announces a stage by its title and gives a function ``(done, total, loss=None)`` to report with."""


@dataclass(frozen=True)
class QuickstartConfig:
    """How much of everything; the defaults fit six minutes on two cores."""

    out: Path
    seed: int = 0
    tasks_per_tier: int = 60
    trials: int = 4
    heldout_per_tier: int = 40
    evaluation_trials: int = 3
    grpo_steps: int = 4
    workers: int = 48


@dataclass
class Quickstart:
    """What a quickstart did."""

    out: Path
    comparison: Comparison
    promoted: bool
    spoken: list[tuple[str, str, str]]
    """The resumed thread: version (empty for people and tools), role, text."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds, by stage."""


def run_quickstart(config: QuickstartConfig, stage: Stage) -> Quickstart:
    """Run the loop in ``config.out`` and write ``result.json`` and ``result.png`` there."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(title: str) -> Iterator[Progress]:
        began = time.monotonic()
        with stage(title) as progress:
            yield progress
        seconds[title] = round(time.monotonic() - began, 1)

    out = config.out
    out.mkdir(parents=True, exist_ok=True)
    with open_store(f"sqlite:///{out / 'runs.db'}") as store:
        if not list_versions(store, SLOT):
            seed = register_version(store, SLOT, SEED_POLICY, lineage={"recipe": "seed_policy"})
            promote(store, SLOT, seed.name, because="the policy that ships with the package")
        live = open_slot(store, SLOT)
        agent = build_helpdesk(live).compile(checkpointer=store.saver, name=AGENT)

        with timed("pause a thread"):
            paused = _paused_thread(store, agent)
        with timed("run training tasks") as progress:
            tasks = make_tasks("train", config.tasks_per_tier, config.seed)
            before = live.version_now()
            run_tasks(
                store,
                tasks,
                live,
                trials=config.trials,
                seed=config.seed,
                workers=config.workers,
                reviewer="scripted",
                progress=progress,
            )
        with timed("export rows and pairs") as progress:
            _export(store, out, progress)
        sft, dpo, grpo = _train(store, config, timed)
        with timed("register the candidate"):
            candidate = _register(store, (sft, dpo, grpo), before)
        with timed("evaluate both") as progress:
            comparison = _evaluate(store, config, (before, candidate), progress)
        promoted = comparison.difference.low > 0 and all(
            difference >= 0 for difference in comparison.difference.by_tier.values()
        )
        with timed("swap, resume, roll back"):
            spoken = _swap(store, agent, live, paused, candidate, promoted)
    losses = {"SFT": sft.losses, "DPO": dpo.losses}
    draw_result(out / "result.png", comparison.before, comparison.after, comparison.difference, losses)
    done = Quickstart(out, comparison, promoted, spoken, seconds)
    (out / "result.json").write_text(json.dumps(as_json(done), indent=1) + "\n", encoding="utf-8")
    return done


def as_json(done: Quickstart) -> dict[str, Any]:
    """The JSON document of ``threadmill quickstart --json``."""
    comparison = done.comparison
    return {
        "before": {tier: values["success"] for tier, values in comparison.before.by_tier.items()},
        "after": {tier: values["success"] for tier, values in comparison.after.by_tier.items()},
        "difference": {
            "mean": comparison.difference.mean,
            "low": comparison.difference.low,
            "high": comparison.difference.high,
        },
        "stages": done.stages,
        "versions": [version for version, _, _ in done.spoken if version],
        "promoted": done.promoted,
        "out": str(done.out),
    }


def _paused_thread(store: Store, agent: Any) -> str:
    """A thread that waits for a human: full refunds of dear orders are asked for until one pauses."""
    for index in range(40):
        thread = f"paused-{index:02d}"
        try:
            outcome = read_outcome(agent, thread)
        except ThreadmillError:
            world = make_world("train", 900_000 + index)
            dear = [order for order in world.orders if order.status == "delivered" and order.amount > 100]
            if not dear:
                continue
            path = worlds_folder(store) / f"{thread}.db"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_world(world, path)
            outcome = run_thread(
                agent,
                thread,
                f"Refund order {dear[0].id} in full.",
                configurable={"world": str(path), "seed": index},
            )
        if outcome.status == "paused":
            return thread
    raise ThreadmillError("none of 40 refunds made the agent ask; the seed policy is not what it should be")


def _export(store: Store, out: Path, progress: Progress) -> None:
    if not (out / "sft").exists():
        export_sft(store, out / "sft", tokenizer=str(SEED_POLICY), where=[f"agent={AGENT}"], progress=progress)
    if not (out / "pairs").exists():
        export_pairs(store, out / "pairs", tokenizer=str(SEED_POLICY), where=[f"agent={AGENT}"], progress=progress)


def _train(
    store: Store, config: QuickstartConfig, timed: Stage
) -> tuple[TrainingReport, TrainingReport, TrainingReport]:
    models = config.out / "models"
    reports = []
    with timed("train SFT") as progress:
        sft = SftConfig(data=config.out / "sft", base=str(SEED_POLICY), out=models / "sft", seed=config.seed)
        reports.append(read_report(sft.out) if sft.out.exists() else train_sft(sft, progress=progress))
    with timed("train DPO") as progress:
        dpo = DpoConfig(data=config.out / "pairs", base=str(sft.out), out=models / "dpo", seed=config.seed)
        reports.append(read_report(dpo.out) if dpo.out.exists() else train_dpo(dpo, progress=progress))
    with timed("train GRPO") as progress:
        grpo = GrpoConfig(
            AGENT,
            base=str(dpo.out),
            out=models / "grpo",
            steps=config.grpo_steps,
            tasks=config.tasks_per_tier,
            seed=config.seed,
        )
        reports.append(read_report(grpo.out) if grpo.out.exists() else train_grpo(grpo, store, progress=progress))
    return reports[0], reports[1], reports[2]


def _register(store: Store, reports: tuple[TrainingReport, ...], base: str) -> str:
    report = reports[-1]
    known = [version for version in list_versions(store, SLOT) if Path(version.folder) == report.out]
    if known:
        return known[0].name
    return register_version(store, SLOT, report.out, lineage=lineage_of(*reports), base=base).name


def _evaluate(store: Store, config: QuickstartConfig, versions: tuple[str, str], progress: Progress) -> Comparison:
    tasks = make_tasks("heldout", config.heldout_per_tier, config.seed)
    total = 2 * len(tasks) * config.evaluation_trials
    results = []
    for number, version in enumerate(versions):
        offset = number * total // 2
        results.append(
            run_tasks(
                store,
                tasks,
                open_slot(store, SLOT, version),
                trials=config.evaluation_trials,
                seed=config.seed,
                workers=config.workers,
                prefix=f"eval-{version.rpartition('@')[2]}-",
                progress=lambda done, _, offset=offset: progress(offset + done, total),
            )
        )
    return compare(results[0], results[1], k=config.evaluation_trials, seed=config.seed)


def _swap(
    store: Store, agent: Any, live: Slot, thread: str, candidate: str, promoted: bool
) -> list[tuple[str, str, str]]:
    """Move ``live``, answer the thread that waits since before training, give it a new turn, and go back."""
    if promoted and resolve(store, f"{SLOT}@live").name != candidate:
        promote(store, SLOT, candidate, because="better on the held-out tasks")
    outcome: Outcome = read_outcome(agent, thread)
    if outcome.status == "paused":
        answers = [{"id": q["id"], "type": "approve", "by": "quickstart"} for q in outcome.questions]
        answer_thread(agent, thread, answers)
        live.catch_up()  # or the next turn might begin before the candidate is loaded
        run_thread(agent, thread, "What does gift wrapping cost?")
        if promoted:
            rollback(store, SLOT, because="quickstart shows the way back")
            promote(store, SLOT, candidate, because="and forward again")
    return [
        (message.response_metadata.get("version", ""), message.type, message.text or _calls(message))
        for message in read_messages(store, thread)
    ]


def _calls(message: Any) -> str:
    return ", ".join(f"{call['name']}({json.dumps(call['args'])})" for call in message.tool_calls)
