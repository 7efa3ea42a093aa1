"""Messages as dicts with role and content, the form that most chat templates take."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, SystemMessage, ToolMessage


def as_chat(messages: Sequence[BaseMessage], open_call: str = "", close_call: str = "") -> list[dict[str, Any]]:
    """One dict a message, calls with their arguments as a dict, no thinking.

    A malformed call is put behind the text, between ``open_call`` and ``close_call``.
    """
    return [_as_dict(message, open_call, close_call) for message in messages]


def reasoning_of(message: BaseMessage) -> str:
    """The thinking that a message carries; empty if there is none."""
    if not isinstance(message, AIMessage):
        return ""
    kept = message.additional_kwargs.get("reasoning_content")
    if isinstance(kept, str):
        return kept
    if isinstance(message.content, str):
        return ""
    return "\n".join(
        str(block.get("reasoning", "")) for block in message.content_blocks if block["type"] == "reasoning"
    )


def _as_dict(message: BaseMessage, open_call: str, close_call: str) -> dict[str, Any]:
    if isinstance(message, SystemMessage):
        return {"role": "system", "content": message.text}
    if isinstance(message, ToolMessage):
        return {
            "role": "tool",
            "content": message.text,
            "name": message.name or "",
            "tool_call_id": message.tool_call_id,
        }
    if isinstance(message, ChatMessage) and message.role in ("system", "assistant"):
        return {"role": message.role, "content": message.text}
    if not isinstance(message, AIMessage):
        return {"role": "user", "content": message.text}
    broken = "".join(f"{open_call}{call['args'] or ''}{close_call}" for call in message.invalid_tool_calls)
    chat: dict[str, Any] = {"role": "assistant", "content": message.text + broken}
    if message.tool_calls:
        chat["tool_calls"] = [
            {
                "type": "function",
                "id": call["id"],
                "function": {"name": call["name"], "arguments": call["args"]},
            }
            for call in message.tool_calls
        ]
    return chat
