"""FunctionChat-Bench dialogs (Lee et al. 2024, github.com/kakao/FunctionChat-Bench), in Korean.

Every turn holds all that was said before it and the answer that is right there. A dialog becomes one thread; where a
later turn tells the past in other words than the right answer did, the thread has a path of its own from there on.
Which kind of answer was asked for is noted as ``type_of_output``: a call, the completion of one, a question about
what is missing (slot), or a refusal (relevance). The answers are people's, and nobody has judged them: no label.
"""

import json
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from .calls import read_call
from .conversation import Conversation
from .notes import note
from .record import BadRow, Record, read_id
from .schemas import read_tools

NAME = "functionchat"
TYPE_KEY = "type_of_output"


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like a dialog of FunctionChat-Bench?"""
    return "dialog_num" in row and "turns" in row


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of one dialog.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    missing = [key for key in ("dialog_num", "tools", "turns") if key not in row]
    if missing:
        raise BadRow(f"no {', '.join(missing)}")
    if not isinstance(row["turns"], list) or not row["turns"]:
        raise BadRow("turns is no list of turns")
    thread = f"functionchat-{read_id(row['dialog_num'], 'dialog_num')}"
    tree = _Tree(thread)
    for number, turn in enumerate(row["turns"]):
        if not isinstance(turn, dict) or not isinstance(turn.get("query"), list):
            raise BadRow(f"turn {number} has no list of messages")
        tree.grow([*turn["query"], turn.get("ground_truth")], turn.get("type_of_output"), number)
    return Record(
        thread=thread,
        agent="functionchat",
        task=thread,
        messages=tuple(tree.messages),
        tools=read_tools(row["tools"]),
        parents=tuple(tree.parents),
    )


class _Tree:
    """Messages with what was said before each of them; paths that begin alike share their beginning."""

    def __init__(self, thread: str) -> None:
        self.messages: list[BaseMessage] = []
        self.parents: list[int] = []
        self._thread = thread
        self._places: dict[tuple[int, str], int] = {}

    def grow(self, said: list[Any], type_of_output: Any, turn: int) -> None:
        """Add the path of ``said``, whose last message is the answer to a turn."""
        chat = Conversation(f"{self._thread}:{turn}")
        for place, message in enumerate(said):
            chat.place = place
            say(chat, message)
        at = -1
        ids: dict[str | None, str | None] = {}  # of calls, to those in the tree
        for place, message in enumerate(chat.messages()):
            key = (at, json.dumps(_plain(said[place]), sort_keys=True))
            if key not in self._places:
                if at == -1 and self.messages:
                    raise BadRow(f"turn {turn} begins with another message than the first turn")
                self._places[key] = len(self.messages)
                if isinstance(message, ToolMessage):
                    message = message.model_copy(update={"tool_call_id": ids[message.tool_call_id]})
                self.messages.append(message)
                self.parents.append(at)
            at = self._places[key]
            ids |= {new["id"]: kept["id"] for new, kept in zip(_calls(message), _calls(self.messages[at]), strict=True)}
        answer = self.messages[at]
        if isinstance(answer, AIMessage) and isinstance(type_of_output, str):
            self.messages[at] = note(answer, {TYPE_KEY: type_of_output})


def _calls(message: BaseMessage) -> list[Any]:
    return [*message.tool_calls, *message.invalid_tool_calls] if isinstance(message, AIMessage) else []


def _plain(message: Any) -> dict[str, Any]:
    return {key: value for key, value in message.items() if value is not None}


def say(chat: Conversation, message: Any) -> None:
    """Add one message of a turn to ``chat``.

    Raises:
        BadRow: it is not what a message can be.
    """
    if not isinstance(message, dict):
        raise BadRow(f"message {chat.place} is no object")
    role, content = message.get("role"), message.get("content")
    if role == "system":
        chat.system(content)
    elif role == "user":
        chat.human(content)
    elif role == "assistant":
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            raise BadRow(f"the tool_calls of message {chat.place} are no list of objects")
        functions = [call.get("function") or {} for call in calls]
        if not all(isinstance(function, dict) for function in functions):
            raise BadRow(f"a call of message {chat.place} names no function")
        chat.ai(content, [read_call(function.get("name"), function.get("arguments")) for function in functions])
    elif role == "tool":
        chat.result(content, name=message.get("name"))
    else:
        raise BadRow(f"message {chat.place} has the unknown role {role!r}")
