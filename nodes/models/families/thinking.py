"""Thinking that stands in front of an answer, between ``<think>`` and ``</think>``."""

from dataclasses import dataclass

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Thought:
    """An answer's thinking, and where the rest of the answer begins."""

    reasoning: str
    rest: int
    """Index into the text; its end while the thinking goes on."""


def read_thought(opening: str, text: str) -> Thought:
    """The thinking at the beginning of ``text``, which ``opening``, the end of the prompt, may have begun.

    >>> read_thought("", "<think>Hm.</think> Yes.")
    Thought(reasoning='Hm.', rest=18)
    """
    if opening.rfind(OPEN) > opening.rfind(CLOSE):
        low = 0
    else:
        low = len(text) - len(text.lstrip())
        if not text.startswith(OPEN, low):
            return Thought("", 0)
        low += len(OPEN)
    high = text.find(CLOSE, low)
    if high < 0:
        return Thought(text[low:].strip(), len(text))
    return Thought(text[low:high].strip(), high + len(CLOSE))
