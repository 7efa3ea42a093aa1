"""What the model sees of a thread: the thread keeps every message, the model gets those that its context holds.

observe decides and writes it down in the state; think and whoever renders the thread again read it from there. An
answer given under a trimmed context says so, because the state of later on says something else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from typing_extensions import TypedDict

CONTEXT_KEY = "context"
"""Key in ``AIMessage.response_metadata``: ``start`` and ``pinned`` of the context that the answer was given under."""


class Context(TypedDict, total=False):
    """The view of a thread from here on; empty: all of it, and nothing besides."""

    start: str
    """The id of the first message that the model sees; what stands before it was trimmed."""
    pinned: list[str]
    """The ids of messages before ``start`` that the model sees all the same: what the user asked in this turn."""
    memory: str
    """What was remembered from other threads when this run began, for the system prompt."""
    summary: str
    """What was trimmed, in the words of a model, for the system prompt."""
    unsummarised: str
    """Why what was trimmed last is not in the summary; missing if it is."""


def system_of(system: str, context: Mapping[str, Any]) -> str:
    """``system`` with what is remembered and what was summarised, as the model gets it."""
    parts = [system, context.get("memory", ""), context.get("summary", "")]
    return "\n\n".join(part for part in parts if part)


def seen(messages: Sequence[BaseMessage], context: Mapping[str, Any]) -> Sequence[BaseMessage]:
    """The messages that the model sees; all of them if ``context`` names no start, or one that is gone."""
    start = context.get("start")
    place = next((n for n, message in enumerate(messages) if message.id == start), 0) if start else 0
    pinned = context.get("pinned", ()) if place else ()
    return [*(one for one in messages[:place] if one.id in pinned), *messages[place:]] if pinned else messages[place:]


def note_start(answer: AIMessage, context: Mapping[str, Any] | None) -> AIMessage:
    """``answer``, with a note of where its context began; the same message if that was the thread's beginning."""
    if not context or not context.get("start"):
        return answer
    note = {key: context[key] for key in ("start", "pinned") if context.get(key)}
    return answer.model_copy(update={"response_metadata": {**answer.response_metadata, CONTEXT_KEY: note}})


def start_of(answer: BaseMessage) -> Mapping[str, Any]:
    """The context that ``answer`` was given under, as ``seen`` takes it; empty if it had seen all.

    >>> start_of(note_start(AIMessage("Hi."), {"start": "m7", "memory": "likes tea"}))
    {'start': 'm7'}
    """
    return answer.response_metadata.get(CONTEXT_KEY) or {}
