"""Thinking that stands in front of an answer, between ``<think>`` and ``</think>``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from .chat import reasoning_of

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Thought:
    """An answer's thinking, and where the rest of the answer begins."""

    reasoning: str
    rest: int
    """Index into the text; its end while the thinking goes on."""


def read_thought(opening: str, text: str, open_tag: str = OPEN, close_tag: str = CLOSE) -> Thought:
    """The thinking at the beginning of ``text``, which ``opening``, the end of the prompt, may have begun.

    >>> read_thought("", "<think>Hm.</think> Yes.")
    Thought(reasoning='Hm.', rest=18)
    """
    if opening.rfind(open_tag) > opening.rfind(close_tag):
        low = 0
    else:
        low = len(text) - len(text.lstrip())
        if not text.startswith(open_tag, low):
            return Thought("", 0)
        low += len(open_tag)
    high = text.find(close_tag, low)
    if high < 0:
        return Thought(text[low:].strip(), len(text))
    return Thought(text[low:high].strip(), high + len(close_tag))


def think_aloud(messages: Sequence[BaseMessage], chat: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``chat`` with the thinking of ``messages`` in their text, for templates that know nothing of thinking."""
    return [
        {**told, "content": f"{OPEN}\n{reasoning}\n{CLOSE}\n\n{told['content']}"}
        if (reasoning := reasoning_of(message))
        else told
        for message, told in zip(messages, chat, strict=True)
    ]


def think_apart(messages: Sequence[BaseMessage], chat: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``chat`` with the thinking of ``messages`` on its own, for templates that decide which thinking to show.

    An answer without thinking gets an empty text: without any, such templates look for thinking in the content.
    """
    return [
        {**told, "reasoning_content": reasoning_of(message)} if isinstance(message, AIMessage) else told
        for message, told in zip(messages, chat, strict=True)
    ]
