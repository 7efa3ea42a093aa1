"""Explicit preferences: labels that say *this over that*, matched with the branches and turns that they name. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ...checkpoints.labels import Label
from ...checkpoints.preferences import Place, read_over
from ..branch_labels import passes_through, trial_of
from ..branches import Branch
from ..trajectory import Span
from ..turns import join, split_turns
from .divergence import Refusal, find_divergence
from .sources import Comparison


@dataclass(frozen=True, slots=True)
class Preference:
    """Somebody prefers one place over another."""

    better: Place
    worse: Place
    by: str


def preferred(threads: Sequence[Sequence[Branch]], *, whole: bool) -> Iterator[Comparison | Refusal]:
    """What the labels of these threads prefer over one another, each thread with all of its branches.

    ``whole`` compares all that follows where two branches part; else the turn that differs. Messages are compared as
    turns.
    """
    branches_of = {branches[0].thread: branches for branches in threads if branches}
    for branches in branches_of.values():
        for preference in _preferences(branches[0].labels, branches[0].thread):
            yield _compare(preference, branches_of, whole=whole)


def linked_threads(labels: Iterable[Label]) -> list[tuple[str, str]]:
    """Two threads for each label that prefers one over the other: ``preferred`` has to see both at once."""
    found = []
    for label in labels:
        other = read_over(label.value) if label.kind == "preference" else None
        if other is not None and other.thread != label.thread:
            found.append((label.thread, other.thread))
    return found


def _preferences(labels: Iterable[Label], thread: str) -> list[Preference]:
    """Those of one thread, each once; ``thread`` is what it is called here."""
    found: dict[Preference, None] = {}
    for label in labels:
        worse = read_over(label.value) if label.kind == "preference" else None
        if worse is not None:
            other = replace(worse, thread=thread) if worse.thread == label.thread else worse
            found[Preference(Place(thread, label.checkpoint, label.message), other, label.source)] = None
    return list(found)


def _compare(preference: Preference, branches_of: dict[str, Sequence[Branch]], *, whole: bool) -> Comparison | Refusal:
    if preference.worse.thread not in branches_of:
        return Refusal("preference: the other thread is not exported")
    better = _find(branches_of[preference.better.thread], preference.better)
    worse = _find(branches_of[preference.worse.thread], preference.worse)
    if better is None or worse is None:
        return Refusal("preference: no branch has the checkpoint or message that it names")
    by = f"{preference.by}: preferred"
    if preference.better.message is not None or preference.worse.message is not None:
        return _compare_turns(preference, better, worse, by)
    if better is worse:
        return Refusal("preference: both sides are one branch")
    found = find_divergence(better, worse)
    if isinstance(found, Refusal):
        return Refusal(f"preference: {found.reason}")
    sides = found.continuations(whole=whole)
    return Comparison("preference", found.prefix, *sides, (better, worse), f"{by}, from turn {found.turn} on")


def _find(branches: Sequence[Branch], place: Place) -> Branch | None:
    through = [branch for branch in branches if passes_through(branch, place.checkpoint)]
    if place.message is not None:
        through = [branch for branch in through if any(_turns_of(branch, place.message))]
    return trial_of(through)


def _compare_turns(preference: Preference, better: Branch, worse: Branch, by: str) -> Comparison | Refusal:
    """The two turns after the same tokens; the message of one side may be left open."""
    if better.tokens != worse.tokens:
        return Refusal("preference: recorded against rendered tokens")
    rejected = {tuple(join(prefix)): turn for prefix, turn in _turns_of(worse, preference.worse.message)}
    for prefix, turn in _turns_of(better, preference.better.message):
        other = rejected.get(tuple(join(prefix)))
        if other is not None and join(other) != join(turn):
            return Comparison("preference", prefix, turn, other, (better, worse), by)
    return Refusal("preference: the turns do not follow the same tokens")


def _turns_of(branch: Branch, message: str | None) -> Iterator[tuple[Sequence[Span], Sequence[Span]]]:
    """Prefix and turn of ``message``, or of every turn."""
    for trajectory in branch.trajectories:
        for segment in split_turns(trajectory.spans):
            if segment.is_turn and message in (None, segment.message):
                yield trajectory.spans[: segment.start], segment.spans
