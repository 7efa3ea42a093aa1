"""Where answers stand in a long conversation, found from short ones: each answer with only what led to it.

What a template writes between two answers hangs on few messages around them, so most of the past can be left out
while it is found. Whether that held is seen in the end, when the whole conversation is rendered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from ...errors import CannotRender
from .answer_text import EMPTY_THOUGHT, AnswerText, beyond, cut_answer
from .template import ChatTemplate

Tools = Sequence[dict[str, Any]] | None
RESULT = "<tool_response>"
"""With which a question is no question to Qwen's templates: no window can begin there."""


class Piece(NamedTuple):
    """An answer's part of a row."""

    message: int
    """The answer's place among the messages."""
    given: str
    """What stands between the answer before and this one; for the first of a row, all before it."""
    spoken: str


@dataclass(slots=True)
class Cut:
    """A row in pieces, and what the template puts behind the last answer."""

    pieces: list[Piece] = field(default_factory=list)
    tail: str = ""

    def text(self) -> str:
        """All of it."""
        return "".join([part for piece in self.pieces for part in (piece.given, piece.spoken)]) + self.tail


class Between(NamedTuple):
    """What follows an answer, up to the end of the next one."""

    added: str
    answer: AnswerText


def answers_among(messages: Sequence[BaseMessage]) -> list[int]:
    """Their places; what is said before anybody asked is no answer."""
    return [place for place, message in enumerate(messages) if isinstance(message, AIMessage) and place]


def find_answer(template: ChatTemplate, before: Sequence[BaseMessage], tools: Tools, answered: str) -> AnswerText:
    """The answer at the end of ``answered``, the text of ``before`` and one message more.

    Raises:
        CannotRender: the template tells ``before`` differently as soon as the answer is there.
    """
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


def cut_exactly(template: ChatTemplate, messages: Sequence[BaseMessage], tools: Tools) -> list[Cut]:
    """The rows, each answer found in the whole conversation up to it: what every other way has to give."""
    rows: list[Cut] = []
    past = ""
    for place in answers_among(messages):
        answered = template.text(messages[: place + 1], tools, ask=False)
        answer = find_answer(template, messages[:place], tools, answered)
        _add(rows, place, beyond(past, answer.given) if rows else None, answer)
        past = answered
    return rows


def cut_by_windows(template: ChatTemplate, messages: Sequence[BaseMessage], tools: Tools) -> list[Cut] | None:
    """The same rows with work that grows as the conversation does; None if this template needs the whole past."""
    if any(isinstance(message, HumanMessage) and message.text.startswith(RESULT) for message in messages):
        return None
    rows: list[Cut] = []
    previous = None
    try:
        for place in answers_among(messages):
            found = None if previous is None else look_between(template, messages, tools, previous, place)
            if found is None:  # a row begins with all of the past, as it is told now
                if previous is not None and not _holds(template, rows[-1], messages[: previous + 1], tools):
                    return None
                answered = template.text(messages[: place + 1], tools, ask=False)
                _add(rows, place, None, find_answer(template, messages[:place], tools, answered))
            else:
                _add(rows, place, found.added, found.answer)
            previous = place
        if previous is not None and not _holds(template, rows[-1], messages[: previous + 1], tools):
            return None
    except CannotRender:  # perhaps only because of what was left out
        return None
    return rows


def look_between(
    template: ChatTemplate, messages: Sequence[BaseMessage], tools: Tools, previous: int, place: int
) -> Between | None:
    """What stands between two answers that follow one another; None if the second one's prompt tells the past anew."""
    window = [messages[at] for at in window_of(messages, previous, place)]
    said = len(window) - (place - previous)
    past = template.text(window[:said], tools, ask=False)
    answered = template.text(window, tools, ask=False)
    answer = find_answer(template, window[:-1], tools, answered)
    added = beyond(past, answer.given)
    return None if added is None else Between(added, answer)


def window_of(messages: Sequence[BaseMessage], previous: int, place: int) -> list[int]:
    """The messages around two answers: what stands before all questions, the last question, and from the first on.

    If another question stands between them, the whole turn of the first: templates drop what was thought in it.
    """
    first_asked = next((at for at in range(place) if isinstance(messages[at], HumanMessage)), None)
    if first_asked is None:
        return list(range(place + 1))
    begin = next((at for at in range(previous - 1, 0, -1) if isinstance(messages[at], HumanMessage)), 0)
    while begin and isinstance(messages[begin - 1], HumanMessage):
        begin -= 1
    head = range(min(first_asked, begin))
    if any(isinstance(messages[at], HumanMessage) for at in range(previous + 1, place)):
        return [*head, *range(begin, place + 1)]
    first = next((at for at in range(begin, previous) if not isinstance(messages[at], HumanMessage)), previous)
    return [*head, *range(begin, first), *range(previous, place + 1)]


def _add(rows: list[Cut], place: int, added: str | None, answer: AnswerText) -> None:
    if added is None:
        rows.append(Cut())
        added = answer.given
    else:
        added = rows[-1].tail + added
    rows[-1].pieces.append(Piece(place, added, answer.spoken))
    rows[-1].tail = answer.tail


def _holds(template: ChatTemplate, row: Cut, messages: Sequence[BaseMessage], tools: Tools) -> bool:
    """Is the row what the template makes of these messages, but for empty thoughts?"""
    found, whole = row.text(), template.text(messages, tools, ask=False)
    return found == whole or EMPTY_THOUGHT.sub("", found) == EMPTY_THOUGHT.sub("", whole)


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
