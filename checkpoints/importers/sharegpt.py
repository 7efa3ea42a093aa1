"""ShareGPT: ``conversations`` with ``from`` and ``value``, and the further roles and columns of LLaMA-Factory.

Built from the public documentation at https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, no sample at
hand. Roles are human, gpt, system, function_call and observation, and their usual other names; ``tools`` is a list or
its JSON; ``chosen`` and ``rejected`` make two threads of one task, ``kto_tag`` a success or a failure. A gpt turn right
before a function_call, and several of those, are one answer. Rows with images, videos or audios are set aside.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import hermes_text
from .calls import Asked, read_call, read_literal, read_spoken_call
from .conversation import Conversation, name_thread, spell
from .outcome import outcome_of
from .preference import CHOSEN, REJECTED, prefer
from .record import BadRow, Record
from .tool_text import tools_in

NAME = "sharegpt"
HUMAN = {"human", "user"}
AI = {"gpt", "assistant", "chatgpt", "bing", "bard", "model", "ai"}
CALL = {"function_call", "function-call", "tool_call"}
RESULT = {"observation", "tool", "tool_response", "function_response", "function-response", "function"}
ROLES = HUMAN | AI | CALL | RESULT | {"system"}
MEDIA = ("images", "image", "videos", "video", "audios", "audio")
ABOUT = ("category", "subcategory", "source", "language")


def has_turns(row: dict[str, Any]) -> bool:
    """Does ``row`` hold turns of ShareGPT, whatever they say?"""
    turns = row.get("conversations")
    return (
        isinstance(turns, list) and bool(turns) and all(speaker_of(turn) in ROLES and "value" in turn for turn in turns)
    )


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` hold turns of ShareGPT without the tags of Hermes?"""
    return has_turns(row) and not hermes_text.is_tagged(row["conversations"])


def read(row: dict[str, Any], file: Path) -> Iterable[Record]:
    """The record of a row, or two for a preference.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    thread = name_thread(NAME, row, row.get("id"))
    if row.get("chosen") is None and row.get("rejected") is None:
        return [_record(Conversation(thread), row, [])]
    records = []
    for liking in (CHOSEN, REJECTED):
        turn = row.get(liking)
        turns = turn if isinstance(turn, list) else [turn]
        records.append(prefer(_record(Conversation(f"{thread}-{liking}"), row, turns), thread, liking))
    return records


def _record(chat: Conversation, row: dict[str, Any], last: list[Any]) -> Record:
    media = [key for key in MEDIA if row.get(key)]
    if media:
        raise BadRow(f"the row has {', '.join(media)}, which are no text")
    turns = row.get("conversations")
    if not isinstance(turns, list):
        raise BadRow("conversations are no list")
    if row.get("system"):
        chat.system(row["system"])
    told = [*turns, *last]
    for place, turn in enumerate(told):
        chat.place = place
        chat.is_context = bool(last) and place < len(turns)
        if speaker_of(turn) in RESULT and speaker_of(told[place + 1] if place + 1 < len(told) else None) not in RESULT:
            for one in _results(chat, turn):
                say(chat, one)
        else:
            say(chat, turn)
    tag = row.get("kto_tag")
    return Record(
        thread=chat.thread,
        agent=NAME,
        messages=chat.messages(),
        model=row["model"] if isinstance(row.get("model"), str) else None,
        tools=tools_in(row.get("tools")),
        metadata=about(row),
        **{"success": float(tag) if isinstance(tag, bool) else None, **outcome_of(row)},
    )


def say(chat: Conversation, turn: Any) -> None:
    """Say one turn.

    Raises:
        BadRow: it comes from nobody known, or its value is no text.
    """
    speaker = speaker_of(turn)
    if speaker not in ROLES:
        raise BadRow(f"message {chat.place} comes from nobody known: {speaker!r:.100}")
    value = turn.get("value")
    if speaker == "system":
        chat.system(value)
    elif speaker in HUMAN:
        chat.human(value)
    elif speaker in AI:
        reasoning, text = hermes_text.split_thought(chat.text(value))
        chat.ai(text, _noted(turn), reasoning=reasoning, trained=turn.get("weight") != 0)
    elif speaker in CALL:
        reasoning, text = hermes_text.split_thought(chat.text(value))
        chat.more("", read_calls(text), reasoning=reasoning)
    else:
        for result in chat.text(value).split(hermes_text.BETWEEN):
            chat.result(result, name=turn.get("name"))


def read_calls(text: str) -> list[Asked]:
    """The calls that a function_call turn spells: an object, or a list of them."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    return [read_spoken_call(json.dumps(one)) for one in said] if isinstance(said, list) else [read_spoken_call(text)]


def about(row: dict[str, Any]) -> dict[str, Any]:
    """What a row says of itself."""
    return {key: row[key] for key in ABOUT if isinstance(row.get(key), str)}


def _noted(turn: dict[str, Any]) -> list[Asked]:
    """Calls that stand beside the value, as some write them."""
    noted = turn.get("tool_calls") or []
    if not isinstance(noted, list) or not all(isinstance(call, dict) for call in noted):
        raise BadRow("the tool_calls of a turn are no list of objects")
    calls = [call["function"] if isinstance(call.get("function"), dict) else call for call in noted]
    return [read_call(call.get("name"), call.get("arguments")) for call in calls]


def _results(chat: Conversation, turn: dict[str, Any]) -> list[dict[str, Any]]:
    """``turn``, or a turn for each waiting call if the value is a list with so many results."""
    if chat.waiting() < 2 or not isinstance(turn.get("value"), str):
        return [turn]
    found = read_literal(turn["value"])
    if not isinstance(found, list) or len(found) != chat.waiting():
        return [turn]
    return [{**turn, "value": spell(one)} for one in found]


def speaker_of(turn: Any) -> str:
    """Who a turn is from; empty if nobody is told."""
    speaker = turn.get("from") if isinstance(turn, dict) else None
    return speaker if isinstance(speaker, str) else ""
