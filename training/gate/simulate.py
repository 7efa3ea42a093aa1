"""Simulated models whose true success is known: how often the gate errs, and how often it sees what is there.

A task has a chance of success for each model, drawn from the Beta distribution of its tier. Both models find the same
tasks difficult in the share ``alike`` of them; in the others the chance of one says nothing about that of the other.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .decide import decide
from .evidence import Evidence, MetricEvidence, Outcomes, SuiteEvidence, TierEvidence
from .policy import GatePolicy

SUITE = "simulated"
_GRID = 2000


@dataclass(frozen=True, slots=True)
class World:
    """Two models on tiers of tasks."""

    live: tuple[float, ...] = (0.9, 0.7, 0.6, 0.4)
    """Its success, tier by tier."""
    gain: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    """The candidate's success less that of live, tier by tier."""
    spread: float = 2.0
    """The sum of the Beta distribution's parameters: small, tasks are easy or hopeless; large, they are all alike."""
    alike: float = 0.7
    """From 0 to 1."""
    measured: bool = False
    """Whether there are metrics, equal in the mean: those that the default policy guards."""


PER_EPISODE = {"steps": 3.5, "sampled_tokens": 80.0, "failed_calls": 0.4, "invalid_calls": 0.2}
"""Means of the metrics; one episode differs from another as Poisson's numbers do, tokens as ten times such."""


def simulated(world: World, rng: np.random.Generator, *, tasks_per_tier: int, k: int, looks: int) -> Iterator[Evidence]:
    """What each look sees: as many fresh tasks as the one before, and all of those."""
    tasks = tasks_per_tier * looks
    trials = np.full(tasks, k)
    played = []
    for live, gain in zip(world.live, world.gain, strict=True):
        place = rng.random(tasks)
        other = np.where(rng.random(tasks) < world.alike, place, rng.random(tasks))
        chances = _chances(live, world.spread, place), _chances(live + gain, world.spread, other)
        played.append([rng.binomial(k, chance) for chance in chances])
    measured = _metrics(rng, tasks * len(played), k) if world.measured else {}
    for look in range(1, looks + 1):
        seen, tasks_seen = slice(0, look * tasks_per_tier), look * tasks_per_tier * len(played)
        tiers = {
            f"tier {number}": TierEvidence(Outcomes(was[seen], trials[seen]), Outcomes(now[seen], trials[seen]))
            for number, (was, now) in enumerate(played)
        }
        metrics = {name: MetricEvidence(was[:tasks_seen], now[:tasks_seen]) for name, (was, now) in measured.items()}
        sizes = tuple(number * tasks_per_tier * len(played) * k for number in range(1, look + 1))
        suites = {SUITE: SuiteEvidence(k, tiers, metrics)}
        yield Evidence("agent.think", "agent.think@0002", "agent.think@0001", suites, sizes=sizes)


def decisions(
    world: World,
    *,
    gates: int,
    seed: int,
    policy: GatePolicy | None = None,
    tasks_per_tier: int = 100,
    k: int = 2,
    looks: int = 1,
) -> Counter[str]:
    """How ``gates`` candidates fare that are looked at until something is decided, at most ``looks`` times."""
    policy = policy or (GatePolicy() if world.measured else GatePolicy(metrics={}))
    rng = np.random.default_rng(seed)
    return Counter(_last(policy, world, rng, tasks_per_tier, k, looks) for _ in range(gates))


def _last(policy: GatePolicy, world: World, rng: np.random.Generator, tasks_per_tier: int, k: int, looks: int) -> str:
    decision = "hold"
    for look, evidence in enumerate(simulated(world, rng, tasks_per_tier=tasks_per_tier, k=k, looks=looks), 1):
        decision = decide(policy, evidence, look).decision
        if decision != "hold":
            break
    return decision


def _metrics(rng: np.random.Generator, tasks: int, k: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {}
    for name, mean in PER_EPISODE.items():
        coarse = 10 if name == "sampled_tokens" else 1
        was, now = (coarse * rng.poisson(mean / coarse * k, tasks) / k for _ in range(2))
        found[name] = (was, now)
    return found


def _chances(mean: float, spread: float, place: np.ndarray) -> np.ndarray:
    """Quantiles of the tier's distribution at ``place``, which is uniform between 0 and 1."""
    return _quantiles(round(mean, 6), spread)[(place * _GRID).astype(int)]


@lru_cache(maxsize=100)
def _quantiles(mean: float, spread: float) -> np.ndarray:
    from scipy.special import betaincinv

    middles = (np.arange(_GRID) + 0.5) / _GRID
    if mean in (0.0, 1.0):
        return np.full(_GRID, mean)
    return betaincinv(mean * spread, (1 - mean) * spread, middles)
