"""API-Bank dialogs (Li et al. 2023, github.com/AlibabaResearch/DAMO-ConvAI, api-bank): User, AI and API.

An API message is a call and its result in one. Where the AI speaks right before it, both are one answer. Dialogs are
the reference of a benchmark; nobody has judged them, so there is no label, and no schemas are in the files. A row is
``{"file", "messages"}``, or a message, and then the file is the dialog, as API-Bank keeps them.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from .calls import read_call
from .conversation import Conversation, name_thread, spell
from .files import parse, rows_of
from .record import BadRow, Record

NAME = "api-bank"
ROLES = ("User", "AI", "API")


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like a dialog of API-Bank, or like a message of one?"""
    messages = row.get("messages")
    return _is_message(row) or (
        isinstance(messages, list)
        and bool(messages)
        and all(isinstance(message, dict) and message.get("role") in ROLES for message in messages)
    )


def rows(file: Path) -> Iterator[tuple[int, Any]]:
    """The dialogs in ``file``; its lines together if they are messages.

    Raises:
        BadImport: it cannot be read.
    """
    said: list[Any] = []
    for line, raw in rows_of(file):
        try:
            row = parse(raw)
        except BadRow:
            row = None
        if isinstance(row, dict) and _is_message(row):
            said.append(row)
        else:
            yield line, raw
    if said:
        yield 1, {"file": f"{file.parent.name}/{file.name.removesuffix('.gz')}", "messages": said}


def _is_message(row: dict[str, Any]) -> bool:
    return row.get("role") in ROLES and ("text" in row or "api_name" in row)


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of one dialog.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    messages = row.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise BadRow("messages is no list of messages")
    if not messages:
        raise BadRow("nothing is said in it")
    chat = Conversation(_thread(row))
    for place, message in enumerate(messages):
        chat.place = place
        _say(chat, message, after_ai=place > 0 and messages[place - 1].get("role") == "AI")
    return Record(thread=chat.thread, agent="api-bank", task=chat.thread, messages=chat.messages())


def _thread(row: dict[str, Any]) -> str:
    """From the name of the dialog's file: level, and the APIs that are called in it."""
    if not isinstance(row.get("file"), str) or not row["file"]:
        return name_thread(NAME, row)
    path = PurePosixPath(row["file"])
    return "-".join(["api-bank", *([path.parent.name] if path.parent.name else []), path.stem])


def _say(chat: Conversation, message: dict[str, Any], *, after_ai: bool) -> None:
    role = message.get("role")
    if role == "User":
        chat.human(message.get("text"))
    elif role == "AI":
        chat.ai(message.get("text"))
    elif role == "API":
        call = read_call(message.get("api_name"), message.get("param_dict"))
        chat.more("", [call]) if after_ai else chat.ai("", [call])
        told = message.get("result")
        exception = told.get("exception") if isinstance(told, dict) else None
        output = told.get("output") if isinstance(told, dict) and "output" in told else told
        chat.result(spell(output if exception is None else exception), failed=exception is not None)
    else:
        raise BadRow(f"message {chat.place} has the unknown role {role!r}")
