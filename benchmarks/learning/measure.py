"""How good a policy is on held-out tasks: success by tier, steps, and the shares of failed and unneeded calls.

Also how good one could be: the scripted expert on the same tasks. Some right solutions hold a call that fails (an order
is cancelled by a wrong number first), so the share of failed calls has a floor that no training goes below.
"""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import open_store
from threadmill.nodes.models.local import LocalChatModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.episode import Episode
from threadmill.training.evaluation.summary import summarise
from threadmill.training.rollout import run_tasks
from threadmill.training.worlds.helpdesk import TIERS, Task
from threadmill.training.worlds.helpdesk.check import check
from threadmill.training.worlds.helpdesk.database import make_world, read_end_state, write_world
from threadmill.training.worlds.helpdesk.expert import demonstrate
from threadmill.training.worlds.helpdesk.prompt import SLOT


def measure(
    database: Path, policy: Path, tasks: Sequence[Task], *, trials: int, seed: int, temperature: float
) -> dict[str, Any]:
    """The figures of ``policy``; finished threads in ``database`` are not played again."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with open_store(f"sqlite:///{database}") as store:
        model = LocalChatModel.from_folder(
            str(policy), version=policy.parent.name, temperature=temperature, max_new_tokens=128
        )
        try:
            slot = Slot.fixed(SLOT, model, model.version)
            episodes = run_tasks(store, tasks, slot, trials=trials, seed=seed, workers=48)
        finally:
            model.close()
        by_id = {task.id: task for task in tasks}
        needless = sum(needless_failures(by_id[one.task], read_messages(store, one.thread)) for one in episodes)
    return figures(episodes, {task.id: task.kind for task in tasks}, needless)


def needless_failures(task: Task, messages: Sequence[BaseMessage]) -> int:
    """Calls that failed and are not in the shortest solution."""
    needed = Counter(_key(name, args) for name, args in task.needed)
    calls = [call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    made = {call["id"]: _key(call["name"], call["args"]) for call in calls}
    failed = Counter(
        made[one.tool_call_id]
        for one in messages
        if isinstance(one, ToolMessage) and one.additional_kwargs.get("kind") in ("failed", "timeout")
    )
    return (failed - needed).total()


def _key(name: str, args: dict[str, Any]) -> tuple[str, str]:
    return name, repr(sorted(args.items()))


def figures(episodes: Sequence[Episode], kinds: dict[str, str], needless: int) -> dict[str, Any]:
    """Percentages but for ``steps`` and ``calls``, which are means of an episode."""
    summary = summarise(episodes)
    calls = sum(episode.calls for episode in episodes)
    by_kind: dict[str, list[bool]] = {}
    for episode in episodes:
        by_kind.setdefault(kinds[episode.task], []).append(episode.success)
    return {
        **{tier: 100 * values["success"] for tier, values in summary.by_tier.items()},
        "mean": 100 * summary.pass_at_1,
        "pass_hat_k": 100 * summary.pass_hat_k,
        "steps": summary.metrics["steps"],
        "calls": calls / len(episodes),
        "failed": 100 * sum(episode.failed_calls for episode in episodes) / calls,
        "needless_failed": 100 * needless / calls,
        "invalid": 100 * sum(episode.invalid_calls for episode in episodes) / calls,
        "unneeded": 100 * sum(episode.unneeded_calls for episode in episodes) / calls,
        "kinds": {kind: 100 * sum(met) / len(met) for kind, met in by_kind.items()},
    }


def measure_expert(tasks: Sequence[Task]) -> dict[str, Any]:
    """The same figures of the scripted expert, who is always right: the floor of steps, calls and failed calls."""
    episodes = {task.id: _solution(task) for task in tasks}
    results = [message for messages, _ in episodes.values() for message in messages if isinstance(message, ToolMessage)]
    met = {
        tier: [success for task in tasks if task.tier == tier for success in [episodes[task.id][1]]] for tier in TIERS
    }
    by_tier = {tier: 100 * sum(successes) / len(successes) for tier, successes in met.items()}
    spoken = sum(isinstance(message, AIMessage) for messages, _ in episodes.values() for message in messages)
    return {
        **by_tier,
        "mean": sum(by_tier.values()) / len(by_tier),
        "steps": spoken / len(tasks),
        "calls": len(results) / len(tasks),
        "failed": 100 * sum(result.text.startswith("error:") for result in results) / len(results),
        "needless_failed": 0.0,
        "invalid": 0.0,
        "unneeded": 0.0,
    }


def _solution(task: Task) -> tuple[list[BaseMessage], bool]:
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world.db"
        write_world(make_world(task.split, task.seed), world)
        messages = demonstrate(task, world)
        return messages, check(task, read_end_state(world), messages[-1].text).success
