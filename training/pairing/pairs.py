"""Preference pairs: a shared prefix, a chosen and a rejected continuation, and why.

Pure. Six sources: a human edit, an explicit preference, an invalid call with the valid one that repaired it, an
invented observation against the real call, sibling branches with different labels, and trials of one task with
different labels. Both continuations follow exactly the same tokens; where that cannot be had, the pair is refused
and counted. The same pair is made once.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

from ..branch_labels import trial_of
from ..branches import Branch
from ..chosen_nodes import only_nodes
from ..trajectory import Span, loss_mask
from ..turns import join
from .components import components_of
from .contradictions import edge_of, find_contradictions, name_of
from .divergence import Refusal, find_divergence
from .invented import invented_observations
from .preferences import preferred
from .ranking import Ranked, rank_siblings, rank_trials
from .sources import Comparison, human_edits, repairs

Continuation = Literal["whole", "turn"]
"""Where trials and branches part, compare everything that follows, or only the turn that differs."""


@dataclass
class Pairs:
    """Makes the pairs of one data set and remembers which were made and which were left out.

    It holds 48 bytes of each pair. Pairs of two tasks may contradict each other, so ask for ``contradictions`` when
    all rows are made, and drop the rows of those names.
    """

    continuation: Continuation = "whole"
    max_pairs_per_task: int = 4
    """Of trials; each of outcomes and of grades."""
    max_length: int | None = None
    min_reward_gap: float = 0.0
    """Where there is no success, rewards must differ by more than this."""
    nodes: Set[str] | None = None
    """Only their turns are trained and compared; None is all turns."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why pairs were left out, and how many."""
    _edges: set[bytes] = field(default_factory=set)

    def of(self, threads: Sequence[Sequence[Branch]]) -> Iterator[dict[str, Any]]:
        """All pairs of threads that belong together: of one task, or linked by a preference.

        ``threads`` has the branches of each, oldest leaf first.
        """
        yield from self.of_preferences(threads)
        for branches in threads:
            yield from self.of_thread(branches)
        yield from self.of_trials(trial for branches in threads if (trial := trial_of(branches)) is not None)

    def of_preferences(self, threads: Sequence[Sequence[Branch]]) -> Iterator[dict[str, Any]]:
        """What people prefer by name: a thread, branch or message over another of these threads."""
        chosen = [[only_nodes(branch, self.nodes) for branch in branches] for branches in threads]
        for one in preferred(chosen, whole=self.continuation == "whole"):
            yield from self._rows(one, b"" if isinstance(one, Refusal) else _edge(one))

    def of_thread(self, branches: Sequence[Branch]) -> Iterator[dict[str, Any]]:
        """Pairs from within one thread: edits, repairs, invented observations, branches with different labels."""
        chosen = [only_nodes(branch, self.nodes) for branch in branches]
        found = chain(
            human_edits(chosen),
            repairs(chosen),
            invented_observations(chosen),
            (self._diverge("branches", ranked) for ranked in rank_siblings(chosen, self.min_reward_gap)),
        )
        made: set[bytes] = set()  # branches share turns, and so their pairs
        for one in found:
            edge = b"" if isinstance(one, Refusal) else _edge(one)
            if edge not in made:
                yield from self._rows(one, edge)
            if edge:
                made.add(edge)

    def of_trials(self, trials: Iterable[Branch]) -> Iterator[dict[str, Any]]:
        """Pairs between trials of one task: better against worse outcomes, real calls against invented observations.

        ``trials`` has one branch a thread, in any order; those without a task are passed over.
        """
        by_task: dict[str, list[Branch]] = defaultdict(list)
        for trial in trials:
            if trial.task is not None:
                by_task[trial.task].append(only_nodes(trial, self.nodes))
        for task in sorted(by_task):
            group = sorted(by_task[task], key=lambda branch: branch.thread)
            for one in invented_observations(group):
                if one.branches[0].thread != one.branches[1].thread:
                    yield from self._rows(one, _edge(one))
            made: Counter[bool] = Counter()
            for ranked in rank_trials(group, self.min_reward_gap):
                if made[ranked.graded] >= self.max_pairs_per_task:
                    self.left_out[f"trials: more than {self.max_pairs_per_task} of one task"] += 1
                    continue
                one = self._diverge("trials", ranked)
                for row in self._rows(one, b"" if isinstance(one, Refusal) else _edge(one)):
                    made[ranked.graded] += 1
                    yield row

    def contradictions(self) -> set[str]:
        """The ``pair`` of every row that says the opposite of others; nobody can learn from any of them."""
        return find_contradictions(self._edges)

    def remember(self, row: Mapping[str, Any]) -> None:
        """Know a row that was made before an interruption as made."""
        self._edges.add(edge_of(row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]))

    def _diverge(self, source: Literal["branches", "trials"], ranked: Ranked) -> Comparison | Refusal:
        found = find_divergence(ranked.chosen, ranked.rejected)
        if isinstance(found, Refusal):
            return Refusal(f"{source}: {found.reason}")
        better, worse = found.continuations(whole=self.continuation == "whole")
        why = f"{ranked.why}, from turn {found.turn} on"
        called = "preference" if ranked.graded else source
        return Comparison(called, found.prefix, better, worse, (ranked.chosen, ranked.rejected), why)

    def _rows(self, found: Comparison | Refusal, edge: bytes) -> Iterator[dict[str, Any]]:
        """The row of a comparison, or none, which is counted."""
        if isinstance(found, Refusal):
            self.left_out[found.reason] += 1
            return
        row = _row(found, edge)
        longest = len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        if row["chosen_ids"] == row["rejected_ids"]:
            self.left_out[f"{found.source}: chosen and rejected are the same"] += 1
        elif edge in self._edges:
            self.left_out[f"{found.source}: the same pair again"] += 1
        elif self.max_length is not None and longest > self.max_length:
            self.left_out[f"{found.source}: longer than {self.max_length} tokens"] += 1
        else:
            self._edges.add(edge)
            yield row


def _edge(found: Comparison) -> bytes:
    return edge_of(join(found.prefix), join(found.chosen), join(found.rejected))


def _row(found: Comparison, edge: bytes) -> dict[str, Any]:
    return {
        "prompt_ids": join(found.prefix),
        "chosen_ids": join(found.chosen),
        "chosen_mask": loss_mask(found.chosen),
        "rejected_ids": join(found.rejected),
        "rejected_mask": loss_mask(found.rejected),
        "tokens": found.branches[0].tokens,
        "source": found.source,
        "pair": name_of(edge),
        "threads": [branch.thread for branch in found.branches],
        "checkpoints": [branch.checkpoint for branch in found.branches],
        "messages": [_first_message(found.chosen), _first_message(found.rejected)],
        "agent": found.branches[0].agent,
        "task": found.branches[0].task,
        "why": found.why,
        "components": components_of(found),
    }


def _first_message(spans: Sequence[Span]) -> str | None:
    return next((span.message for span in spans if span.origin != "given"), None)
