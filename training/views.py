"""What a model saw of its thread, answer by answer: trimming and memory change it on the way, and notes say how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from ..nodes.bound_tools import SYSTEM_KEY, TOOLS_KEY
from ..nodes.context import seen, start_of


@dataclass(frozen=True, slots=True)
class View:
    """Answers that follow one another, and all that their model saw and said until the last of them."""

    messages: tuple[BaseMessage, ...]
    """The system prompt first, if there was one; behind the thread's last answer also what came after it."""
    answers: frozenset[str | None]
    """The ids of the answers; other answers among the messages were given under another view."""
    tools: Sequence[dict[str, Any]] | None = None
    """Their schemas; None if nobody noted any."""


def views_of(messages: Sequence[BaseMessage]) -> list[View]:
    """The views of a thread, in order; one if nothing was ever trimmed, and system prompt and tools stayed the same.

    >>> asked = [AIMessage("One.", id="a1"), AIMessage("Two.", id="a2", response_metadata={"context": {"start": "a2"}})]
    >>> [[message.text for message in view.messages] for view in views_of(asked)]
    [['One.'], ['Two.']]
    """
    groups: list[tuple[tuple[Mapping[str, Any], str, Any], list[int]]] = []
    system = next((m.response_metadata[SYSTEM_KEY] for m in messages if SYSTEM_KEY in m.response_metadata), "")
    tools = next((m.response_metadata[TOOLS_KEY] for m in messages if TOOLS_KEY in m.response_metadata), None)
    for place, message in enumerate(messages):
        system = message.response_metadata.get(SYSTEM_KEY, system)
        tools = message.response_metadata.get(TOOLS_KEY, tools)
        if isinstance(message, AIMessage):
            under = (start_of(message), system, tools)
            if not groups or groups[-1][0] != under:
                groups.append((under, []))
            groups[-1][1].append(place)
    if not groups:
        return [View(tuple(messages), frozenset())]
    ends = [*(places[-1] + 1 for _, places in groups[:-1]), len(messages)]
    return [
        View(_shown(messages[:end], start, system), frozenset(messages[place].id for place in places), tools)
        for ((start, system, tools), places), end in zip(groups, ends, strict=True)
    ]


def prompt_before(messages: Sequence[BaseMessage], answer: BaseMessage) -> tuple[BaseMessage, ...]:
    """What the model saw when it gave ``answer`` after ``messages``, the system prompt included."""
    return views_of([*messages, answer])[-1].messages[:-1]


def _shown(messages: Sequence[BaseMessage], start: Mapping[str, Any], system: str) -> tuple[BaseMessage, ...]:
    own = messages[0] if messages and isinstance(messages[0], SystemMessage) else None
    shown = [message for message in seen(messages, start) if message is not own]
    first = SystemMessage(system) if system else own
    return (first, *shown) if first else tuple(shown)
