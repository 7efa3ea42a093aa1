"""The turns of ShareGPT: who speaks in them, and what is said, with the tags of Hermes or without."""

import json
from typing import Any

from .calls import Asked, read_call, read_literal, read_spoken_call
from .conversation import Conversation, spell
from .hermes_text import BETWEEN, split_calls, split_results, split_thought, split_tools
from .record import BadRow

HUMAN = {"human", "user"}
AI = {"gpt", "assistant", "chatgpt", "bing", "bard", "model", "ai"}
CALL = {"function_call", "function-call", "tool_call"}
RESULT = {"observation", "tool", "tool_response", "function_response", "function-response", "function"}
ROLES = HUMAN | AI | CALL | RESULT | {"system"}


def speaker_of(turn: Any) -> str:
    """Who a turn is from; empty if nobody is told."""
    speaker = turn.get("from") if isinstance(turn, dict) else None
    return speaker if isinstance(speaker, str) else ""


def say_turn(chat: Conversation, turn: Any, *, is_last_result: bool = False) -> None:
    """Say one turn. Several results may be in the last one that follows the calls.

    Raises:
        BadRow: it comes from nobody known, or its value is no text.
    """
    speaker, text = _read(chat, turn)
    if speaker == "system":
        chat.system(text)
    elif speaker in HUMAN:
        chat.human(text)
    elif speaker in AI:
        reasoning, said = split_thought(text)
        chat.ai(said, _noted(turn), reasoning=reasoning, trained=turn.get("weight") != 0)
    elif speaker in CALL:
        reasoning, said = split_thought(text)
        chat.more("", _calls(said), reasoning=reasoning)
    else:
        for result in _results(chat, text) if is_last_result else text.split(BETWEEN):
            chat.result(result, name=turn.get("name"))


def say_tagged_turn(chat: Conversation, turn: Any) -> tuple[dict[str, Any], ...]:
    """Say one turn with the tags of Hermes; the tools that a system prompt held.

    Raises:
        BadRow: it comes from nobody known, its value is no text, or its tools cannot be read.
    """
    speaker, text = _read(chat, turn)
    if speaker == "system":
        said, tools = split_tools(text)
        if said:
            chat.system(said)
        return tools
    if speaker in AI:
        reasoning, rest = split_thought(text)
        said, calls = split_calls(rest)
        chat.ai(said, [*calls, *_noted(turn)], reasoning=reasoning, trained=turn.get("weight") != 0)
    elif speaker in RESULT:
        for name, result in split_results(text):
            chat.result(result, name=name)
    else:
        say_turn(chat, turn)
    return ()


def _read(chat: Conversation, turn: Any) -> tuple[str, str]:
    speaker = speaker_of(turn)
    if speaker not in ROLES:
        raise BadRow(f"message {chat.place} comes from nobody known: {speaker!r:.100}")
    return speaker, chat.text(turn.get("value"))


def _calls(text: str) -> list[Asked]:
    """The calls that a function_call turn spells: an object, or a list of them."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    return [read_spoken_call(json.dumps(one)) for one in said] if isinstance(said, list) else [read_spoken_call(text)]


def _noted(turn: dict[str, Any]) -> list[Asked]:
    """Calls that stand beside the value, as some write them."""
    noted = turn.get("tool_calls") or []
    if not isinstance(noted, list) or not all(isinstance(call, dict) for call in noted):
        raise BadRow("the tool_calls of a turn are no list of objects")
    calls = [call["function"] if isinstance(call.get("function"), dict) else call for call in noted]
    return [read_call(call.get("name"), call.get("arguments")) for call in calls]


def _results(chat: Conversation, text: str) -> list[str]:
    """The results in ``text``: one for each waiting call if it is a list with so many, or told apart by tags."""
    found = read_literal(text) if chat.waiting() > 1 else None
    if isinstance(found, list) and len(found) == chat.waiting():
        return [spell(one) for one in found]
    return text.split(BETWEEN)
