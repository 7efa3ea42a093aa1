"""KTO rows: a completion of the policy, and whether it is desirable, from labels that have no counterpart.

Pure. What is prompt and what completion depends on what was judged:

- **a turn** (a label on its message, a call that a person refused or that could not be run, a proposal that a human
  replaced, and what the human wrote): the prompt is everything in front of the turn, the completion is the turn;
- **a branch** (its success, a thumb, its reward): the prompt ends where the first turn begins that this judgement is
  the only one on, the completion ends with the last such turn. Tool output, and turns in between that are judged by
  themselves, that an earlier row has, or that branches of *different* outcome share, are in it with the mask 0.

So every turn is in one row at most: trained as desirable or as undesirable, never both.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from .branch_labels import message_labels
from .branches import Branch
from .chosen_nodes import only_nodes
from .credit.step_labels import is_step_label
from .judgements import Judgement, judge_branch, judge_turns
from .taken import Taken, TakenInMemory, span_keys
from .trajectory import Span, Trajectory, loss_mask
from .turns import Segment, join, split_turns

SHARED = "turns that branches of different outcome share"
REPEATED = "every turn is trained in another row"
NO_TURN = "labels on messages that are no turn of the policy"


@dataclass
class Kto:
    """Makes the KTO rows of one data set; ``taken`` remembers which turns have one."""

    max_length: int | None = None
    nodes: Set[str] | None = None
    """Only their turns are trained; None is all turns."""
    min_reward: float | None = None
    """From where on a reward is good, for what has no success and no thumb; None leaves that out."""
    taken: Taken = field(default_factory=TakenInMemory)
    left_out: Counter[str] = field(default_factory=Counter)
    """Why branches were left out, and how many; shared turns and labels are counted one by one."""

    def of(self, branches: Iterable[Branch]) -> Iterator[dict[str, Any]]:
        """The rows of ``branches``; all branches of a thread must come together."""
        for _, thread in groupby(branches, key=lambda branch: branch.thread):
            yield from self._of_thread([only_nodes(branch, self.nodes) for branch in thread])

    def _of_thread(self, branches: Sequence[Branch]) -> Iterator[dict[str, Any]]:
        turns = [judge_turns(branch, self.min_reward) for branch in branches]
        judged: set[bytes] = set()
        for branch, own in zip(branches, turns, strict=True):
            for trajectory in branch.trajectories:
                yield from self._own_rows(branch, trajectory, own, judged)
        outcomes = [judge_branch(branch, self.min_reward) for branch in branches]
        shared = _shared(branches, outcomes) - judged
        if shared:
            self.left_out[SHARED] += len(shared)
        for branch, outcome in zip(branches, outcomes, strict=True):
            if not branch.trajectories:
                self.left_out["no message of a model"] += 1
            elif outcome is None:
                self.left_out["no outcome"] += 1
            else:
                for trajectory in branch.trajectories:
                    yield from self._whole_row(branch, trajectory, outcome, judged | shared)
        spoken = {span.message for branch in branches for one in branch.trajectories for span in one.spans}
        labelled = {
            message
            for branch in branches
            for message, labels in message_labels(branch).items()
            if not all(map(is_step_label, labels))  # the state in front of the first turn has one too
        }
        if labelled - spoken:
            self.left_out[NO_TURN] += len(labelled - spoken)

    def _own_rows(
        self, branch: Branch, trajectory: Trajectory, own: dict[str, Judgement], judged: set[bytes]
    ) -> Iterator[dict[str, Any]]:
        """The rows of turns that are judged by themselves, and of replaced proposals; their keys go to ``judged``."""
        found = [
            (key, trajectory.spans[: segment.start], segment.spans, own[segment.message])
            for key, segment in (_turns(branch, trajectory) if own else ())
            if segment.message in own
        ]
        replaced = Judgement(False, "human_edit", "a human replaced it")
        for proposal in trajectory.proposals:
            said = proposal.cut or (proposal.span,)
            keys = [key for key in span_keys(branch, said) if key is not None]
            if keys:
                found.append((keys[0], trajectory.spans[: proposal.at], said, replaced))
        for key, prompt, completion, judgement in sorted(found, key=lambda one: len(one[1])):
            judged.add(key)
            if self._fits(prompt, completion) and self.taken.add([key])[0]:
                yield _row(branch, prompt, completion, loss_mask(completion), judgement)

    def _whole_row(
        self, branch: Branch, trajectory: Trajectory, outcome: Judgement, passed: Set[bytes]
    ) -> Iterator[dict[str, Any]]:
        """The row of a trajectory, unless all of its turns are in another one or in none."""
        turns = [(key, segment) for key, segment in _turns(branch, trajectory) if key not in passed]
        if not turns or not self._fits((), trajectory.spans[: _end(turns[-1][1])]):
            return
        new = self.taken.add([key for key, _ in turns])
        fresh = [segment for (_, segment), is_new in zip(turns, new, strict=True) if is_new]
        if not fresh:
            self.left_out[REPEATED] += 1
            return
        start, end = fresh[0].start, _end(fresh[-1])
        trained = {at for segment in fresh for at in range(segment.start, _end(segment))}
        mask = [
            int(at in trained and span.origin != "given")
            for at, span in enumerate(trajectory.spans[start:end], start)
            for _ in span.tokens
        ]
        yield _row(branch, trajectory.spans[:start], trajectory.spans[start:end], mask, outcome)

    def _fits(self, prompt: Sequence[Span], completion: Sequence[Span]) -> bool:
        length = sum(len(span.tokens) for spans in (prompt, completion) for span in spans)
        if self.max_length is None or length <= self.max_length:
            return True
        self.left_out[f"longer than {self.max_length} tokens"] += 1
        return False


def _turns(branch: Branch, trajectory: Trajectory) -> list[tuple[bytes, Segment]]:
    """The turns of the policy, each with the key of its first trained span."""
    keys = span_keys(branch, trajectory.spans)
    found = []
    for segment in split_turns(trajectory.spans):
        own = [key for key in keys[segment.start : _end(segment)] if key is not None]
        if own:
            found.append((own[0], segment))
    return found


def _end(segment: Segment) -> int:
    return segment.start + len(segment.spans)


def _shared(branches: Sequence[Branch], outcomes: Sequence[Judgement | None]) -> set[bytes]:
    """The turns that a good and a bad branch have in common."""
    if len({outcome.good for outcome in outcomes if outcome is not None}) < 2:
        return set()
    sides: dict[bool, set[bytes]] = {True: set(), False: set()}
    for branch, outcome in zip(branches, outcomes, strict=True):
        if outcome is not None:
            sides[outcome.good] |= {key for one in branch.trajectories for key, _ in _turns(branch, one)}
    return sides[True] & sides[False]


def _row(
    branch: Branch, prompt: Sequence[Span], completion: Sequence[Span], mask: list[int], judgement: Judgement
) -> dict[str, Any]:
    ids = join(completion)
    spoken: list[Span] = []
    at = 0
    for span in completion:
        if any(mask[at : at + len(span.tokens)]):
            spoken.append(span)
        at += len(span.tokens)
    return {
        "prompt_ids": join(prompt),
        "completion_ids": ids,
        "completion_mask": mask,
        "label": judgement.good,
        "tokens": branch.tokens,
        "source": judgement.source,
        "thread": branch.thread,
        "checkpoint": branch.checkpoint,
        "messages": list(dict.fromkeys(span.message for span in spoken if span.message)),
        "versions": sorted({span.version for span in spoken if span.version}),
        "agent": branch.agent,
        "task": branch.task,
        "why": judgement.why,
    }
