"""The turns of a trajectory: which spans are what one message of the policy said.

Pure. A turn is one span as a rule, and several with one message where a part of it was redacted: that part is given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from .trajectory import Span


@dataclass(frozen=True, slots=True)
class Segment:
    """A turn of the policy, or everything that was given between two turns."""

    spans: tuple[Span, ...]
    start: int
    """How many spans stand in front of it."""

    @property
    def is_turn(self) -> bool:
        """Did the policy say any of it, or a human in its place?"""
        return _is_trained(self.spans)

    @property
    def message(self) -> str | None:
        """The message that said it; None if it was given."""
        return self.spans[0].message if self.is_turn else None

    @property
    def tokens(self) -> tuple[int, ...]:
        """All of its tokens."""
        return self.spans[0].tokens if len(self.spans) == 1 else tuple(join(self.spans))


def split_turns(spans: Sequence[Span]) -> Iterator[Segment]:
    """``spans`` as turns and what was given between them, in order; no two given ones follow one another."""
    start = 0
    while start < len(spans):
        end = _end(spans, start)
        yield Segment(tuple(spans[start:end]), start)
        start = end


def turn_at(spans: Sequence[Span], start: int) -> tuple[Span, ...]:
    """The spans of the turn that begins at ``start``."""
    return tuple(spans[start : _end(spans, start)])


def join(spans: Sequence[Span]) -> list[int]:
    """The tokens of ``spans``.

    >>> join([Span("given", (7, 8)), Span("sampled", (9,), (-0.1,))])
    [7, 8, 9]
    """
    return list(chain.from_iterable(span.tokens for span in spans))


def _end(spans: Sequence[Span], start: int) -> int:
    end = _end_of_message(spans, start)
    if _is_trained(spans[start:end]):
        return end
    while end < len(spans) and not _is_trained(spans[end : (following := _end_of_message(spans, end))]):
        end = following
    return end


def _end_of_message(spans: Sequence[Span], start: int) -> int:
    end = start + 1
    while end < len(spans) and spans[start].message is not None and spans[end].message == spans[start].message:
        end += 1
    return end


def _is_trained(spans: Sequence[Span]) -> bool:
    return any(span.origin != "given" for span in spans)
