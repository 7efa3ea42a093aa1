"""Llama 3, 3.1 and 3.2: a call is bare JSON, ``{"name": "look", "parameters": {…}}``, with no markers around it.

The published templates allow one call a turn and no text beside it, date the prompt with today's date,
so that it differs tomorrow, and escape arguments twice if they are given as text. The template here
writes what they write for one call, and besides that text in front of calls, several calls with ``; ``
between them, and thinking in ``<think>`` tags; its date stands still. A call is read wherever an object
with a name and parameters stands in the text, also behind ``<|python_tag|>``, and with ``arguments`` for
``parameters``. A broken call has no end of its own: it reaches to the next call, or to the answer's end.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from .chat import as_chat, reasoning_of
from .family import Family, Said, SpokenCall
from .json_text import JsonText, scan_json
from .proof import tells_all
from .thinking import CLOSE, OPEN, read_thought

PYTHON = "<|python_tag|>"
TEMPLATE = Path(__file__).with_name("llama3.jinja").read_text(encoding="utf-8")
_BEGIN = re.compile(r"\{|<\|python_tag\|>")
_NEXT = re.compile(r'\{\s*"(?:type|name|parameters|arguments)"\s*:|<\|python_tag\|>')
_BETWEEN = re.compile(r"\s*[;,]?\s*(?=\{|<\|python_tag\|>|\Z)")
_ARGUMENTS = {"parameters", "arguments"}
_KEYS = {"type", "id", "name"} | _ARGUMENTS


def read(opening: str, text: str) -> Said:
    """Thinking, content and calls. An object that may yet become a call is an open call without a name.

    >>> [call.args for call in read("", 'Wait. {"name": "look", "parameters": {"id": 1}}').calls]
    ['{"id": 1}']
    """
    thought = read_thought(opening, text)
    content = ""
    calls: list[SpokenCall] = []
    at = thought.rest
    while begin := _BEGIN.search(text, at):
        content += text[at : begin.start()]
        call, at = _tagged(text, begin.end()) if begin[0] == PYTHON else _object(text, begin.start())
        if call is None:
            content += text[begin.start() : at]
        else:
            calls.append(call)
            between = _BETWEEN.match(text, at)
            at = between.end() if between else at
    return Said((content + text[at:]).strip(), thought.reasoning, tuple(calls))


def _object(text: str, start: int) -> tuple[SpokenCall | None, int]:
    """The call that the object at ``start`` is, if it is one, and where the text goes on."""
    found = scan_json(text, start)
    members = {member.key: member for member in found.members}
    named = members.get("name")
    arguments = members.get("parameters") or members.get("arguments")
    if not (named and arguments):
        if not members.keys() <= _KEYS or found.state == "whole" or (found.state == "wrong" and not named):
            return None, _end(text, start, found)
        arguments = None
    name = json.loads(text[named.low : named.high]) if named and named.whole else None
    name = name if arguments and isinstance(name, str) else None
    args = text[arguments.low : arguments.high].rstrip() if arguments else ""
    if found.state == "whole":
        return SpokenCall(name, args, text[start : found.end]), found.end
    if found.state == "begun":
        return SpokenCall(name, args, text[start:].rstrip(), closed=False), len(text)
    following = _NEXT.search(text, found.end)
    end = following.start() if following else len(text)
    error = f"not JSON at {text[found.end : found.end + 20]!r}"
    return SpokenCall(name, args, text[start:end].rstrip(" \t\n;,"), error), end


def _end(text: str, start: int, found: JsonText) -> int:
    """Where an object that is no call ends. If it breaks: where its beginning can first be seen to be broken."""
    if found.state != "wrong":
        return found.end
    lengths = range(found.end, len(text))
    at = bisect_left(lengths, True, key=lambda length: scan_json(text[: length + 1], start).state == "wrong")
    return max(start + 1, found.end + at)


def _tagged(text: str, start: int) -> tuple[SpokenCall, int]:
    """The call behind a tag, and where the text goes on. Program code is a broken call up to the answer's end."""
    begin = len(text) - len(text[start:].lstrip())
    call, end = _object(text, begin) if text.startswith("{", begin) else (None, 0)
    if call is not None:
        return call, end
    raw = text[start:].strip()
    return SpokenCall(None, "", raw, "program code, not a JSON call" if raw else "", closed=bool(raw)), len(text)


def write(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Arguments as a dict, thinking in front of the text, broken calls below it."""
    chat = as_chat(messages)
    for message, told in zip(messages, chat, strict=True):
        if not isinstance(message, AIMessage):
            continue
        reasoning = reasoning_of(message)
        raws = [call["args"] or "" for call in message.invalid_tool_calls]
        told["content"] = "\n".join(
            [f"{OPEN}\n{reasoning}\n{CLOSE}\n"] * bool(reasoning)
            + [message.text] * bool(message.text)
            + [raw if raw.startswith("{") else PYTHON + raw for raw in raws]
        )
    return chat


LLAMA3 = Family(
    name="llama3",
    markers=(PYTHON, OPEN, CLOSE),
    read=read,
    write=write,
    template=TEMPLATE,
    adapt=lambda tokenizer: None if tells_all(tokenizer, write) else TEMPLATE,
)
