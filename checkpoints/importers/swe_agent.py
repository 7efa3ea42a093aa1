"""SWE-agent trajectories (Yang et al. 2024, github.com/SWE-agent/SWE-agent): one ``.traj`` document a run.

Three forms of the same task are known: calls of functions, commands in a fence of backticks, and commands in XML tags.
In the latter two the model speaks plain text, which its system prompt asked for, and the shell answers as the user;
this stays so, because any other form would be other tokens. What was executed is noted there as ``action``.
Demonstrations that were put in front were not said by the model in this run, and are not trained. No outcome is in
these files.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .calls import Asked, read_call
from .conversation import Conversation
from .notes import note
from .record import BadRow, Record, digest_of, short_name

NAME = "swe-agent"
ACTION_KEY = "action"
"""In ``response_metadata`` of an answer in plain text: the command that was executed."""
OBSERVATION = {"kind": "observation"}
"""``additional_kwargs`` of what a shell says as the user."""
FORMS = {"xml_thought_action": "xml", "thought_action": "text"}


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like a trajectory of SWE-agent?"""
    history = row.get("history")
    return isinstance(history, list) and any(
        isinstance(message, dict) and ("message_type" in message or ("agent" in message and "content" in message))
        for message in history
    )


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of one run.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    history = row.get("history")
    if not isinstance(history, list) or not all(isinstance(message, dict) for message in history):
        raise BadRow("history is no list of messages")
    config = _config(row.get("replay_config"))
    task = _text(config, "problem_statement", "id") or _text(config, "agent", "name") or file.name.partition(".")[0]
    model = _text(config, "agent", "model", "name")
    form = _form(history, _text(config, "agent", "tools", "parse_function", "type"))
    try:
        run = digest_of(history)[:6]
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRow(f"history is no JSON: {error}") from error
    chat = Conversation("-".join(["swe", task, form, *([short_name(model)] if model else []), run]))
    notes: dict[str, dict[str, Any]] = {}
    for place, message in enumerate(history):
        chat.place = place
        _say(chat, message, notes, is_text=form != "calls")
    exit_status = _text(row.get("info"), "exit_status")
    return Record(
        thread=chat.thread,
        agent="swe-agent",
        task=f"swe-{task}",
        model=model,
        messages=tuple(note(message, notes.get(str(message.id), {})) for message in chat.messages()),
        metadata={"form": form} | ({"termination_reason": exit_status} if exit_status else {}),
    )


def _config(held: Any) -> Any:
    """The settings of the run, written as an object or as its JSON."""
    if not isinstance(held, str):
        return held
    try:
        return json.loads(held)
    except (ValueError, RecursionError):
        return None


def _form(history: list[dict[str, Any]], parser: str | None) -> str:
    if any(message.get("tool_calls") for message in history):
        return "calls"
    if parser is None and any("<command>" in str(message.get("content")) for message in history[1:]):
        return "xml"
    return FORMS.get(parser or "", "text")


def _say(chat: Conversation, message: dict[str, Any], notes: dict[str, dict[str, Any]], *, is_text: bool) -> None:
    role, content = message.get("role"), _spoken(message.get("content"))
    if role == "system":
        chat.system(content)
    elif role == "user":
        chat.human(content)
        if is_text and chat.place > 1 and message.get("message_type", "observation") == "observation":
            notes[chat.last_id()] = OBSERVATION
    elif role == "assistant":
        asked = message.get("tool_calls") or []
        if not isinstance(asked, list):
            raise BadRow(f"the tool_calls of message {chat.place} are no list")
        thought = "".join(
            str(block.get("thinking") or "")
            for block in message.get("thinking_blocks") or []
            if isinstance(block, Mapping)
        )
        chat.ai(content, [_call(call) for call in asked], reasoning=thought, trained=not message.get("is_demo"))
        if is_text and isinstance(message.get("action"), str):
            notes[chat.last_id()] = {ACTION_KEY: message["action"].rstrip("\n")}
    elif role == "tool":
        ids = message.get("tool_call_ids")
        chat.result(content, id_=ids[0] if isinstance(ids, list) and ids else None, failed=False)
    else:
        raise BadRow(f"message {chat.place} has the unknown role {role!r}")


def _spoken(content: Any) -> Any:
    """The text of a content that may be a list of blocks."""
    if not isinstance(content, list):
        return content
    return "".join(
        block["text"] if isinstance(block, dict) and isinstance(block.get("text"), str) else "" for block in content
    )


def _call(call: Any) -> Asked:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise BadRow(f"a call cannot be read: {call!r:.100}")
    return read_call(function.get("name"), function.get("arguments"), call.get("id"))


def _text(value: Any, *path: str) -> str | None:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and value else None
