"""The Hermes form of calls: ``<tool_call>{"name": …, "arguments": {…}}</tool_call>``.

Hermes models, Qwen2.5, Qwen3 and the seed policy write it. Thinking stands in front, in ``<think>`` tags.
"""

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from . import thinking
from .chat import as_chat
from .family import Family, Said, SpokenCall
from .json_text import JsonText, scan_json

OPEN, CLOSE = "<tool_call>", "</tool_call>"
MARKERS = (OPEN, CLOSE, thinking.OPEN, thinking.CLOSE)


def read(opening: str, text: str) -> Said:
    """Thinking, content and calls; one malformed call spoils only itself.

    >>> read("", 'Wait.<tool_call>{"name": "look", "arguments": {"id": 1}}</tool_call>').content
    'Wait.'
    """
    thought = thinking.read_thought(opening, text)
    calls: list[SpokenCall] = []
    content = ""
    at = thought.rest
    while (opened := text.find(OPEN, at)) >= 0:
        content += text[at:opened]
        call, at = _call(text, opened + len(OPEN))
        calls.append(call)
    return Said((content + text[at:]).strip(), thought.reasoning, tuple(calls))


def _call(text: str, start: int) -> tuple[SpokenCall, int]:
    """The call whose marker ends at ``start``, and where the text goes on."""
    found = scan_json(text, start)
    if not text.startswith("{", len(text) - len(text[start:].lstrip())):
        found = JsonText(start, "wrong")  # whatever it is, it is no object
    # Tags within the strings of a good call belong to it. Those of a bad one may be the tags that end it.
    low, tag = _next_tag(text, found.end if found.state == "whole" else start)
    raw = text[start:low].strip()
    name, args = _name(text, found, low), _args(text, found, low)
    if not tag:
        return SpokenCall(name, args, raw, closed=False), low
    if found.state == "begun":  # the text ends within a string that holds the tag
        return SpokenCall(name, args, raw, closed=False), len(text)
    error = _complaint(raw) if tag == CLOSE else f"the call is not closed with {CLOSE}"
    return SpokenCall(name, args, raw, error), low + len(tag if tag == CLOSE else "")


def _next_tag(text: str, start: int) -> tuple[int, str]:
    """Where the next tag stands, and which one; the end of the text if there is none."""
    found = [(at, tag) for tag in (OPEN, CLOSE) if (at := text.find(tag, start)) >= 0]
    return min(found, default=(len(text), ""))


def _name(text: str, found: JsonText, end: int) -> str | None:
    member = next((m for m in found.members if m.key == "name" and m.whole and m.high <= end), None)
    name = json.loads(text[member.low : member.high]) if member is not None else None
    return name if isinstance(name, str) and name else None


def _args(text: str, found: JsonText, end: int) -> str:
    """The arguments, as far as they stand in front of ``end``."""
    member = next((m for m in found.members if m.key == "arguments"), None)
    if member is not None:
        return text[member.low : min(member.high, end) if member.whole else end]
    return "{}" if found.state == "whole" else ""


def _complaint(raw: str) -> str:
    try:
        call = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    if not isinstance(call, dict):
        return "a call must be a JSON object with name and arguments"
    return ""


def write(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """For templates that know nothing of thinking."""
    return thinking.think_aloud(messages, as_chat(messages, OPEN, CLOSE))


def write_apart(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """For templates that do."""
    return thinking.think_apart(messages, as_chat(messages, OPEN, CLOSE))


HERMES = Family(name="hermes", markers=MARKERS, read=read, write=write)
QWEN3 = Family(name="qwen3", markers=MARKERS, read=read, write=write_apart)
