"""What a reward model compares: two episodes, and for each of its heads which of them is better. Pure.

The head ``overall`` learns the preference of a pair. The heads of components learn from the same sequences which side
did more of the work, used its tools better, or took fewer steps, wherever the two sides differ in that. One thing is
seldom found within a pair: two that both went well, of which one was shorter. Bradley and Terry's loss needs no shared
prefix beyond the task, so the chosen sides of a task's pairs are compared with one another, too, by their components
alone: each with the next, so that there are fewer of those than there are pairs.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from ..selection.entry import hash_of

OVERALL: Final = "overall"
COMPONENTS = ("completion", "tool_use", "efficiency")
HEADS = (OVERALL, *COMPONENTS)
BETWEEN = "chosen sides"
"""The source of comparisons that are no pair of the data."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Compared:
    """Two episodes of a task: prompt and continuation, as the model reads them."""

    chosen: list[int]
    rejected: list[int]
    better: dict[str, int]
    """Head to 1 where the chosen side is better, or -1; heads that cannot tell are not in it."""
    source: str
    group: str
    """Of the episodes that stand or fall together: the task, or the thread."""


def compare(rows: Sequence[Row], *, components: bool = True) -> list[Compared]:
    """All comparisons of ``rows``: one a pair, in order, then those between chosen sides.

    Without ``components``, or where rows do not tell them, only what is better overall.
    """
    pairs = [
        Compared(
            *sides_of(row),
            {OVERALL: 1} | (_better(_told(row, "chosen"), _told(row, "rejected")) if components else {}),
            row.get("source") or "",
            group_of(row),
        )
        for row in rows
    ]
    return [*pairs, *(_between(rows) if components else ())]


def heads_of(compared: Sequence[Compared]) -> dict[str, int]:
    """The heads that have something to learn, ``overall`` first, and from how many comparisons."""
    counts = Counter(head for one in compared for head in one.better)
    return {head: counts[head] for head in HEADS if counts[head]}


def sides_of(row: Row) -> tuple[list[int], list[int]]:
    """The chosen and the rejected side of a pair, each with the prompt."""
    return [*row["prompt_ids"], *row["chosen_ids"]], [*row["prompt_ids"], *row["rejected_ids"]]


def group_of(row: Row) -> str:
    """The task of a pair, else its thread, else its prompt."""
    if row.get("task") is not None:
        return f"task {row['task']}"
    return f"thread {row['threads'][0]}" if row.get("threads") else f"prompt {list(row['prompt_ids'])}"


def hold_out(rows: Sequence[Row], part: float, seed: int) -> tuple[list[Row], list[Row]]:
    """``rows`` to train on, and about the part of them to test with; nothing is held out if all belong together.

    What belongs together is on one side: pairs of one task, of one thread, and those of which one's prompt begins
    with the other's. The side is drawn by a hash, so it stays when other rows are added.
    """
    groups = _together(rows)
    names = {place: min(group_of(rows[one]) for one in group) for group in groups for place in group}
    order = sorted({*names.values()}, key=lambda name: hash_of(f"{seed}\0{name}"))
    if not part or len(order) < 2:
        return [*rows], []
    tested = {*order[: min(max(round(part * len(order)), 1), len(order) - 1)]}
    return (
        [row for place, row in enumerate(rows) if names[place] not in tested],
        [row for place, row in enumerate(rows) if names[place] in tested],
    )


def _between(rows: Sequence[Row]) -> Iterator[Compared]:
    """Chosen sides that went well, each against the next of its task."""
    by_task: dict[str, dict[tuple[int, ...], Row]] = defaultdict(dict)
    for row in rows:
        if row.get("task") is not None and _told(row, "chosen").get("efficiency") is not None:
            by_task[row["task"]].setdefault(tuple(sides_of(row)[0]), row)
    for task in by_task.values():
        for one, other in pairwise(task.values()):
            better = _better(_told(one, "chosen"), _told(other, "chosen"))
            if better:
                yield Compared(sides_of(one)[0], sides_of(other)[0], better, BETWEEN, group_of(one))


def _told(row: Row, side: str) -> Mapping[str, float | None]:
    return (row.get("components") or {}).get(side) or {}


def _better(one: Mapping[str, float | None], other: Mapping[str, float | None]) -> dict[str, int]:
    found = {}
    for name in COMPONENTS:
        left, right = one.get(name), other.get(name)
        if left is not None and right is not None and left != right:
            found[name] = 1 if left > right else -1
    return found


def _together(rows: Sequence[Row]) -> list[list[int]]:
    """Places of rows that must not be parted."""
    above: dict[str, str] = {}

    def root(name: str) -> str:
        while (higher := above.setdefault(name, name)) != name:
            above[name] = name = above[higher]
        return name

    prompts = sorted((tuple(row["prompt_ids"]), place) for place, row in enumerate(rows))
    opened: list[tuple[tuple[int, ...], int]] = []
    for prompt, place in prompts:  # in this order everything that begins with a prompt comes right behind it
        while opened and prompt[: len(opened[-1][0])] != opened[-1][0]:
            opened.pop()
        if opened:
            above[root(f"row {place}")] = root(f"row {opened[-1][1]}")
        opened.append((prompt, place))
    for place, row in enumerate(rows):
        for bond in (group_of(row), *(f"thread {thread}" for thread in row.get("threads") or ())):
            above[root(bond)] = root(f"row {place}")
    groups: dict[str, list[int]] = defaultdict(list)
    for place in range(len(rows)):
        groups[root(f"row {place}")].append(place)
    return [*groups.values()]
