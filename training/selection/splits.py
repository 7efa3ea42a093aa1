"""Train and test: no thread, task, opening or content is in both.

Rows that have any of these in common are one group and go to one side together: trials of a task, forks and copies of
a thread, and threads that begin with the same words, whose first tokens are equal. The side is decided by a hash of
the seed and the group, so that it stays as it is when other threads are added.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

from .entry import Entry, hash_of

Side = Literal["train", "test"]


def split(entries: Sequence[Entry], test: float, seed: int) -> dict[int, Side]:
    """Place to side: about the part ``test`` of the groups is in the test split.

    With two groups or more neither side is empty, unless ``test`` is 0.
    """
    if not test:
        return {entry.place: "train" for entry in entries}
    groups = sorted(_groups(entries), key=lambda group: _draw(group, seed))
    draws = [_draw(group, seed)[0] for group in groups]
    tested = sum(draw < test for draw in draws)
    if len(groups) > 1:
        tested = min(max(tested, 1), len(groups) - 1)
    sides: dict[int, Side] = {}
    for number, group in enumerate(groups):
        sides |= dict.fromkeys((entry.place for entry in group), "test" if number < tested else "train")
    assert not find_leaks(entries, sides)
    return sides


def find_leaks(entries: Sequence[Entry], sides: dict[int, Side]) -> list[str]:
    """What rows of both sides have in common: nothing, or the split is worthless."""
    seen: dict[str, set[Side]] = defaultdict(set)
    for entry in entries:
        for bond in _bonds(entry):
            seen[bond].add(sides[entry.place])
    return sorted(bond for bond, found in seen.items() if len(found) > 1)


def _groups(entries: Sequence[Entry]) -> list[list[Entry]]:
    parents: dict[str, str] = {}

    def root(bond: str) -> str:
        while (above := parents.setdefault(bond, bond)) != bond:
            parents[bond] = bond = parents[above]
        return bond

    for entry in entries:
        first, *others = _bonds(entry)
        for other in others:
            parents[root(other)] = root(first)
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[root(next(_bonds(entry)))].append(entry)
    return list(groups.values())


def _bonds(entry: Entry) -> Iterator[str]:
    """What rows must not share across a split."""
    yield f"thread {entry.thread}"
    yield f"content {entry.digest.hex()}"
    yield entry.split_key
    if entry.task is not None:
        yield f"task {entry.task}"
    if entry.opening:
        yield f"opening {entry.opening}"


def _draw(group: Sequence[Entry], seed: int) -> tuple[float, str]:
    name = min(entry.split_key for entry in group)
    return hash_of(f"{seed}\0{name}"), name
