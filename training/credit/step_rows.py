"""Rows for process reward models: a prompt, one turn of the policy, and the expected outcome after it.

Pure. Tokens are those that were recorded; what was redacted or never recorded is not guessed, and such turns are
counted as left out.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..branches import Branch
from ..turns import join, split_turns
from .step_labels import step_columns, values_after


@dataclass
class StepRows:
    """Makes the rows of one data set, a turn once however many branches have it."""

    left_out: Counter[str] = field(default_factory=Counter)
    """Why labelled turns have no row, and how many."""

    def of(self, branches: Iterable[Branch]) -> Iterator[dict[str, Any]]:
        """The rows of ``branches``; all branches of a thread must come together."""
        made: set[tuple[str, str | None]] = set()
        for branch in branches:
            after = values_after(branch)
            turns = {
                segment.message: (trajectory.spans[: segment.start], segment)
                for trajectory in branch.trajectories
                for segment in split_turns(trajectory.spans)
                if segment.message in after
            }
            spoken = [message for message in after if message in branch.nodes or message in turns]
            for message in spoken:
                if (branch.thread, message) in made:
                    continue
                made.add((branch.thread, message))
                if message not in turns:
                    self.left_out["turns without recorded tokens"] += 1
                    continue
                prompt, segment = turns[message]
                columns = step_columns(branch, [message])
                yield {
                    "prompt_ids": join(prompt),
                    "completion_ids": join(segment.spans),
                    "value": after[message],
                    "value_before": (columns["step_values"] or [None])[0],
                    "advantage": (columns["step_advantages"] or [None])[0],
                    "tokens": branch.tokens,
                    "thread": branch.thread,
                    "checkpoint": branch.checkpoint,
                    "message": message,
                    "agent": branch.agent,
                    "task": branch.task,
                }
