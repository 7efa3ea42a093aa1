"""Pairs of branches of which the labels call one better: by success, else by reward, and by the grades of people.

Pure. Where both outcomes are known, rewards do not count: two successes are no pair.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from ...checkpoints.preferences import read_grade
from ..branch_labels import read_label
from ..branches import Branch


@dataclass(frozen=True, slots=True)
class Ranked:
    """Two branches, and why one is better."""

    chosen: Branch
    rejected: Branch
    why: str
    graded: bool = False
    """Whether a label of kind ``preference`` says so."""


def rank_siblings(branches: Sequence[Branch], min_reward_gap: float) -> Iterator[Ranked]:
    """All pairs of branches of one thread with different labels."""
    for one, other in combinations(branches, 2):
        success = one.outcome.success
        if success is not None and other.outcome.success == (not success):
            yield _by_success(*(one, other) if success else (other, one))
    yield from _by_number(branches, _reward, min_reward_gap, _by_reward)
    yield from _by_number(branches, grade_of, 0.0, _by_grade)


def rank_trials(trials: Sequence[Branch], min_reward_gap: float) -> Iterator[Ranked]:
    """All pairs of trials of one task with different labels, every trial once before any a second time.

    Rewards and grades go by their difference, the largest first.
    """
    successes = [trial for trial in trials if trial.outcome.success is True]
    failures = [trial for trial in trials if trial.outcome.success is False]
    for shift in range(len(failures)):
        for place, chosen in enumerate(successes):
            yield _by_success(chosen, failures[(place + shift) % len(failures)])
    yield from _by_number(trials, _reward, min_reward_gap, _by_reward)
    yield from _by_number(trials, grade_of, 0.0, _by_grade)


def grade_of(branch: Branch) -> float | None:
    """The grade that a person gave the branch."""
    found = read_label(branch, "preference", read_grade)
    return None if found is None else found[0]


def _reward(branch: Branch) -> float | None:
    return branch.outcome.reward if branch.outcome.success is None else None


def _by_number(
    branches: Iterable[Branch],
    number: Callable[[Branch], float | None],
    gap: float,
    make: Callable[[Branch, Branch], Ranked],
) -> Iterator[Ranked]:
    known = [(found, branch) for branch in branches if (found := number(branch)) is not None]
    known.sort(key=lambda one: -one[0])
    apart = [(high - low, better, worse) for (high, better), (low, worse) in combinations(known, 2)]
    apart.sort(key=lambda one: -one[0])
    return (make(better, worse) for difference, better, worse in apart if difference > gap)


def _by_success(chosen: Branch, rejected: Branch) -> Ranked:
    return Ranked(chosen, rejected, f"{chosen.outcome.source}: success against failure")


def _by_reward(chosen: Branch, rejected: Branch) -> Ranked:
    source = chosen.outcome.source
    return Ranked(chosen, rejected, f"{source}: reward {chosen.outcome.reward:g} against {rejected.outcome.reward:g}")


def _by_grade(chosen: Branch, rejected: Branch) -> Ranked:
    found = read_label(chosen, "preference", read_grade)
    assert found is not None, "only graded branches are compared"
    return Ranked(chosen, rejected, f"{found[1].source}: preferred", graded=True)
