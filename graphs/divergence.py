"""Where two runs of the same thread part: the first turn that says or calls something else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first turn that differs, counted from 1 after the checkpoint that was replayed from."""

    turn: int
    recorded: dict[str, Any] | None
    """``text`` and ``calls`` of the recorded turn; None if the recorded run had ended."""
    replayed: dict[str, Any] | None
    """The same of the replayed turn; None if the replayed run had ended."""


def first_divergence(
    recorded: Sequence[BaseMessage],
    replayed: Sequence[BaseMessage],
    known: Sequence[BaseMessage],
    *,
    finished: bool = True,
) -> Divergence | None:
    """The first turn of ``replayed`` that is not that of ``recorded``; None if there is none.

    ``known`` are the messages that both began with. Turns that the recorded run has and an unfinished replay has not
    reached are no divergence.
    """
    begun = {message.id for message in known}
    before = [turn_of(message) for message in recorded if isinstance(message, AIMessage) and message.id not in begun]
    after = [turn_of(message) for message in replayed if isinstance(message, AIMessage) and message.id not in begun]
    for place in range(max(len(before), len(after))):
        was = before[place] if place < len(before) else None
        now = after[place] if place < len(after) else None
        if was != now and (now is not None or finished):
            return Divergence(place + 1, was, now)
    return None


def turn_of(message: AIMessage) -> dict[str, Any]:
    """What a turn says and does, without ids."""
    calls = [{"name": call["name"], "args": call["args"]} for call in message.tool_calls]
    calls += [{"name": call.get("name"), "args": call.get("args")} for call in message.invalid_tool_calls]
    return {"text": message.text, "calls": calls}
