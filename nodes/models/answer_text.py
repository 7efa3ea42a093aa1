"""Where an answer stands in the text that a chat template makes, and what a later text adds to it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

EMPTY_THOUGHT = re.compile(r"<think>\n*</think>\n*")


@dataclass(frozen=True, slots=True)
class AnswerText:
    """The text up to an answer's end, piece by piece."""

    given: str
    """The prompt, and what the template forces on the answer: an empty thought."""
    spoken: str
    """What the model writes, its end of turn included."""
    tail: str
    """What the template puts behind that."""


def cut_answer(asked: str, answered: str, ends_of_turn: Sequence[str]) -> AnswerText | None:
    """The answer that ``answered`` adds to the prompt ``asked``; None if it does not begin with that prompt.

    >>> cut_answer("Q<A>", "Q<A>Yes.<E>|", ["<E>"])
    AnswerText(given='Q<A>', spoken='Yes.<E>', tail='|')
    """
    if not answered.startswith(asked):
        return None
    given = len(asked)
    forced = EMPTY_THOUGHT.search(answered, max(0, given - len("<think>\n")))
    if forced and forced.start() <= given:
        given = max(given, forced.end())
    rest = answered[given:]
    end = max(ends_of_turn, key=rest.rfind, default="")
    spoken, end, tail = rest.rpartition(end) if end else ("", "", rest)
    return AnswerText(answered[:given], spoken + end, tail) if end else AnswerText(answered[:given], rest, "")


def beyond(past: str, text: str) -> str | None:
    """What ``text`` adds to ``past``; None if it tells the past differently.

    An empty thought makes no difference: some templates show it in the last answer only, and nothing is lost with it.

    >>> beyond("Q <think>\\n\\n</think>\\n\\nA", "Q A and more")
    ' and more'
    """
    if text.startswith(past):
        return text[len(past) :]
    wanted = EMPTY_THOUGHT.sub("", past)
    at, left = 0, len(wanted)
    for empty in EMPTY_THOUGHT.finditer(text):
        if empty.start() - at >= left:
            break
        left -= empty.start() - at
        at = empty.end()
    end = at + left
    return text[end:] if EMPTY_THOUGHT.sub("", text[:end]) == wanted else None
