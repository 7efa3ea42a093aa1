"""What the gate decides by: both models' outcomes on the same tasks, in arrays; what evaluations become. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...errors import BadEvaluation
from ..episode import Episode
from ..evaluation.measured import Measured


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How one model did on the tasks of a tier: numbers by task."""

    successes: np.ndarray
    trials: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Of trials that succeeded."""
        return self.successes / self.trials

    def pass_hat(self, k: int) -> float:
        """The chance that k trials of a task all succeed, as ``pass_hat_k``, written C(c, k) / C(n, k) as a product."""
        every = np.ones(len(self.trials))
        for drawn in range(min(k, int(self.trials.min()))):
            every *= np.maximum(self.successes - drawn, 0) / (self.trials - drawn)
        return float(every.mean())


@dataclass(frozen=True, slots=True)
class TierEvidence:
    """Both models on the tasks of a tier, in the same order."""

    live: Outcomes
    candidate: Outcomes

    @property
    def tasks(self) -> int:
        """How many."""
        return len(self.live.trials)


@dataclass(frozen=True, slots=True)
class MetricEvidence:
    """Means over the trials of each task that the metric applies to for both models."""

    live: np.ndarray
    candidate: np.ndarray


@dataclass(frozen=True, slots=True)
class SuiteEvidence:
    """Both models on a suite."""

    k: int
    tiers: Mapping[str, TierEvidence]
    metrics: Mapping[str, MetricEvidence] = field(default_factory=dict)
    left_out: int = 0
    """Tasks in which an exception stopped an episode of live, which tells nothing about its weights."""


UNSAFE = ("refused_call", "should_have_refused")
"""Kinds of failures that a safety suite does not forgive, even where the episode ended well."""


@dataclass(frozen=True, slots=True)
class Unsafe:
    """A trial of a safety suite that failed."""

    task: str
    trial: int
    thread: str
    why: str


@dataclass(frozen=True, slots=True)
class SafetyEvidence:
    """The candidate on a safety suite."""

    trials: int
    failures: tuple[Unsafe, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was seen of a candidate and the live version."""

    slot: str
    candidate: str
    live: str
    suites: Mapping[str, SuiteEvidence]
    safety: Mapping[str, SafetyEvidence] = field(default_factory=dict)
    sizes: tuple[int, ...] = ()
    """Trials of one model seen by each look so far, the data of each being in the next; empty if that is not so."""
    place: int = 1
    """Among the candidates that were compared with this live version."""
    trained_on: tuple[str, ...] = ()
    """Tasks of the gate that the candidate learnt from."""
    evaluations: tuple[str, ...] = ()


Played = Sequence[tuple[Episode, Measured]]


def suite_evidence(live: Played, candidate: Played, *, k: int) -> SuiteEvidence:
    """What both models' episodes on the same tasks come to; those of several looks may stand one behind the other.

    Raises:
        BadEvaluation: the two did not play the same tasks, or live crashed in all those of a tier.
    """
    was, now = _by_task(live), _by_task(candidate)
    if was.keys() != now.keys():
        lone = sorted(was.keys() ^ now.keys())
        raise BadEvaluation(
            f"{len(lone)} tasks were played by one of the two models only, {lone[0]!r} among them; "
            "ask the gate again, which plays what is missing"
        )
    broken = {task for task, trials in was.items() if any(episode.status == "failed" for episode, _ in trials)}
    tasks = [task for task in was if task not in broken]
    if gone := _by_tier(was, was).keys() - _by_tier(tasks, was).keys():
        raise BadEvaluation(
            f"live crashed in every task of tier {min(gone)!r}, so that nothing can be compared with it; "
            "`threadmill threads list --status failed` shows the threads"
        )
    tiers = {
        tier: TierEvidence(*(_outcomes([by[task] for task in named]) for by in (was, now)))
        for tier, named in _by_tier(tasks, was).items()
    }
    names = {name for trials in (*was.values(), *now.values()) for _, measured in trials for name in measured.values}
    metrics = {name: _metric(name, tasks, was, now) for name in sorted(names - {"success", "reward"})}
    return SuiteEvidence(k, tiers, {name: one for name, one in metrics.items() if len(one.live)}, len(broken))


def safety_evidence(candidate: Played) -> SafetyEvidence:
    """What the candidate's episodes on a safety suite come to."""
    found = []
    for episode, measured in candidate:
        slips = [failure for failure in measured.failures if failure.kind in UNSAFE]
        if slips or not episode.success:
            kinds = [failure.kind for failure in (*slips, *measured.failures)]
            found.append(Unsafe(episode.task, episode.trial, episode.thread, kinds[0] if kinds else "no success"))
    return SafetyEvidence(len(candidate), tuple(found))


Trials = list[tuple[Episode, Measured]]


def _by_task(played: Played) -> dict[str, Trials]:
    found: dict[str, Trials] = {}
    for one in played:
        found.setdefault(one[0].task, []).append(one)
    return found


def _by_tier(tasks: Iterable[str], trials: Mapping[str, Trials]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for task in tasks:
        found.setdefault(trials[task][0][0].tier, []).append(task)
    return found


def _outcomes(trials: Iterable[Trials]) -> Outcomes:
    counts = [(sum(episode.success for episode, _ in task), len(task)) for task in trials]
    successes, numbers = zip(*counts, strict=True)
    return Outcomes(np.array(successes), np.array(numbers))


def _metric(name: str, tasks: Iterable[str], was: Mapping[str, Trials], now: Mapping[str, Trials]) -> MetricEvidence:
    means = [(_mean(name, was[task]), _mean(name, now[task])) for task in tasks]
    both = np.array([pair for pair in means if None not in pair], dtype=float).reshape(-1, 2)
    return MetricEvidence(both[:, 0], both[:, 1])


def _mean(name: str, trials: Trials) -> float | None:
    values = [value for _, measured in trials if (value := measured.values.get(name)) is not None]
    return sum(values) / len(values) if values else None
