"""DeepSeek-V3 and R1: calls stand between tokens of their own, arguments in a ``json`` fence; V3.1 has no fence.

The published template shows no tools, opens only the first turn with calls and the first turn with results of
a conversation properly, and fails on arguments that are not text; TRL's training form escapes such text again.
Ours shows tools in the words of V3.1's documentation and opens every turn. It keeps the published prompt,
``<think>`` included where there is one: then thinking is told until the next question, and dropped after it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage

from .chat import as_chat, reasoning_of
from .choose import template_text
from .family import Family, Said, SpokenCall
from .json_text import scan_json
from .proof import tells_all
from .thinking import CLOSE, OPEN, read_thought

CALLS, CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, CALL_END, SEPARATOR = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
_TAG = re.compile("|".join((CALLS, CALLS_END, CALL, CALL_END)))
_HEADER = re.compile(
    rf"\s*(?P<kind>.*?)\s*{SEPARATOR}\s*(?:(?=\{{)|(?P<name>[^\n]*?)\s*\n\s*(?:```(?:json)?\s|(?=\{{)))", re.DOTALL
)
_BODY = Path(__file__).with_name("deepseekv3.jinja").read_text(encoding="utf-8")


def read(opening: str, text: str) -> Said:
    """Thinking, content and calls. Any of the tokens ends a call, even within a string.

    >>> read("", "<｜tool▁call▁begin｜>look<｜tool▁sep｜>{}<｜tool▁call▁end｜>").calls[0].name
    'look'
    """
    thought = read_thought(opening, text)
    content = ""
    calls: list[SpokenCall] = []
    tag, at = "", thought.rest
    while at < len(text) or tag == CALL:
        following = _TAG.search(text, at)
        piece = text[at : following.start() if following else len(text)]
        if tag == CALL:
            calls.append(_call(piece, following[0] if following else ""))
        elif tag not in (CALL_END, CALLS) or piece.strip():
            content += piece
        tag, at = (following[0], following.end()) if following else ("", len(text))
    return Said(content.strip(), thought.reasoning, tuple(calls))


def _call(text: str, end: str) -> SpokenCall:
    """The call that ``text`` is, and that the token ``end`` ends if there is one."""
    raw, open_ended = text.strip(), not end
    header = _HEADER.match(text)
    if header is None:
        return SpokenCall(None, "", raw, "" if open_ended else "the call has no name or no arguments", not open_ended)
    name = header["name"] or header["kind"]
    found = scan_json(text, header.end())
    args = text[header.end() : found.end if found.state == "whole" else len(text)].strip()
    rest = text[found.end :].strip() if found.state != "begun" else ""
    error = ""
    if end not in ("", CALL_END):
        error = f"the call is not closed with {CALL_END}"
    elif found.state == "wrong" or (end and (found.state == "begun" or rest.strip("`"))):
        error = f"not JSON at {text[found.end : found.end + 20]!r}"
    return SpokenCall(name, args, raw, error, closed=not open_ended)


def write(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Arguments as JSON text, thinking apart, broken calls behind the text."""
    chat = as_chat(messages, CALLS + CALL, CALL_END + CALLS_END)
    for message, told in zip(messages, chat, strict=True):
        for call in told.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        if reasoning := reasoning_of(message):
            told["reasoning_content"] = reasoning
    return chat


def template_like(published: str) -> str:
    """Our template with the beginning of answers that the published one has."""
    asking = published[published.rfind("add_generation_prompt") :]
    openings = {"</think>": "either", "<think>\\n": "<think>\n", "<think>": "<think>"}
    forms = {
        "fenced": "```json" in published,
        "opening": next((form for sign, form in openings.items() if sign in asking), ""),
    }
    return "".join(f"{{%- set {form} = {json.dumps(value)} %}}\n" for form, value in forms.items()) + _BODY


def _adapt(tokenizer: Any) -> str | None:
    return None if tells_all(tokenizer, write) else template_like(template_text(tokenizer))


DEEPSEEK_V3 = Family(
    name="deepseek-v3",
    markers=(CALLS, CALLS_END, CALL, CALL_END, SEPARATOR, OPEN, CLOSE),
    read=read,
    write=write,
    template=template_like("```json"),
    adapt=_adapt,
)
DEEPSEEK_V3_1 = replace(DEEPSEEK_V3, name="deepseek-v3.1", template=template_like("add_generation_prompt </think>"))
