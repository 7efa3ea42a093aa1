"""Rows that hold messages or text instead of tokens, in whatever columns: who says what, and what would be trained."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .markers import ROLES


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a row, or one of its texts."""

    role: str
    """``system``, ``user``, ``assistant``, ``tool``, or another word; ``text`` if it is none."""
    text: str
    calls: tuple[str, ...] = ()
    """Names of the tools it calls."""
    trained: bool | None = None
    """What the row itself says about it; None if nothing."""
    column: str = "messages"


class NoMessages(ValueError):
    """A column of messages that holds something else."""


def chat_columns(row: Mapping[str, Any]) -> dict[str, list[Said]]:
    """The messages in each column of a row that holds any: ``messages``, ``prompt``, ``completion``, ``chosen``…

    Raises:
        NoMessages: such a column holds no messages and no text.
    """
    found: dict[str, list[Said]] = {}
    for column in ("messages", "conversations", "prompt", "completion", "chosen", "rejected", "text"):
        value = row.get(column)
        if value is None or (column == "messages" and _are_ids(value)):
            continue
        if isinstance(value, str):
            found[column] = [Said("text", value, column=column)]
        elif isinstance(value, Sequence):
            found[column] = [said for message in value for said in _read(message, column)]
        else:
            raise NoMessages(f"{column} is neither a list of messages nor a text")
    return found


def _are_ids(value: Any) -> bool:
    """Whether these are the ids of messages, as in our rows of tokens."""
    return isinstance(value, Sequence) and bool(value) and all(isinstance(one, str) for one in value)


def _read(message: Any, column: str) -> list[Said]:
    """One message, or several where tool results stand in a user's message."""
    if not isinstance(message, Mapping):
        raise NoMessages(f"{column} holds a {type(message).__name__} where a message should be")
    role = message.get("role", message.get("from"))
    if not isinstance(role, str):
        raise NoMessages(f"{column} holds a message without a role")
    role = ROLES.get(role.lower(), role.lower())
    flags = (message.get(flag) for flag in ("weight", "train", "training", "loss"))
    flag = next((bool(flag) for flag in flags if flag is not None), None)
    content = message.get("content", message.get("value"))
    calls = [_call_name(call) for call in message.get("tool_calls") or []]
    if role == "function_call":
        return [Said("assistant", _text(content), ("?",), flag, column)]
    if not isinstance(content, list):
        return [Said(role, _text(content), tuple(calls), flag, column)]
    blocks = [block for block in content if isinstance(block, Mapping)]
    results = [block for block in blocks if block.get("type") == "tool_result"]
    calls += [str(block.get("name")) for block in blocks if block.get("type") == "tool_use"]
    text = "".join(str(block.get("text") or "") for block in blocks if block.get("type") != "tool_result")
    said = [Said("tool", _text(block.get("content")), (), flag, column) for block in results]
    return said + ([Said(role, text, tuple(calls), flag, column)] if text or calls or not results else [])


def _call_name(call: Any) -> str:
    function = call.get("function", call) if isinstance(call, Mapping) else {}
    return str(function.get("name", "?")) if isinstance(function, Mapping) else "?"


def _text(content: Any) -> str:
    if content is None:
        return ""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
