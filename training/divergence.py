"""Where two branches first part: the turn that differs after exactly the same tokens.

Pure. A difference in what was given (another prompt, another observation) is no choice of the
policy's, so it makes no pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from .branches import Branch
from .trajectory import Span, Trajectory


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
        return self.chosen[:1], self.rejected[:1]


def find_divergence(chosen: Branch, rejected: Branch) -> Divergence | Refusal:
    """Where the two branches part."""
    if chosen.tokens != rejected.tokens:
        return Refusal("recorded against rendered tokens")
    for number, (one, other) in enumerate(_both(chosen.trajectories, rejected.trajectories)):
        first, second = _joined(one.spans), _joined(other.spans)
        for at, (span, twin) in enumerate(zip(first, second, strict=False)):
            if _same(span, twin):
                continue
            if span.origin == "given" or twin.origin == "given":
                return Refusal("prompts differ" if at == number == 0 else "observations differ first")
            turn = 1 + sum(earlier.origin != "given" for earlier in first[:at])
            return Divergence(turn, first[:at], first[at:], second[at:])
        if len(first) != len(second):
            return Refusal("one is the beginning of the other")
    if len(chosen.trajectories) != len(rejected.trajectories):
        return Refusal("one is the beginning of the other")
    return Refusal("no turn differs" if chosen.trajectories else "no message of a model")


def _both(ones: Sequence[Trajectory], others: Sequence[Trajectory]) -> Sequence[tuple[Trajectory, Trajectory]]:
    return list(zip(ones, others, strict=False))


def _same(one: Span, other: Span) -> bool:
    """Equal tokens; who wrote a turn does not matter, but whether it is one does."""
    return one.tokens == other.tokens and (one.origin == "given") == (other.origin == "given")


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """``spans`` with neighbouring given ones made one, as a replaced call without a successor leaves two."""
    joined: list[Span] = []
    for given, run in groupby(spans, key=lambda span: span.origin == "given"):
        if given:
            joined.append(Span("given", tuple(token for span in run for token in span.tokens)))
        else:
            joined += run
    return tuple(joined)


def _to_last_turn(spans: Sequence[Span]) -> tuple[Span, ...]:
    end = max((at for at, span in enumerate(spans, 1) if span.origin != "given"), default=0)
    return tuple(spans[:end])
