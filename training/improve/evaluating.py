"""Evaluations as the gate will want them: of the live version before training, of the candidate after it.

They are kept, so that the gate reads back what was played here. What the report says of an evaluation is taken from it
here, too: success by tier with intervals, and examples of failures with the threads to look at.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ...checkpoints.reading import time_of
from ...checkpoints.store import Store
from ...checkpoints.where import Where, find_heads
from ..evaluation.intervals import aggregate
from ..evaluation.run import Evaluation, evaluate
from ..gate.policy import SuiteRule
from ..gate.run import seed_of
from .budget import busy_seconds
from .threads import evaluated_threads
from .work import Work

EXAMPLES = 3
"""Of each kind of failure."""


def evaluate_version(
    work: Work, version: str, *, safety: bool, progress: Callable[[int, int], None]
) -> dict[str, Evaluation]:
    """Suite to the evaluation of ``version``; with ``safety`` in safety suites, too, where candidates play alone."""
    rules = [rule for rule in work.policy.suites if safety or not rule.safety]
    total = sum(episodes_of(work, rule) for rule in rules)
    before = 0
    found = {}
    for rule in rules:
        found[rule.name] = evaluate(
            work.store,
            work.suites[rule.name],
            {work.slot: version},
            tasks_per_tier=rule.tasks_per_tier,
            k=rule.k,
            seed=gate_seed(work),
            workers=work.config.workers,
            progress=lambda done, _, before=before: progress(before + done, total),
        )
        before += episodes_of(work, rule)
    return found


def gate_seed(work: Work) -> int:
    """Of the tasks by which the gate compares a candidate with the live version for the first time."""
    if work.base is None:  # in a dry run, and then only the number of tasks matters
        return work.policy.seed
    return seed_of(work.policy, work.base)


def episodes_of(work: Work, rule: SuiteRule) -> int:
    """How many episodes one version plays for ``rule``."""
    return len(work.suites[rule.name].tasks("heldout", rule.tasks_per_tier, gate_seed(work))) * rule.k


def all_episodes(work: Work, *, safety: bool) -> int:
    """How many episodes of one version the gate wants."""
    return sum(episodes_of(work, rule) for rule in work.policy.suites if safety or not rule.safety)


def seconds_an_episode(store: Store, agent: str) -> float | None:
    """By the evaluations that there are of ``agent``: how long an episode took, many at a time; None without any."""
    played = evaluated_threads(store)
    heads = find_heads(store, Where(agent=agent, among=frozenset(played))) if played else []
    ends = [datetime.fromisoformat(at).timestamp() for head in heads if (at := time_of(head.checkpoint))]
    return busy_seconds(ends) / len(ends) if len(ends) > 1 else None


def told_of(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """What the report says of evaluations, JSON-safe, by suite."""
    return {name: _told(one) for name, one in evaluations.items()}


def _told(one: Evaluation) -> dict[str, Any]:
    by_tier: dict[str, list[int]] = {}
    for place, episode in enumerate(one.episodes):
        by_tier.setdefault(episode.tier, []).append(place)
    seed = int(one.settings["seed"])
    tasks = [episode.task for episode in one.episodes]
    return {
        "id": one.id,
        "version": next(iter(one.versions.values())),
        "settings": one.settings,
        "k": one.k,
        "episodes": len(one.episodes),
        "crashes": sum(error is not None for error in one.errors),
        "pass_at_1": one.summary.pass_at_1,
        "pass_hat_k": one.summary.pass_hat_k,
        "tiers": {
            tier: {
                "tasks": len({tasks[place] for place in places}),
                "pass_hat_k": one.summary.by_tier[tier]["pass_hat_k"],
                **asdict(
                    aggregate([one.measured[place] for place in places], [tasks[place] for place in places], seed=seed)[
                        "success"
                    ]
                ),
            }
            for tier, places in by_tier.items()
        },
        "failures": [*_failures(one)],
    }


def _failures(one: Evaluation) -> Iterator[dict[str, Any]]:
    """Kinds of failures, the most frequent first; episodes that failed without one are a kind of their own."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for episode, measured in zip(one.episodes, one.measured, strict=True):
        if episode.success:
            continue
        kinds_of_episode = _kinds_of(measured.failures) or {"no kind found": ""}
        for kind, text in kinds_of_episode.items():
            example = {"thread": episode.thread, "task": episode.task, "tier": episode.tier, "text": text}
            kinds.setdefault(kind, []).append(example)
    for kind, count in Counter({kind: len(found) for kind, found in kinds.items()}).most_common():
        yield {"kind": kind, "episodes": count, "examples": kinds[kind][:EXAMPLES]}


def _kinds_of(failures: Sequence[Any]) -> dict[str, str]:
    """Each kind once, with the first text."""
    found: dict[str, str] = {}
    for failure in failures:
        found.setdefault(failure.kind, failure.text)
    return found
