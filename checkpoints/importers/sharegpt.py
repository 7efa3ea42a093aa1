"""ShareGPT: ``conversations`` with ``from`` and ``value``, and the further roles and columns of LLaMA-Factory.

Built from the public documentation at https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, no sample at
hand. Roles are human, gpt, system, function_call and observation, and their usual other names; ``tools`` is a list or
its JSON; ``chosen`` and ``rejected`` make two threads of one task, ``kto_tag`` a success or a failure. A gpt turn right
before a function_call, and several of those, are one answer. Tags of Hermes are read where there are some. Rows with
images, videos or audios are set aside.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .conversation import Conversation, name_thread
from .hermes_text import is_tagged, split_tools
from .outcome import outcome_of
from .preference import CHOSEN, REJECTED, prefer
from .record import BadRow, Record
from .sharegpt_turns import RESULT, ROLES, say_tagged_turn, say_turn, speaker_of
from .tool_text import tools_in

NAME = "sharegpt"
MEDIA = ("images", "image", "videos", "video", "audios", "audio")
ABOUT = {"category": "category", "subcategory": "subcategory", "source": "source", "task": "title"}
"""What a row says of itself, and what it is called here: ``task`` is a title that many rows share."""


def has_turns(row: dict[str, Any]) -> bool:
    """Does ``row`` hold turns of ShareGPT, whatever they say?"""
    turns = row.get("conversations")
    return (
        isinstance(turns, list) and bool(turns) and all(speaker_of(turn) in ROLES and "value" in turn for turn in turns)
    )


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` hold turns of ShareGPT without the tags of Hermes?"""
    return has_turns(row) and not is_tagged(row["conversations"])


def read(row: dict[str, Any], file: Path) -> Iterable[Record]:
    """The record of a row, or two for a preference.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    return records_of(row, NAME)


def records_of(row: dict[str, Any], format: str) -> list[Record]:
    """The records of a row, with tags or without; ``format`` is what their threads are named after.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    thread = name_thread(format, row, row.get("id"))
    if row.get("chosen") is None and row.get("rejected") is None:
        return [_record(Conversation(thread), format, row, [])]
    records = []
    for liking in (CHOSEN, REJECTED):
        turn = row.get(liking)
        turns = turn if isinstance(turn, list) else [turn]
        records.append(prefer(_record(Conversation(f"{thread}-{liking}"), format, row, turns), thread, liking))
    return records


def _record(chat: Conversation, format: str, row: dict[str, Any], last: list[Any]) -> Record:
    media = [key for key in MEDIA if row.get(key)]
    if media:
        raise BadRow(f"the row has {', '.join(media)}, which are no text")
    turns = row.get("conversations")
    if not isinstance(turns, list):
        raise BadRow("conversations are no list")
    prompt, tools = split_tools(chat.text(row.get("system")))
    if prompt:
        chat.system(prompt)
    told = [*turns, *last]
    tagged = is_tagged(told)
    for place, turn in enumerate(told):
        chat.place = place
        chat.is_context = bool(last) and place < len(turns)
        if tagged:
            tools += say_tagged_turn(chat, turn)
        else:
            after = speaker_of(told[place + 1]) if place + 1 < len(told) else ""
            say_turn(chat, turn, is_last_result=after not in RESULT)
    tag = row.get("kto_tag")
    return Record(
        thread=chat.thread,
        agent=format,
        messages=chat.messages(),
        model=row["model"] if isinstance(row.get("model"), str) else None,
        tools=tools or tools_in(row.get("tools")),
        metadata={name: row[key] for key, name in ABOUT.items() if isinstance(row.get(key), str)},
        **{"success": float(tag) if isinstance(tag, bool) else None, **outcome_of(row)},
    )
