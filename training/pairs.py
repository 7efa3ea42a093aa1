"""Preference pairs: a shared prefix, a chosen and a rejected continuation, and why.

Pure. Four sources: a human edit, trials of one task with different outcomes, sibling branches with
different labels, and an invalid call with the valid one that repaired it. Both continuations follow
exactly the same tokens; where that cannot be had, the pair is refused and counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, pairwise
from typing import Any, Literal

from langchain_core.messages import AIMessage, ToolMessage

from .branches import Branch
from .divergence import Refusal, find_divergence
from .trajectory import Span, loss_mask

Continuation = Literal["whole", "turn"]
"""Where trials and branches part, compare everything that follows, or only the turn that differs."""

INVALID = {"invalid", "unknown_tool"}
"""Kinds of tool messages that answer a call which could not be run as proposed."""


@dataclass
class Pairs:
    """Makes the pairs of one data set and remembers which were left out."""

    continuation: Continuation = "whole"
    max_pairs_per_task: int = 4
    max_length: int | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    """Why pairs were left out, and how many."""
    _made: set[int] = field(default_factory=set)

    def of_thread(self, branches: Sequence[Branch]) -> Iterator[dict[str, Any]]:
        """Pairs from within one thread: edits, repairs, and branches with different outcomes."""
        for branch in branches:
            yield from self._edits(branch)
            yield from self._repairs(branch)
        for one, other in combinations(branches, 2):
            if one.outcome.success is not None and other.outcome.success not in (None, one.outcome.success):
                chosen, rejected = (one, other) if one.outcome.success else (other, one)
                row = self._compare("branches", chosen, rejected)
                if row is not None:
                    yield row

    def of_trials(self, trials: Iterable[Branch]) -> Iterator[dict[str, Any]]:
        """Pairs of a success and a failure at the same task, at most ``max_pairs_per_task`` of each.

        ``trials`` has one branch a thread, in any order; those without task or outcome are passed over.
        """
        by_task: dict[str, list[Branch]] = defaultdict(list)
        for trial in trials:
            if trial.task is not None and trial.outcome.success is not None:
                by_task[trial.task].append(trial)
        for task in sorted(by_task):
            group = sorted(by_task[task], key=lambda branch: branch.thread)
            successes = [branch for branch in group if branch.outcome.success]
            failures = [branch for branch in group if not branch.outcome.success]
            made = 0
            for shift in range(len(failures)):  # every trial once before any a second time
                for place, chosen in enumerate(successes):
                    rejected = failures[(place + shift) % len(failures)]
                    row = self._compare("trials", chosen, rejected, full=made >= self.max_pairs_per_task)
                    if row is not None:
                        made += 1
                        yield row

    def _compare(self, source: str, chosen: Branch, rejected: Branch, *, full: bool = False) -> dict[str, Any] | None:
        found = find_divergence(chosen, rejected)
        if isinstance(found, Refusal):
            self.left_out[f"{source}: {found.reason}"] += 1
            return None
        if full:
            self.left_out[f"{source}: more than {self.max_pairs_per_task} of one task"] += 1
            return None
        better, worse = found.continuations(whole=self.continuation == "whole")
        why = f"{chosen.outcome.source}: success against failure, from turn {found.turn} on"
        return self._row(source, found.prefix, better, worse, (chosen, rejected), why)

    def _edits(self, branch: Branch) -> Iterator[dict[str, Any]]:
        for trajectory in branch.trajectories:
            for proposal in trajectory.proposals:
                if not proposal.replaced:
                    self.left_out["human_edit: no later call has seen it"] += 1
                    continue
                chosen = trajectory.spans[proposal.at]
                why = f"a human replaced the proposal of message {proposal.span.message}"
                prefix = trajectory.spans[: proposal.at]
                row = self._row("human_edit", prefix, (chosen,), (proposal.span,), (branch, branch), why)
                if row is not None:
                    yield row

    def _repairs(self, branch: Branch) -> Iterator[dict[str, Any]]:
        for bad, good in find_repairs(branch):
            for trajectory in branch.trajectories:
                places = {span.message: at for at, span in enumerate(trajectory.spans) if span.message}
                if bad in places and good in places:
                    spans = trajectory.spans
                    why = f"the call of message {bad} was invalid, that of message {good} was not"
                    pair = (spans[places[good]],), (spans[places[bad]],)
                    row = self._row("repair", spans[: places[bad]], *pair, (branch, branch), why)
                    if row is not None:
                        yield row
                    break
            else:
                self.left_out["repair: not in one trajectory"] += 1

    def _row(
        self,
        source: str,
        prefix: Sequence[Span],
        chosen: Sequence[Span],
        rejected: Sequence[Span],
        branches: tuple[Branch, Branch],
        why: str,
    ) -> dict[str, Any] | None:
        prompt_ids, chosen_ids, rejected_ids = _join(prefix), _join(chosen), _join(rejected)
        if chosen_ids == rejected_ids:
            self.left_out[f"{source}: chosen and rejected are the same"] += 1
            return None
        key = hash((tuple(prompt_ids), tuple(chosen_ids), tuple(rejected_ids)))
        if key in self._made:
            self.left_out[f"{source}: the same pair again"] += 1
            return None
        longest = len(prompt_ids) + max(len(chosen_ids), len(rejected_ids))
        if self.max_length is not None and longest > self.max_length:
            self.left_out[f"{source}: longer than {self.max_length} tokens"] += 1
            return None
        self._made.add(key)
        return {
            "prompt_ids": prompt_ids,
            "chosen_ids": chosen_ids,
            "chosen_mask": loss_mask(chosen),
            "rejected_ids": rejected_ids,
            "rejected_mask": loss_mask(rejected),
            "tokens": branches[0].tokens,
            "source": source,
            "threads": [branch.thread for branch in branches],
            "checkpoints": [branch.checkpoint for branch in branches],
            "task": branches[0].task,
            "why": why,
        }


def find_repairs(branch: Branch) -> list[tuple[str, str]]:
    """Ids of messages with an invalid call and of the AI message after each, whose calls are all valid."""
    turns: list[tuple[AIMessage, list[ToolMessage]]] = []
    for message in branch.messages:
        if isinstance(message, AIMessage):
            turns.append((message, []))
        elif isinstance(message, ToolMessage) and turns:
            turns[-1][1].append(message)
    found = []
    for (bad, bad_results), (good, good_results) in pairwise(turns):
        if _is_invalid(bad, bad_results) and good.tool_calls and not _is_invalid(good, good_results):
            found.append((bad.id or "", good.id or ""))
    return found


def _is_invalid(message: AIMessage, results: Sequence[ToolMessage]) -> bool:
    return bool(message.invalid_tool_calls) or any(
        result.additional_kwargs.get("kind") in INVALID for result in results
    )


def _join(spans: Sequence[Span]) -> list[int]:
    return list(chain.from_iterable(span.tokens for span in spans))
