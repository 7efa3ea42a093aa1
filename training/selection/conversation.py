"""A thread's messages as turns: what the agent said, what its calls gave, and what people replied."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from ...checkpoints.importers.record import CANNED_KEY

Ending = Literal["done", "error", "not run", "answered", "unknown"]
"""The call gave a result · was run or read in vain · a person or a rule refused it, or it was rehearsed · a person
answered in the tool's place · the thread does not say."""

ERRORS = frozenset({"failed", "invalid", "unknown_tool", "timeout"})
"""Kinds of tool messages that tell the model of an error."""


@dataclass(frozen=True, slots=True)
class Call:
    """A proposed call and what became of it."""

    tool: str
    ending: Ending
    known: bool = True
    """False if the agent has no such tool, or the call could not be read."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the agent and everything up to the next one."""

    message: AIMessage
    calls: tuple[Call, ...]
    replies: tuple[HumanMessage, ...]
    first: bool
    """No person has said anything before it."""

    @property
    def is_canned(self) -> bool:
        """Did no model produce it, as a fixed greeting?"""
        return bool(self.message.response_metadata.get(CANNED_KEY))


def turns_of(messages: Sequence[BaseMessage]) -> list[Turn]:
    """The turns of a branch in order; what comes before the agent's first answer belongs to none."""
    turns: list[Turn] = []
    spoken: AIMessage | None = None
    results: list[ToolMessage] = []
    replies: list[HumanMessage] = []
    heard = was_heard = False
    for message in messages:
        if isinstance(message, AIMessage):
            if spoken is not None:
                turns.append(Turn(spoken, _calls(spoken, results), tuple(replies), not was_heard))
            spoken, results, replies, was_heard = message, [], [], heard
        elif isinstance(message, ToolMessage):
            results.append(message)
        elif isinstance(message, HumanMessage):
            replies.append(message)
            heard = True
    if spoken is not None:
        turns.append(Turn(spoken, _calls(spoken, results), tuple(replies), not was_heard))
    return turns


def _calls(message: AIMessage, results: Sequence[ToolMessage]) -> tuple[Call, ...]:
    """Calls with their results: by id where the ids tell them apart, else in order."""
    if not message.tool_calls and not message.invalid_tool_calls:
        return ()
    names = [call["name"] for call in message.tool_calls]
    ids = [call["id"] for call in message.tool_calls]
    by_id = {result.tool_call_id: result for result in results}
    if len(by_id) == len(results) and len(set(ids)) == len(ids) and by_id.keys() & set(ids):
        found = [by_id.get(id_ or "") for id_ in ids]
    else:
        found = [*results[: len(ids)], *[None] * (len(ids) - len(results))]
    calls = [_call(name, result) for name, result in zip(names, found, strict=True)]
    unread = (call.get("name") or "" for call in message.invalid_tool_calls)
    return (*calls, *(Call(name, "error", known=False) for name in unread))


def _call(name: str, result: ToolMessage | None) -> Call:
    if result is None:
        return Call(name, "unknown")
    kind = result.additional_kwargs.get("kind")
    if kind in ("rejected", "forbidden", "dry_run"):
        return Call(name, "not run")
    if kind == "responded":
        return Call(name, "answered")
    if kind in ERRORS or result.status == "error":
        return Call(name, "error", known=kind != "unknown_tool")
    return Call(name, "done")
