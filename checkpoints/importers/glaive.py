"""Glaive: a system prompt with functions in it, and a chat in one text with USER:, ASSISTANT: and FUNCTION RESPONSE:.

Built from the public documentation at https://huggingface.co/datasets/glaiveai/glaive-function-calling-v2, no sample at
hand; ``sample`` of the first version, all in one text, is read too. The functions leave the system prompt and become
tools. A line that begins with one of the three words begins a turn, whoever wrote it.
"""

import re
from pathlib import Path
from typing import Any

from .calls import Asked, read_spoken_call
from .conversation import Conversation, name_thread
from .record import BadRow, Record
from .tool_text import tools_in

NAME = "glaive"
CALL = "<functioncall>"
_TURN = re.compile(r"(?:^|\n|<\|endoftext\|>)[ \t]*(USER|ASSISTANT|FUNCTION RESPONSE):", re.MULTILINE)
_ACCESS = re.compile(r",? with access to the following functions\. Use them if required\s*-?\s*$")
_BRACKET = re.compile(r"^[\[{]", re.MULTILINE)
_LATER = re.compile(r"</functioncall>|<\|endoftext\|>")


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` hold a chat in one text with Glaive's words in front of its turns?"""
    text = row.get("chat", row.get("sample"))
    return isinstance(text, str) and _TURN.search(text) is not None


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of a row.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    chat = Conversation(name_thread(NAME, row, row.get("id")))
    prompt, text = row.get("system"), row.get("chat")
    if text is None and isinstance(row.get("sample"), str):
        begun = _TURN.search(row["sample"])
        cut = begun.start() if begun else len(row["sample"])
        prompt, text = row["sample"][:cut], row["sample"][cut:]
    if not isinstance(text, str):
        raise BadRow(f"the chat is no text: {text!r:.100}")
    said, tools = split_functions(chat.text(prompt))
    if said:
        chat.system(said)
    begins = list(_TURN.finditer(text))
    if (before := text[: begins[0].start()] if begins else text).strip():
        raise BadRow(f"nobody is named in front of {before.strip()!r:.100}")
    for place, turn in enumerate(begins):
        chat.place = place
        end = begins[place + 1].start() if place + 1 < len(begins) else len(text)
        _say(chat, turn.group(1), _LATER.sub("", text[turn.end() : end]).strip())
    return Record(thread=chat.thread, agent=NAME, messages=chat.messages(), tools=tools)


def _say(chat: Conversation, speaker: str, text: str) -> None:
    if speaker == "USER":
        chat.human(text)
    elif speaker == "FUNCTION RESPONSE":
        chat.result(text)
    else:
        said, *spoken = text.split(CALL)
        calls: list[Asked] = [read_spoken_call(call.strip()) for call in spoken]
        chat.ai(said.strip(), calls)


def split_functions(prompt: str) -> tuple[str, tuple[dict[str, Any], ...]]:
    """A system prompt without its functions, and the functions.

    >>> said, tools = split_functions('SYSTEM: You help. Use these -\\n{"name": "add"}\\n\\n{"name": "subtract"}\\n')
    >>> said, [tool["function"]["name"] for tool in tools]
    ('You help. Use these -', ['add', 'subtract'])

    Raises:
        BadRow: functions stand there that cannot be read.
    """
    prompt = prompt.strip().removeprefix("SYSTEM:").strip()
    unread: BadRow | None = None
    for begun in _BRACKET.finditer(prompt) if '"name"' in prompt else ():
        try:
            tools = tools_in(prompt[begun.start() :])
        except BadRow as error:
            unread = unread or error
        else:
            return _ACCESS.sub(".", prompt[: begun.start()].rstrip()), tools
    if unread is not None:
        raise unread
    return prompt, ()
