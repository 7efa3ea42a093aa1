"""Anthropic's Messages API: ``system``, ``messages`` of blocks whose roles alternate, and ``tools``.

As documented at https://docs.claude.com/en/api/messages. Every content is a list of blocks. Results and what a person
says next share one message of the user, as the API asks for, and so does what a person says twice. A thought keeps the
signature with which it came; one of another model has none and is written with an empty one, which is data to train
on but nothing that the API takes back. There is no place to say that an answer is not to be trained.
"""

from collections.abc import Mapping, Set
from typing import Any

from ...errors import CannotWrite
from ..branches import Branch
from .api_names import names_fit
from .reading import UNASKED, Chat, Said, read_chat, refusal


def anthropic_record(branch: Branch, *, nodes: Set[str] | None = None) -> dict[str, Any]:
    """The record of ``branch``, all of whose answers are to be trained, by ``nodes`` if they are given.

    Raises:
        CannotWrite: the form has no place for what it holds.
    """
    return write_anthropic(read_chat(branch, nodes), branch)


def write_anthropic(chat: Chat, branch: Branch) -> dict[str, Any]:
    """The record of a conversation."""
    if not names_fit(chat):
        raise refusal("a tool's name that the API refuses", branch)
    said = list(chat.said)
    record: dict[str, Any] = {}
    if said[0].role == "system":
        record["system"] = said.pop(0).text
    try:
        record["messages"] = _messages(said)
    except CannotWrite as error:
        raise refusal(error.reason, branch) from error
    if chat.tools:
        record["tools"] = [_tool(function) for function in chat.tools]
    return record


def _messages(said: list[Said]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for one in said:
        if one.role == "system":
            raise CannotWrite("a second system message")
        if one.untrained:
            raise CannotWrite(one.untrained)
        role = "assistant" if one.role == "assistant" else "user"
        if role == "assistant" and not messages:
            raise CannotWrite(UNASKED)
        if messages and messages[-1]["role"] == role == "assistant":
            raise CannotWrite("two answers in a row")
        if not messages or messages[-1]["role"] != role:
            messages.append({"role": role, "content": []})
        messages[-1]["content"] += _blocks(one)
    return messages


def _blocks(said: Said) -> list[dict[str, Any]]:
    if said.role == "tool":
        failed = {"is_error": True} if said.failed else {}
        return [{"type": "tool_result", "tool_use_id": said.call, "content": said.text, **failed}]
    if said.name:
        raise CannotWrite("the name of a person who speaks")
    if not said.text and not said.calls:
        raise CannotWrite("a message without text")
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": thought, "signature": signature} for thought, signature in said.thoughts
    ]
    if said.text:
        blocks.append({"type": "text", "text": said.text})
    return blocks + [
        {"type": "tool_use", "id": call["id"], "name": call["name"], "input": call["args"]} for call in said.calls
    ]


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: function[key] for key in ("name", "description", "strict") if key in function}
    return {**told, "input_schema": function.get("parameters") or {"type": "object", "properties": {}}}
