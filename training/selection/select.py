"""Decide for every row: train, test, or left out and why.

The order of the steps: filters by outcome, length, decontamination, exact duplicates, near duplicates, best of each
task, balance, mix, split. So the mix holds for what is written, duplicates take no place in it, and of the
duplicates none is on the other side of the split. What is decided depends on the rows, not on their order.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .balance import beyond_balance
from .best import beyond_best
from .contamination import Match, Suite, find_match, open_suite
from .duplicates import Sketch, Sketcher, exact_duplicates, near_duplicates
from .entry import Candidate, Entry, entry_of
from .filters import refuse, refuse_length
from .mix import beyond_mix
from .settings import Selection
from .splits import split

__all__ = ["Candidate", "Selected", "Selection", "select"]


@dataclass(frozen=True)
class Selected:
    """What was decided."""

    decisions: Mapping[int, str]
    """Place to ``train``, ``test`` or ``left out: reason``, places in the order in which they came."""
    left_out: Mapping[str, int]
    """Reason to rows."""
    left_out_tokens: Mapping[str, int]
    """Reason to tokens of those rows."""
    behaviours: Mapping[str, int]
    """Behaviour that counts to rows that were kept."""
    contaminated: Mapping[int, Match]
    """Place to the task of a suite that was found in it."""

    def places(self, side: str) -> list[int]:
        """The places of ``train`` or ``test``, in order."""
        return [place for place, decided in self.decisions.items() if decided == side]

    def to_dict(self) -> dict[str, Any]:
        """What a manifest tells of it, JSON-safe: everything but the single decisions."""
        tasks = Counter((match.suite, match.task, match.by) for match in self.contaminated.values())
        return {
            "left_out": dict(sorted(self.left_out.items())),
            "left_out_tokens": dict(sorted(self.left_out_tokens.items())),
            "behaviours": dict(sorted(self.behaviours.items())),
            "contaminated": [
                {"suite": suite, "task": task, "by": by, "rows": count}
                for (suite, task, by), count in sorted(tasks.items())
            ],
        }


def select(
    candidates: Callable[[], Iterator[Candidate]], selection: Selection, *, suites: Sequence[Suite] | None = None
) -> Selected:
    """What becomes of every candidate; ``candidates`` begins a new pass over them, of which one is made.

    Some hundred bytes are kept of each, and none of their texts. ``suites`` replaces those that ``selection`` names.

    Raises:
        BadSelection: the mix cannot be had.
        UnknownSuite, BadDataset: a suite cannot be read.
    """
    if suites is None:
        suites = [open_suite(name) for name in selection.suites]
    sketcher = None if selection.near is None else Sketcher(selection.near)
    decided: dict[int, str] = {}
    tokens: dict[int, int] = {}
    kept: list[Entry] = []
    sketches: dict[int, Sketch] = {}
    contaminated: dict[int, Match] = {}
    for candidate in candidates():
        if candidate.place in tokens:
            raise ValueError(f"two candidates have the place {candidate.place}; give each its own")
        tokens[candidate.place] = candidate.tokens
        reason = refuse(candidate.facts, selection) or refuse_length(candidate.tokens, selection)
        if reason is None and (match := find_match(suites, candidate.facts)):
            contaminated[candidate.place] = match
            reason = f"decontaminated: {match.suite}"
        if reason is not None:
            decided[candidate.place] = reason
            continue
        kept.append(entry_of(candidate))
        if sketcher is not None and (sketch := sketcher.sketch(candidate.text)):
            sketches[candidate.place] = sketch
    for step in _steps(selection, sketches):
        beyond = step(kept)
        decided |= beyond
        kept = [entry for entry in kept if entry.place not in beyond]
    sides = split(kept, selection.test, selection.seed)
    return Selected(
        decisions={place: sides.get(place) or f"left out: {decided[place]}" for place in tokens},
        left_out=Counter(decided.values()),
        left_out_tokens=_sum_tokens(decided, tokens),
        behaviours=Counter(entry.behaviour for entry in kept),
        contaminated=contaminated,
    )


def _steps(
    selection: Selection, sketches: Mapping[int, Sketch]
) -> Iterator[Callable[[Sequence[Entry]], dict[int, str]]]:
    """Each gives the places that it leaves out, and why; it sees what the ones before it have kept."""
    near, best_of, balance, cap, mix, seed = (
        selection.near,
        selection.best_of,
        selection.balance,
        selection.balance_cap,
        selection.mix,
        selection.seed,
    )
    if selection.exact:
        yield exact_duplicates
    if near is not None:
        yield lambda entries: near_duplicates(entries, sketches, near)
    if best_of is not None:
        yield lambda entries: beyond_best(entries, best_of)
    if balance is not None:
        yield lambda entries: beyond_balance(entries, balance, cap, seed)
    if mix:
        yield lambda entries: beyond_mix(entries, mix, seed)


def _sum_tokens(decided: Mapping[int, str], tokens: Mapping[int, int]) -> Counter[str]:
    total: Counter[str] = Counter()
    for place, reason in decided.items():
        total[reason] += tokens[place]
    return total
