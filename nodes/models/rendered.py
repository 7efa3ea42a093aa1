"""A finished conversation without traces, as the tokens that its model would have seen and sampled.

No training template is asked which tokens are the model's: each answer is what the chat template
puts behind the prompt that led to it. So a row never holds what no model would be shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from .row_frames import Frames, cut_by_frames
from .row_windows import answers_among, cut_by_windows, cut_exactly
from .template import ChatTemplate

FEW = 3
"""So many answers are not worth a short cut."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Where an answer stands in a row."""

    message: int
    """Its place among the messages."""
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """One row of a rendered conversation."""

    ids: tuple[int, ...]
    turns: tuple[Turn, ...]
    """What the model writes, in order; all else is given."""

    def mask(self) -> list[int]:
        """1 where the model writes."""
        mask = [0] * len(self.ids)
        for turn in self.turns:
            mask[turn.low : turn.high] = [1] * (turn.high - turn.low)
        return mask


def render_rows(
    template: ChatTemplate,
    messages: Sequence[BaseMessage],
    tools: Sequence[dict[str, Any]] | None,
    frames: Frames | None = None,
) -> list[Rendered]:
    """At least one row. Every answer is a turn of exactly one of them.

    A new row begins where the template tells the past differently from then on, as Qwen3's does when it drops
    the thinking of earlier turns. What is said before anybody asked is no answer. ``frames`` remembers from
    conversation to conversation how this template stands around answers.

    Raises:
        CannotRender: the template refuses these messages.
    """
    rows = None
    if len(answers_among(messages)) > FEW:
        rows = None if frames is None else cut_by_frames(template, messages, tools, frames)
        rows = rows or cut_by_windows(template, messages, tools)
    rows = rows or cut_exactly(template, messages, tools)
    if not rows:
        return [Rendered(template.ids(template.text(messages, tools, ask=False)), ())]
    texts = [text for row in rows for text in (*(part for piece in row.pieces for part in piece[1:]), row.tail)]
    tokens = iter(template.ids_of(texts))
    found = []
    for row in rows:
        ids: list[int] = []
        turns = []
        for piece in row.pieces:
            ids += next(tokens)
            low = len(ids)
            ids += next(tokens)
            turns.append(Turn(piece.message, low, len(ids)))
        tail = next(tokens)
        # What stands behind an answer belongs to the prompt of the next one, which a row that was cut short has not.
        found.append(Rendered(tuple(ids + tail if row is rows[-1] else ids), tuple(turns)))
    return found
