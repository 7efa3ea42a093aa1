"""What a family of models is: how it writes text, thinking and calls, and how its history is told to it.

A family reads and writes text. Which tokens were sampled is nobody's business here.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from langchain_core.messages import BaseMessage, InvalidToolCall, ToolCall


@dataclass(frozen=True, slots=True)
class SpokenCall:
    """One call as far as it was written."""

    name: str | None
    """None while it cannot be read."""
    args: str
    """JSON text of the arguments, or its beginning while ``closed`` is False."""
    raw: str
    """What stands between the call's markers."""
    error: str = ""
    """Why it cannot be read; empty while nothing is wrong."""
    closed: bool = True
    """False if the text ends inside the call."""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer taken apart."""

    content: str
    """Text outside thinking and calls, stripped."""
    reasoning: str = ""
    calls: tuple[SpokenCall, ...] = ()
    """In the order in which they were written, malformed ones among them."""


@dataclass(frozen=True)
class Family:
    """How one family of models speaks."""

    name: str
    markers: tuple[str, ...]
    """Texts that open or close something. Special tokens among them stay in the text that ``read`` gets; others go."""
    read: Callable[[str, str], Said]
    """From the prompt's opening of the answer (such as ``<|im_start|>assistant\\n<think>\\n``) and the text sampled
    after it, without its end-of-turn token. Also reads an answer that is still being written: what it has found
    only grows as the text grows, provided that the text does not end within a marker."""
    write: Callable[[Sequence[BaseMessage]], list[dict[str, Any]]]
    """The messages in the form that the chat template takes; malformed calls as the text that was sampled."""
    template: str | None = None
    """The chat template to use in place of the tokenizer's own; None keeps the tokenizer's."""
    adapt: Callable[[Any], str | None] | None = None
    """From a tokenizer: the template to use in place of its own, or None to keep that; ``family_of`` asks."""
    stop: tuple[str, ...] = ()
    """Texts that end a turn as a token would; they are sampled, and nothing behind them is."""
    takes_tools: bool = True
    """False if the prompt has no place for tools."""
    read_typed: Callable[[str, str, Sequence[dict[str, Any]]], Said] | None = None
    """``read`` with the tools at hand, for families that write values without their types; see ``knowing``."""

    def knowing(self, tools: Sequence[dict[str, Any]] | None) -> "Family":
        """The same family, reading answers with the types that ``tools`` give their parameters."""
        read_typed = self.read_typed
        if read_typed is None or not tools:
            return self
        return replace(self, read=lambda opening, text: read_typed(opening, text, tools))


def read_calls(said: Said, new_id: Callable[[int], str]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """The calls of a finished answer; one malformed call spoils only itself. ``new_id`` gets the call's place."""
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for place, call in enumerate(said.calls):
        error, args = call.error, {}
        if not error and not call.closed:
            error = "the call is not closed"
        if not error and not call.name:
            error = "the call has no name"
        if not error:
            error, args = _arguments(call.args)
        if error or not call.name:
            broken.append(
                InvalidToolCall(type="invalid_tool_call", name=call.name, args=call.raw, id=new_id(place), error=error)
            )
        else:
            calls.append(ToolCall(name=call.name, args=args, id=new_id(place)))
    return calls, broken


def _arguments(text: str) -> tuple[str, dict[str, Any]]:
    """What is wrong with the arguments, or nothing, and their values."""
    try:
        args = json.loads(text)
        json.dumps(args, ensure_ascii=False, allow_nan=False).encode()  # NaN and half characters cannot be stored
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}", {}
    if not isinstance(args, dict):
        return "the arguments must be a JSON object", {}
    return "", args


def fresh_id(place: int = 0) -> str:
    """An id for a call."""
    return f"call_{uuid4().hex[:16]}"
