"""Where two branches first part: the turn that differs after exactly the same tokens.

Pure. A difference in what was given (another prompt, another observation) is no choice of the
policy's, so it makes no pair.
"""

from dataclasses import dataclass
from itertools import zip_longest

from ..branches import Branch
from ..trajectory import Span
from ..turns import split_turns, turn_at


@dataclass(frozen=True, slots=True)
class Refusal:
    """Two branches that cannot be compared, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Divergence:
    """The shared spans and what follows on either side, beginning with the turn that differs."""

    turn: int
    """Number of the differing turn, from 1."""
    prefix: tuple[Span, ...]
    chosen: tuple[Span, ...]
    rejected: tuple[Span, ...]

    def continuations(self, *, whole: bool) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """Chosen and rejected: all that follows up to the last trained token, or the differing turn alone."""
        if whole:
            return _to_last_turn(self.chosen), _to_last_turn(self.rejected)
        return turn_at(self.chosen, 0), turn_at(self.rejected, 0)


def find_divergence(chosen: Branch, rejected: Branch) -> Divergence | Refusal:
    """Where the two branches part."""
    if chosen.tokens != rejected.tokens:
        return Refusal("recorded against rendered tokens")
    if not chosen.trajectories or not rejected.trajectories:
        return Refusal("no message of a model")
    turn = 0
    for one, other in zip(chosen.trajectories, rejected.trajectories, strict=False):
        for left, right in zip_longest(split_turns(one.spans), split_turns(other.spans)):
            if left is None or right is None:
                return Refusal("one is the beginning of the other")
            turn += left.is_turn
            if left.is_turn == right.is_turn and left.tokens == right.tokens:
                continue
            if not (left.is_turn and right.is_turn):
                return Refusal("observations differ first" if turn else "prompts differ")
            return Divergence(turn, one.spans[: left.start], one.spans[left.start :], other.spans[right.start :])
    if len(chosen.trajectories) != len(rejected.trajectories):
        return Refusal("one is the beginning of the other")
    return Refusal("no turn differs")


def _to_last_turn(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    end = max((at for at, span in enumerate(spans, 1) if span.origin != "given"), default=0)
    return tuple(spans[:end])
