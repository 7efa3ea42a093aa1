"""OpenAI's form for supervised fine-tuning: ``messages`` with roles and calls, and ``tools``.

As documented at https://platform.openai.com/docs/api-reference/fine-tuning/chat-input. An answer with ``weight`` 0 is
not trained, all others are. OpenAI refuses files with other keys, so where a record comes from stands beside it. That a
call failed has no place of its own here: the text of its result tells.
"""

import json
from collections.abc import Set
from typing import Any, Literal

from ..branches import Branch
from .api_names import names_fit
from .reading import Chat, Said, read_chat, refusal

Thinking = Literal["refuse", "drop", "keep"]
"""What is done with an answer's thinking, which OpenAI's form has no place for. ``keep`` writes
``reasoning_content``, as vLLM and the templates of Qwen and DeepSeek read it, and OpenAI refuses it."""


def openai_record(branch: Branch, *, nodes: Set[str] | None = None, thinking: Thinking = "refuse") -> dict[str, Any]:
    """The record of ``branch``; of ``nodes`` only the answers are trained, None is all of them.

    Raises:
        CannotWrite: the form has no place for what it holds.
    """
    return write_openai(read_chat(branch, nodes), branch, thinking)


def write_openai(chat: Chat, branch: Branch, thinking: Thinking = "refuse") -> dict[str, Any]:
    """The record of a conversation; message for message."""
    if thinking == "refuse" and any(one.thoughts for one in chat.said):
        raise refusal("thinking", branch)
    if not names_fit(chat):
        raise refusal("a tool's name that the API refuses", branch)
    messages = [_message(one, thinking) for one in chat.said]
    tools = [{"type": "function", "function": dict(function)} for function in chat.tools]
    return {"messages": messages, **({"tools": tools} if tools else {})}


def _message(said: Said, thinking: Thinking) -> dict[str, Any]:
    if said.role == "tool":
        return {"role": "tool", "tool_call_id": said.call, "content": said.text}
    message: dict[str, Any] = {"role": said.role, "content": said.text}
    if said.name:
        message["name"] = said.name
    if said.thoughts and thinking == "keep":
        message["reasoning_content"] = said.thinking
    if said.calls:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["args"], ensure_ascii=False)},
            }
            for call in said.calls
        ]
    if said.untrained:
        message["weight"] = 0
    return message
