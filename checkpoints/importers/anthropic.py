"""Anthropic's Messages API: requests, alone or with their responses.

Built from the public documentation at https://docs.claude.com/en/api/messages, no sample at hand. A row is
``{"system": …, "messages": […], "tools": […]}``, with the response beside it (``{"request": …, "response": …}``, or
``content`` at the row itself), if it was logged: then what was said before is context, because it was logged with a
response of its own, and a response that was cut at its longest is not trained. Thinking is kept, its signature is not,
and redacted thinking is nothing that could be read. Images, documents and what Anthropic's own servers ran
(``server_tool_use``) set the row aside.
"""

from pathlib import Path
from typing import Any

from .calls import Asked, read_call
from .conversation import CUT_SHORT, Conversation, name_thread
from .outcome import outcome_of
from .record import BadRow, Record
from .tool_text import tools_in

NAME = "anthropic"
BLOCKS = ("tool_use", "tool_result", "thinking", "redacted_thinking", "server_tool_use")
UNREADABLE = ("redacted_thinking",)


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` hold what only Anthropic's messages have: their blocks, a system prompt apart, their tools?"""
    asked, answered = _request(row), _response(row)
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        return False
    if any(message.get("role") not in ("user", "assistant") or message.get("tool_calls") for message in messages):
        return False
    tools, model = asked.get("tools"), asked.get("model")
    return (
        bool(asked.get("system"))
        or (isinstance(model, str) and model.startswith("claude") and "max_tokens" in asked)
        or (isinstance(answered, dict) and answered.get("type") == "message")
        or (isinstance(tools, list) and any(isinstance(tool, dict) and "input_schema" in tool for tool in tools))
        or any(
            isinstance(block, dict) and block.get("type") in BLOCKS
            for message in messages
            if isinstance(message.get("content"), list)
            for block in message["content"]
        )
    )


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of one conversation.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    asked, answered = _request(row), _response(row)
    about = answered if isinstance(answered, dict) else {}
    chat = Conversation(name_thread(NAME, row, row.get("id") or about.get("id")))
    messages = asked.get("messages")
    if not isinstance(messages, list):
        raise BadRow("messages are no list")
    chat.is_context = bool(about)
    if asked.get("system"):
        chat.system(_text(chat, asked["system"], "\n"))
    for place, message in enumerate(messages):
        chat.place = place
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRow(f"message {place} has no role")
        if message["role"] == "user":
            hear(chat, message.get("content"))
        elif message["role"] == "assistant":
            say(chat, message.get("content"))
        elif message["role"] == "system":
            chat.system(_text(chat, message.get("content"), "\n"))
        else:
            raise BadRow(f"message {place} has the unknown role {message['role']!r:.100}")
    if about:
        chat.is_context = about.get("stop_reason") in CUT_SHORT
        chat.place += 1
        say(chat, about.get("content"))
    stopped = about.get("stop_reason")
    tools = asked.get("tools")
    return Record(
        thread=chat.thread,
        agent=NAME,
        messages=chat.messages(),
        model=next((place["model"] for place in (about, asked, row) if isinstance(place.get("model"), str)), None),
        tools=tools_in([tool for tool in tools if not _is_theirs(tool)] if isinstance(tools, list) else tools),
        metadata={"stop_reason": stopped} if isinstance(stopped, str) else {},
        **outcome_of(row),
    )


def hear(chat: Conversation, content: Any) -> None:
    """Say a message of the user: results of tools, then what the user says.

    Raises:
        BadRow: it holds what is no text.
    """
    if not isinstance(content, list):
        chat.human(content)
        return
    said: list[str] = []
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "tool_result" and not said:
            text = _text(chat, block.get("content"), "\n")
            chat.result(text, id_=block.get("tool_use_id"), failed=block.get("is_error") is True)
        elif kind == "tool_result":
            raise BadRow(f"message {chat.place} has a result behind a text; results come first")
        else:
            said.append(_text(chat, [block], ""))
    if said or not content:
        chat.human("\n".join(said))


def say(chat: Conversation, content: Any) -> None:
    """Say an answer; one right behind another is the rest of the same.

    Raises:
        BadRow: it holds what is neither text, nor thinking, nor a call.
    """
    thoughts: list[str] = []
    calls: list[Asked] = []
    said: list[Any] = []
    for block in content if isinstance(content, list) else [{"type": "text", "text": content}]:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "thinking":
            thoughts.append(chat.text(block.get("thinking")))
        elif kind == "tool_use":
            try:
                calls.append(read_call(block.get("name"), block.get("input"), block.get("id")))
            except BadRow as error:
                raise BadRow(f"message {chat.place}: {error}") from error
        elif kind not in UNREADABLE:
            said.append(block)
    chat.more(_text(chat, said, ""), calls, reasoning="\n\n".join(thoughts))


def _text(chat: Conversation, content: Any, glue: str) -> str:
    if not isinstance(content, list):
        return chat.text(content)
    texts = []
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind != "text":
            raise BadRow(f"message {chat.place} holds a block of type {kind!r:.100}, which is no text")
        texts.append(chat.text(block.get("text")))
    return glue.join(texts)


def _is_theirs(tool: Any) -> bool:
    """Is it a tool that Anthropic runs, or whose schema only Anthropic knows?"""
    return isinstance(tool, dict) and tool.get("type", "custom") not in ("custom", "function", None)


def _request(row: dict[str, Any]) -> dict[str, Any]:
    return next((row[key] for key in ("request", "body", "params") if isinstance(row.get(key), dict)), row)


def _response(row: dict[str, Any]) -> Any:
    answered = row.get("response")
    if isinstance(answered, dict):
        return answered
    return row if isinstance(row.get("content"), list) and "messages" in row else None
