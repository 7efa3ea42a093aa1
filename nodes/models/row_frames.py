"""Where answers stand in a conversation, by the special tokens that a template writes around answers of their shape.

A frame is learnt once, from a window (``row_windows``), and then found again around other answers of the same shape:
nobody's text can hold a special token. What does not fit is left to slower ways.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ...errors import CannotRender
from .answer_text import AnswerText
from .families.chat import reasoning_of
from .row_windows import Cut, Piece, Tools, answers_among, find_answer, look_between, window_of
from .template import ChatTemplate

MOST = 4096
"""Frames that are remembered."""
_TAG = re.compile(r"<[/|]?\w|\[/?[A-Z]|\N{FULLWIDTH VERTICAL LINE}")
"""What a template might take for a mark of its own, and not for text."""

_NEW: Any = object()

Shape = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """How a template stands around an answer, whatever is said in it."""

    before: tuple[str, ...]
    """Special tokens between the answer before and this one."""
    opening: str
    """Text between the last of them and the answer."""
    within: tuple[str, ...]
    """Special tokens in the answer, which ends with the last of them."""
    tail: str
    """Text behind the answer."""


Frames = dict[Shape, Frame | None]
"""By the shapes of a window; None where the second answer begins a row, or no special token tells where it stands."""


def cut_by_frames(
    template: ChatTemplate, messages: Sequence[BaseMessage], tools: Tools, frames: Frames
) -> list[Cut] | None:
    """The only row of a conversation, rendered once; None if there are several, or if anything does not fit."""
    places = answers_among(messages)
    shapes = [_shape(message) for message in messages]
    known = [
        _frame(template, messages, tools, shapes, frames, *pair)
        for pair in zip([None, *places[:-1]], places, strict=True)
    ]
    if not all(known):
        return None
    text = template.text(messages[: places[-1] + 1], tools, ask=False)
    marks = iter(template.spelled.finditer(text))
    cut = Cut()
    begin = told = 0
    for place, frame in zip(places, known, strict=True):
        assert frame is not None
        low = _behind(marks, frame.before, text, frame.opening)
        high = None if low is None else _behind(marks, frame.within, text, frame.tail)
        if low is None or high is None:
            return None
        given, spoken = text[begin:low], text[low : high - len(frame.tail)]
        if not _says(spoken, messages[place]) or not all(_stands_in(given, one) for one in messages[told:place]):
            return None
        cut.pieces.append(Piece(place, given, spoken))
        begin, told = high - len(frame.tail), place + 1
        cut.tail = frame.tail
    return [cut] if begin + len(cut.tail) == len(text) else None


def _frame(
    template: ChatTemplate,
    messages: Sequence[BaseMessage],
    tools: Tools,
    shapes: Sequence[Shape | None],
    frames: Frames,
    previous: int | None,
    place: int,
) -> Frame | None:
    """The frame around an answer, learnt now if it is new."""
    window = range(place + 1) if previous is None else window_of(messages, previous, place)
    own = [shapes[at] for at in window]
    if None in own:
        return None
    key = (bool(tools), previous is None, *own)
    known = frames.get(key, _NEW)
    if known is not _NEW:
        return known
    if len(frames) >= MOST:
        frames.clear()
    try:
        frame = _learn(template, messages, tools, previous, place)
    except CannotRender:
        frame = None
    frames[key] = frame
    return frame


def _learn(
    template: ChatTemplate, messages: Sequence[BaseMessage], tools: Tools, previous: int | None, place: int
) -> Frame | None:
    if previous is None:
        answered = template.text(messages[: place + 1], tools, ask=False)
        answer = find_answer(template, messages[:place], tools, answered)
        return _as_frame(template, answer.given, answer)
    found = look_between(template, messages, tools, previous, place)
    return None if found is None else _as_frame(template, found.added, found.answer)


def _as_frame(template: ChatTemplate, before: str, answer: AnswerText) -> Frame | None:
    ahead, within = (list(template.spelled.finditer(text)) for text in (before, answer.spoken))
    if not ahead or not within or within[-1].end() != len(answer.spoken) or template.spelled.search(answer.tail):
        return None
    tokens = (tuple(mark[0] for mark in marks) for marks in (ahead, within))
    return Frame(next(tokens), before[ahead[-1].end() :], next(tokens), answer.tail)


def _behind(marks: Any, wanted: Sequence[str], text: str, literal: str) -> int | None:
    """The place behind the next special tokens, if they are the ``wanted`` ones, and behind ``literal``."""
    at = 0
    for token in wanted:
        mark = next(marks, None)
        if mark is None or mark[0] != token:
            return None
        at = mark.end()
    return at + len(literal) if text.startswith(literal, at) else None


def _says(spoken: str, message: BaseMessage) -> bool:
    """Is everything that the message says, and what was thought before it, in ``spoken``?"""
    return message.text.strip() in spoken and reasoning_of(message).strip() in spoken


def _stands_in(given: str, message: BaseMessage) -> bool:
    """Is what the message says in ``given``, as it is or in JSON?"""
    said = message.text.strip()
    return said in given or json.dumps(said, ensure_ascii=False)[1:-1] in given


def _shape(message: BaseMessage) -> Shape | None:
    """What a template may look at besides the text itself; None if there is more than that."""
    said = message.content
    if not isinstance(said, str) or _TAG.search(said):
        return None
    about: tuple[Any, ...] = (message.type, bool(message.name), bool(said), bool(said.strip()))
    if isinstance(message, AIMessage):
        thought = reasoning_of(message)
        calls = len(message.tool_calls), len(message.invalid_tool_calls)
        return None if _TAG.search(thought) else (*about, bool(thought), bool(thought.strip()), *calls)
    return (*about, message.status) if isinstance(message, ToolMessage) else about
