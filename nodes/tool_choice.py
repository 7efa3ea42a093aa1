"""Which tools the model must call, or may not: told to the model, and looked at when it has answered.

A choice that demands a call (``any``, a tool's name) holds for the first call of a run, so that the model can end;
``none`` holds for all of them. Local models and most servers can answer in no other way; what another model calls
against the choice becomes an invalid call, which goes back to it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, InvalidToolCall

from ..errors import UnknownTool

CHOICE_KEY = "tool_choice"
"""Key in ``AIMessage.response_metadata``: ``any``, ``none`` or the tool's name, where the model had no choice."""

NOTES_KEY = "notes"
"""Key in ``AIMessage.response_metadata``: what the answer did not keep to."""


def check_choice(choice: str | None, schemas: Sequence[Mapping[str, Any]]) -> None:
    """
    Raises:
        UnknownTool: ``choice`` is no mode, nor the name of a tool in ``schemas``.
    """
    names = [schema["function"]["name"] for schema in schemas if "function" in schema]
    if choice not in (None, "auto", "any", "required", "none", *names):
        raise UnknownTool(f"the tool choice {choice!r} is none of auto, any, none, {', '.join(names)}")


def choice_now(choice: str | None, messages: Sequence[BaseMessage]) -> str | None:
    """The choice for the next call, in LangChain's words; None leaves it to the model."""
    if choice is None or choice == "auto":
        return None
    if choice == "none":
        return "none"
    return ("any" if choice == "required" else choice) if not _has_called(messages) else None


def told_choice(choice: str, model: BaseChatModel) -> str | dict[str, str]:
    """``choice`` as ``bind_tools`` of ``model`` takes it: LangChain has no word of its own for ``none``."""
    return {"type": "none"} if choice == "none" and "anthropic" in model._llm_type else choice


def keep_choice(message: AIMessage, choice: str) -> AIMessage:
    """``message`` without the calls that ``choice`` rules out: they are invalid. A call that lacks is noted."""
    barred = [call for call in message.tool_calls if choice == "none" or choice not in ("any", call["name"])]
    if barred:
        why = "no tool may be called now" if choice == "none" else f"only {choice} may be called now"
        invalid = [
            InvalidToolCall(
                type="invalid_tool_call", name=call["name"], args=json.dumps(call["args"]), id=call["id"], error=why
            )
            for call in barred
        ]
        return message.model_copy(
            update={
                "tool_calls": [call for call in message.tool_calls if call not in barred],
                "invalid_tool_calls": [*message.invalid_tool_calls, *invalid],
            }
        )
    if choice == "none" or message.tool_calls or message.invalid_tool_calls:
        return message
    notes = [*message.response_metadata.get(NOTES_KEY, []), f"the model did not keep to the tool choice {choice!r}"]
    return message.model_copy(update={"response_metadata": {**message.response_metadata, NOTES_KEY: notes}})


def _has_called(messages: Sequence[BaseMessage]) -> bool:
    """Has the model proposed a call since the user last spoke?"""
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            return False
        if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
            return True
    return False
