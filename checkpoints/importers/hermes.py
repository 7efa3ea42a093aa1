"""Hermes: ShareGPT turns whose texts hold tools, calls and results in tags.

Built from the public documentation at https://huggingface.co/datasets/NousResearch/hermes-function-calling-v1 and
https://github.com/NousResearch/Hermes-Function-Calling, no sample at hand. The tools come from the ``<tools>`` of the
system prompt, else from the row; the prompt keeps what it says beside them. ``task`` there is a title that many rows
share, no task with trials, so it comes into the metadata.
"""

from pathlib import Path
from typing import Any

from . import hermes_text, sharegpt
from .conversation import Conversation, name_thread
from .record import BadRow, Record
from .tool_text import tools_in

NAME = "hermes"


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` hold turns of ShareGPT with the tags of Hermes?"""
    return sharegpt.has_turns(row) and hermes_text.is_tagged(row["conversations"])


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of a row.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    turns = row.get("conversations")
    if not isinstance(turns, list):
        raise BadRow("conversations are no list")
    chat = Conversation(name_thread(NAME, row, row.get("id")))
    tools: tuple[dict[str, Any], ...] = ()
    for place, turn in enumerate(turns):
        chat.place = place
        speaker = sharegpt.speaker_of(turn)
        text = chat.text(turn.get("value")) if speaker else ""
        if speaker == "system":
            said, found = hermes_text.split_tools(text)
            tools += found
            if said:
                chat.system(said)
        elif speaker in sharegpt.AI:
            reasoning, rest = hermes_text.split_thought(text)
            said, calls = hermes_text.split_calls(rest)
            chat.ai(said, calls, reasoning=reasoning)
        elif speaker in sharegpt.RESULT:
            for name, result in hermes_text.split_results(text):
                chat.result(result, name=name)
        else:
            sharegpt.say(chat, turn)
    title = {"title": row["task"]} if isinstance(row.get("task"), str) else {}
    return Record(
        thread=chat.thread,
        agent=NAME,
        messages=chat.messages(),
        tools=tools or tools_in(row.get("tools")),
        metadata={**sharegpt.about(row), **title},
    )
