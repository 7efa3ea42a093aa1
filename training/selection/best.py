"""The best branches of each task."""

from collections import defaultdict
from collections.abc import Sequence

from .entry import Entry, best_first


def beyond_best(entries: Sequence[Entry], best_of: int) -> dict[int, str]:
    """The places to leave out so that each task keeps ``best_of`` branches, all rows of a branch together.

    The highest reward is best, then success; equal ones stand in the order of their threads' names. Rows without a
    task stay.
    """
    branches: dict[str, set[tuple[str, str]]] = defaultdict(set)
    left_out = {}
    for entry in best_first(entries):
        if entry.task is None:
            continue
        kept = branches[entry.task]
        if len(kept) < best_of:
            kept.add((entry.thread, entry.checkpoint))
        if (entry.thread, entry.checkpoint) not in kept:
            left_out[entry.place] = f"not among the best {best_of} of its task"
    return left_out
