"""Which states to spend continuations on. Pure: threads as sequences of states, the last one after the last turn."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True, slots=True)
class Path:
    """A thread as the states it went through; states in which the same was said are equal."""

    thread: str
    task: str
    reward: float
    states: tuple[str, ...]
    """Before each turn, and in the end: one more than there are turns."""


def disagreements(paths: Sequence[Path]) -> dict[str, set[int]]:
    """For each thread the turns before and after which it parted from a sibling that ended with another reward.

    Siblings are threads of one task that stood in the same state and went on differently. A thread whose siblings all
    did as well has no such turn.

    >>> a = Path("a", "task", 1.0, ("s0", "s1", "s2", "won"))
    >>> b = Path("b", "task", 0.0, ("s0", "s1", "x2", "lost"))
    >>> c = Path("c", "task", 0.0, ("s0", "s1", "x2", "late", "lost"))
    >>> disagreements([a, b, c])
    {'a': {1, 2}, 'b': {1, 2}, 'c': {1, 2}}
    """
    found: dict[str, set[int]] = {path.thread: set() for path in paths}
    by_task: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        by_task[path.task].append(path)
    for siblings in by_task.values():
        for one, other in combinations(siblings, 2):
            shared = sum(_same_from_the_start(one.states, other.states))
            if one.reward != other.reward and shared:
                for path in (one, other):
                    found[path.thread] |= {shared - 1, shared} & {*range(len(path.states) - 1)}
    return found


def within_budget(
    paths: Sequence[Path], wanted: Mapping[str, Set[int]], most: int | None
) -> list[tuple[str, Path, int]]:
    """The states to value, each once: its key, and the first path that has it with the turn it stands before.

    Early turns come first, so that ``most`` states, if there are more, are spread over all threads.
    """
    chosen: dict[str, tuple[str, Path, int]] = {}
    for turn in range(max((len(path.states) for path in paths), default=0)):
        for path in paths:
            if turn in wanted[path.thread]:
                chosen.setdefault(path.states[turn], (path.states[turn], path, turn))
    return list(chosen.values())[:most]


def _same_from_the_start(one: Sequence[str], other: Sequence[str]) -> list[bool]:
    same: list[bool] = []
    for mine, its in zip(one, other, strict=False):
        if mine != its:
            break
        same.append(True)
    return same
