"""A finished conversation without traces, as the tokens that its model would have seen and sampled.

No training template is asked which tokens are the model's: each answer is what the chat template
puts behind the prompt that led to it. So a row never holds what no model would be shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from ...errors import CannotRender
from .answer_text import AnswerText, beyond, cut_answer
from .template import ChatTemplate


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
    template: ChatTemplate, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None
) -> list[Rendered]:
    """At least one row. Every answer is a turn of exactly one of them.

    A new row begins where the template tells the past differently from then on, as Qwen3's does when it drops
    the thinking of earlier turns. What is said before anybody asked is no answer.
    """
    rows: list[Rendered] = []
    ids: tuple[int, ...] = ()
    turns: tuple[Turn, ...] = ()
    past = tail = ""
    for place, message in enumerate(messages):
        if not isinstance(message, AIMessage) or place == 0:
            continue
        answered = template.text(messages[: place + 1], tools, ask=False)
        answer = _answer(template, messages[:place], tools, answered)
        added = beyond(past, answer.given) if turns else None
        if added is None:
            if turns:
                rows.append(Rendered(ids, turns))
            ids, turns, tail, added = (), (), "", answer.given
        ids += template.ids(tail + added)
        low = len(ids)
        ids += template.ids(answer.spoken)
        turns += (Turn(place, low, len(ids)),)
        past, tail = answered, answer.tail
    if not turns:
        return [Rendered(template.ids(template.text(messages, tools, ask=False)), ())]
    return [*rows, Rendered(ids + template.ids(tail), turns)]


def _answer(
    template: ChatTemplate, before: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] | None, answered: str
) -> AnswerText:
    asked = template.text(before, tools, ask=True)
    if not answered.startswith(asked):
        # The prompt would have opened the answer otherwise, with an empty thought for one: keep what they share.
        own = [str(token) for token in template.tokenizer.added_tokens_decoder.values()]
        told = len(template.text(before, tools, ask=False))
        asked = _shared(asked, answered, own)
        if len(asked) < told:
            raise CannotRender(
                f"the chat template of {template.tokenizer.name_or_path!r} changes the messages in front of an answer "
                f"as soon as it is there (message {len(before)}); use a model with another template"
            )
    answer = cut_answer(asked, answered, template.endings)
    assert answer is not None  # it begins with what they share
    return answer


def _shared(one: str, other: str, tokens: Sequence[str]) -> str:
    """How both begin, without a piece of one of ``tokens``.

    >>> _shared("A</think>", "A<think>", ["<think>", "</think>"])
    'A'
    """
    length = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    cut = [
        start
        for token in tokens
        for text in (one, other)
        if (start := text.rfind(token, max(0, length - len(token) + 1), length + len(token) - 1)) >= 0
    ]
    return one[: min([length, *cut])]
