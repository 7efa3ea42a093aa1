"""SFT rows: the tokens of branches with labels on what the policy sampled and what humans put in its place.

Pure. Where branches of a thread share a beginning, it is trained in the first row that has it and
masked in the others, so that every eligible token is trained exactly once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .branches import Branch
from .trajectory import Span, Trajectory

IGNORED = -100
"""The label of a token that is not trained."""


@dataclass
class SftRows:
    """Makes the rows of one data set, branch by branch, and remembers what is trained already."""

    max_length: int | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    """Why rows were left out, and how many."""
    _taken: set[tuple[Any, ...]] = field(default_factory=set)

    def of(self, branches: Iterable[Branch]) -> Iterator[dict[str, Any]]:
        """The rows of ``branches`` in order, one for each trajectory that trains something new."""
        for branch in branches:
            if not branch.trajectories:
                self.left_out["no message of a model"] += 1
            for trajectory in branch.trajectories:
                row = self._row(branch, trajectory)
                if row is not None:
                    yield row

    def _row(self, branch: Branch, trajectory: Trajectory) -> dict[str, Any] | None:
        trainable = [span for span in trajectory.spans if span.origin != "given"]
        if not trainable:
            self.left_out["nothing to train"] += 1
            return None
        fresh = [key for span in trainable if (key := _key(branch, span)) not in self._taken]
        if not fresh:
            return None  # every token of it is in an earlier row
        ids = trajectory.ids()
        if self.max_length is not None and len(ids) > self.max_length:
            self.left_out[f"longer than {self.max_length} tokens"] += 1
            return None
        labels: list[int] = []
        logprobs: list[float | None] = []
        trained: list[Span] = []
        for span in trajectory.spans:
            if span.origin != "given" and (key := _key(branch, span)) not in self._taken:
                self._taken.add(key)
                trained.append(span)
                labels += span.tokens
            else:
                labels += [IGNORED] * len(span.tokens)
            logprobs += span.logprobs or [None] * len(span.tokens)
        return {
            "input_ids": ids,
            "labels": labels,
            "logprobs": logprobs,
            "tokens": branch.tokens,
            "thread": branch.thread,
            "checkpoint": branch.checkpoint,
            "messages": list(dict.fromkeys(span.message for span in trained if span.message)),
            "versions": sorted({span.version for span in trajectory.spans if span.version}),
            "task": branch.task,
            "source": branch.outcome.source,
            "reward": branch.outcome.reward,
        }


def sft_rows(
    branches: Iterable[Branch], *, max_length: int | None = None
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """All SFT rows of ``branches``, and how many rows were left out by reason."""
    maker = SftRows(max_length)
    rows = list(maker.of(branches))
    return rows, dict(maker.left_out)


def _key(branch: Branch, span: Span) -> tuple[Any, ...]:
    """Equal for the same turn in two branches, or in a thread and its copy.

    A recorded turn is known by its message, tokens and exact logprobs; ids of rendered messages may
    come from an import and repeat between threads.
    """
    thread = None if branch.tokens == "recorded" and span.message else branch.thread
    return (thread, span.message, span.origin, len(span.tokens), hash((span.tokens, span.logprobs)))
