"""SFT rows: the tokens of branches with labels on what the policy sampled and what humans put in its place.

Pure. Where branches of a thread share a beginning, it is trained in the first row that has it and
masked in the others, so that every eligible token is trained exactly once. With chosen nodes only their
turns are trained; those of other nodes are context, and so are turns with a call that a person refused or that act
had to put right.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from .branches import Branch
from .chosen_nodes import only_nodes, turns_of_unknown_nodes
from .pairing.sources import is_refused, repaired_turns, turns_with_results
from .taken import Taken, TakenInMemory, span_keys
from .trajectory import Span, Trajectory

IGNORED = -100
"""The label of a token that is not trained."""
NO_NODE = "turns whose node is not known"
REFUSED = "turns with a call that a person refused"
REPAIRED = "turns with a call that had to be put right"
FORGOTTEN = "turns whose beginning was taken out of the thread"


@dataclass
class SftRows:
    """Makes the rows of one data set, branch by branch; ``taken`` remembers what is trained already."""

    max_length: int | None = None
    nodes: Set[str] | None = None
    """Only their turns are trained; None is all turns."""
    taken: Taken | None = field(default_factory=TakenInMemory)
    """None trains a turn in every row that has it; ``turns`` then says of each ``[low, high, key, message]``."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why rows were left out, and how many; turns of unknown nodes are counted by turn."""

    def of(self, branches: Iterable[Branch]) -> Iterator[dict[str, Any]]:
        """The rows of ``branches`` in order, one for each trajectory that trains something new."""
        unknown: set[tuple[str, str | None]] = set()
        forgotten: set[tuple[str, str | None]] = set()
        known: set[tuple[str, str | None]] = set()
        avoided: set[tuple[str, str | None]] = set()
        repaired: set[tuple[str, str | None]] = set()
        for branch in branches:
            refused = {message.id for message, results in turns_with_results(branch.messages) if is_refused(results)}
            mended = repaired_turns(branch) - refused
            avoided |= {(branch.thread, message) for message in refused}
            repaired |= {(branch.thread, message) for message in mended}
            forgotten |= {(branch.thread, message) for message in branch.forgotten}
            known |= {(branch.thread, span.message) for one in branch.trajectories for span in one.spans}
            if not branch.trajectories and not branch.forgotten:
                self.left_out["no message of a model"] += 1
            if self.nodes is not None:
                unknown |= {(branch.thread, message) for message in turns_of_unknown_nodes(branch, self.nodes)}
            for trajectory in only_nodes(branch, self.nodes).trajectories:
                row = self._row(branch, trajectory, refused | mended)
                if row is not None:
                    yield row
        if unknown:
            self.left_out[NO_NODE] += len(unknown)
        if avoided:
            self.left_out[REFUSED] += len(avoided)
        if repaired:
            self.left_out[REPAIRED] += len(repaired)
        if forgotten - known:
            self.left_out[FORGOTTEN] += len(forgotten - known)

    def _row(self, branch: Branch, trajectory: Trajectory, avoided: Set[str | None]) -> dict[str, Any] | None:
        keys = [
            None if span.message in avoided or not span.tokens else key
            for span, key in zip(trajectory.spans, span_keys(branch, trajectory.spans), strict=True)
        ]
        if not any(keys):
            nodes = " or ".join(sorted(self.nodes or ()))
            self.left_out[f"no turn of {nodes}" if nodes else "nothing to train"] += 1
            return None
        ids = trajectory.ids()
        if self.max_length is not None and len(ids) > self.max_length:
            self.left_out[f"longer than {self.max_length} tokens"] += 1
            return None
        present = [key for key in keys if key is not None]
        new = iter(self.taken.add(present) if self.taken is not None else [True] * len(present))
        fresh = [key is not None and next(new) for key in keys]
        if not any(fresh):
            return None  # every token of it is in an earlier row
        labels: list[int] = []
        logprobs: list[float | None] = []
        for span, trained in zip(trajectory.spans, fresh, strict=True):
            labels += span.tokens if trained else [IGNORED] * len(span.tokens)
            logprobs += span.logprobs or [None] * len(span.tokens)
        messages = _messages(span for span, trained in zip(trajectory.spans, fresh, strict=True) if trained)
        return {
            "input_ids": ids,
            "labels": labels,
            "logprobs": logprobs,
            "tokens": branch.tokens,
            "thread": branch.thread,
            "checkpoint": branch.checkpoint,
            "messages": messages,
            "nodes": sorted({branch.nodes[message] for message in messages if message in branch.nodes}),
            "versions": sorted({span.version for span in trajectory.spans if span.version}),
            "agent": branch.agent,
            "task": branch.task,
            "source": branch.outcome.source,
            "reward": branch.outcome.reward,
            **({} if self.taken is not None else {"turns": _turns(trajectory.spans, keys)}),
        }


def sft_rows(
    branches: Iterable[Branch], *, max_length: int | None = None, nodes: Set[str] | None = None
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """All SFT rows of ``branches``, and how many rows were left out by reason."""
    maker = SftRows(max_length, nodes)
    rows = list(maker.of(branches))
    return rows, dict(maker.left_out)


def _messages(spans: Iterable[Span]) -> list[str]:
    return list(dict.fromkeys(span.message for span in spans if span.message))


def _turns(spans: Sequence[Span], keys: Sequence[bytes | None]) -> list[tuple[int, int, str, str | None]]:
    turns, at = [], 0
    for span, key in zip(spans, keys, strict=True):
        if key is not None:
            turns.append((at, at + len(span.tokens), key.hex(), span.message))
        at += len(span.tokens)
    return turns
