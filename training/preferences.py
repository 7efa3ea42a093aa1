"""Explicit preferences: labels that say *this over that*, matched with the branches and turns that they name.

The two sides may lie in one thread or in two, of one task or of none. A side that is met first waits for the other:
of such a branch only the tokens are held.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..checkpoints.labels import Label
from ..checkpoints.preferences import Place, read_over
from .branch_labels import passes_through, trial_of
from .branches import Branch
from .divergence import Refusal, find_divergence
from .pair_sources import Comparison
from .trajectory import Span
from .turns import join, split_turns


@dataclass(frozen=True, slots=True)
class Preference:
    """Somebody prefers one place over another."""

    better: Place
    worse: Place
    by: str


@dataclass
class Preferences:
    """The preferences of an export, and the sides that wait for their other side."""

    whole: bool
    """Compare all that follows where two branches part, or the turn that differs; messages are compared as turns."""
    _places: dict[str, dict[Preference, None]] = field(default_factory=dict)
    """Thread to the preferences that name it."""
    _met: dict[Preference, dict[Place, Branch]] = field(default_factory=dict)

    def learn(self, labels: Iterable[Label], thread: str | None = None) -> None:
        """Take note of the preferences among ``labels``; ``thread`` is what their thread is called here."""
        for label in labels:
            worse = read_over(label.value) if label.kind == "preference" else None
            if worse is not None:
                own = thread or label.thread
                other = replace(worse, thread=own) if worse.thread == label.thread else worse
                preference = Preference(Place(own, label.checkpoint, label.message), other, label.source)
                for name in (own, other.thread):
                    self._places.setdefault(name, {})[preference] = None

    def settle(self, branches: Sequence[Branch]) -> Iterator[Comparison | Refusal]:
        """The comparisons of which these branches of one thread are the last side."""
        thread = branches[0].thread
        for preference in list(self._places.get(thread, ())):
            met = self._met.pop(preference, {})
            here = {place for place in (preference.better, preference.worse) if place.thread == thread}
            found = {place: branch for place in here if (branch := _find(branches, place)) is not None}
            if len(found) < len(here):
                self._forget(preference)
                yield Refusal("preference: no branch has the checkpoint or message that it names")
            elif len(met | found) < len({preference.better, preference.worse}):
                slim = (replace(branch, messages=(), labels=(), tools=(), path=()) for branch in found.values())
                self._met[preference] = dict(zip(found, slim, strict=True))
            else:
                self._forget(preference)
                sides = met | found
                yield self._compare(preference, sides[preference.better], sides[preference.worse])

    def unsettled(self) -> int:
        """How many preferences name a thread that has not come."""
        return len({preference for known in self._places.values() for preference in known})

    def _forget(self, preference: Preference) -> None:
        for name in {preference.better.thread, preference.worse.thread}:
            self._places[name].pop(preference, None)

    def _compare(self, preference: Preference, better: Branch, worse: Branch) -> Comparison | Refusal:
        by = f"{preference.by}: preferred"
        if preference.better.message is not None or preference.worse.message is not None:
            return _compare_turns(preference, better, worse, by)
        if better.thread == worse.thread and better.checkpoint == worse.checkpoint:
            return Refusal("preference: both sides are one branch")
        found = find_divergence(better, worse)
        if isinstance(found, Refusal):
            return Refusal(f"preference: {found.reason}")
        sides = found.continuations(whole=self.whole)
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
