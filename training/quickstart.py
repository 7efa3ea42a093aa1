"""The whole loop once: run tasks as threads, improve the agent on them, and answer a thread that waited all the while.

Everything lands in one folder: the database with all threads, the data sets, the models, the report, the picture.
An interrupted quickstart goes on where it stopped: finished threads, exports, trainings and evaluations are kept.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checkpoints.reading import read_messages
from ..checkpoints.registry import list_versions, promote, rollback
from ..checkpoints.store import Store, open_store
from ..errors import ThreadmillError
from ..graphs.run import Outcome, answer_thread, read_outcome, run_thread
from ..nodes.models.slot import Slot
from .evaluation.run import evaluate
from .evaluation.summary import Comparison, compare
from .gate.policy import GatePolicy, SuiteRule
from .improve.improve import improve
from .improve.settings import ImproveConfig
from .improve.state import Round, read_round
from .improve.training import Stage
from .improve.work import register_seed
from .picture import draw_result
from .recipes.report import Progress
from .rollout import run_tasks, worlds_folder
from .slots import open_slot
from .worlds.helpdesk import make_tasks
from .worlds.helpdesk.agent import build_helpdesk
from .worlds.helpdesk.database import make_world, write_world
from .worlds.helpdesk.prompt import AGENT, SLOT
from .worlds.helpdesk.suite import make_suite

NO_LIMIT_S = 24 * 3600.0
"""The work is bounded by its amounts, so that a slow machine learns the same as a fast one."""


@dataclass(frozen=True)
class QuickstartConfig:
    """How much of everything; the defaults fit six minutes on two cores."""

    out: Path
    seed: int = 0
    tasks_per_tier: int = 60
    trials: int = 4
    heldout_per_tier: int = 100
    evaluation_trials: int = 2
    grpo_steps: int = 4
    workers: int = 48

    @property
    def policy(self) -> GatePolicy:
        """The gate's default, with these numbers of tasks and trials."""
        rule = SuiteRule(name=AGENT, tasks_per_tier=self.heldout_per_tier, k=self.evaluation_trials)
        fewest = min(GatePolicy().minimum_tasks, self.heldout_per_tier)
        return GatePolicy(suites=(rule,), minimum_tasks=fewest)


@dataclass
class Quickstart:
    """What a quickstart did."""

    out: Path
    comparison: Comparison
    round: Round
    """Of ``improve``: its stages, the verdict, the reasons."""
    spoken: list[tuple[str, str, str]]
    """The resumed thread: version (empty for people and tools), role, text."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds, by stage."""

    @property
    def promoted(self) -> bool:
        """Whether the gate let the candidate go live."""
        return self.round.promoted


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
            register_seed(store)
        live = open_slot(store, SLOT)
        agent = build_helpdesk(live).compile(checkpointer=store.saver, name=AGENT)
        with timed("pause a thread"):
            paused = _paused_thread(store, agent)
        with timed("run training tasks") as progress:
            tasks = make_tasks("train", config.tasks_per_tier, config.seed)
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
        done = _improve(store, config, timed)
        comparison = _compare(store, config, done)
        with timed("swap, resume, roll back"):
            spoken = _swap(store, agent, live, paused, done)
    losses = {one["method"].upper(): one["losses"] for one in done.told("train")["lessons"] if one["method"] != "grpo"}
    draw_result(out / "result.png", comparison.before, comparison.after, comparison.difference, losses)
    result = Quickstart(out, comparison, done, spoken, seconds)
    (out / "result.json").write_text(json.dumps(as_json(result), indent=1) + "\n", encoding="utf-8")
    return result


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


def _improve(store: Store, config: QuickstartConfig, stage: Stage) -> Round:
    """``threadmill improve`` on the threads that were run; once it is done, it is not done again."""
    before = read_round(config.out)
    if before is not None and before.finished:
        return before
    wishes = ImproveConfig(
        agent=AGENT,
        out=config.out,
        budget_s=NO_LIMIT_S,
        recipes={"grpo": {"steps": config.grpo_steps, "tasks": config.tasks_per_tier, "workers": 64}},
        seed=config.seed,
        workers=config.workers,
    )
    done = improve(store, wishes, config.policy, stage)
    if done.candidate is None:
        raise ThreadmillError(f"nothing was trained: {' '.join(done.reasons)}")
    return done


def _compare(store: Store, config: QuickstartConfig, done: Round) -> Comparison:
    """Both versions by the trials that the gate saw."""
    episodes = []
    for stage in ("baseline", "evaluate"):
        played = done.told(stage)["suites"][AGENT]
        found = evaluate(
            store,
            make_suite(),
            {SLOT: played["version"]},
            tasks_per_tier=config.heldout_per_tier,
            k=config.evaluation_trials,
            seed=played["settings"]["seed"],
        )
        episodes.append(found.episodes)
    return compare(*episodes, k=config.evaluation_trials, seed=config.seed)


def _swap(store: Store, agent: Any, live: Slot, thread: str, done: Round) -> list[tuple[str, str, str]]:
    """Answer the thread that waits since before training, give it a new turn, go back and forward again."""
    outcome: Outcome = read_outcome(agent, thread)
    if outcome.status == "paused":
        answers = [{"id": q["id"], "type": "approve", "by": "quickstart"} for q in outcome.questions]
        answer_thread(agent, thread, answers)
        live.catch_up()  # or the next turn might begin before the candidate is loaded
        run_thread(agent, thread, "What does gift wrapping cost?")
        if done.promoted:
            rollback(store, SLOT, because="quickstart shows the way back")
            promote(store, SLOT, str(done.candidate), because="and forward again")
    return [
        (message.response_metadata.get("version", ""), message.type, message.text or _calls(message))
        for message in read_messages(store, thread)
    ]


def _calls(message: Any) -> str:
    return ", ".join(f"{call['name']}({json.dumps(call['args'])})" for call in message.tool_calls)
