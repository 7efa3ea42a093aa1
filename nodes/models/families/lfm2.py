"""LFM2 and LFM2.5: a list of Python calls, ``<|tool_call_start|>[look(id=1), stop()]<|tool_call_end|>``.

The first template shows no calls of the past at all, that of LFM2.5 writes texts with a quote in them so that
they cannot be read. All three print an answer's text as it is, so here calls and thinking are put there.
"""

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from . import thinking
from .chat import as_chat, reasoning_of
from .family import Family, Said, SpokenCall
from .pythonic import scan_call, write_call

OPEN, CLOSE = "<|tool_call_start|>", "<|tool_call_end|>"
MARKERS = (OPEN, CLOSE, thinking.OPEN, thinking.CLOSE)
_TAG = re.compile(r"<\|tool_call_(?:start|end)\|>")
_LIST = re.compile(r"\s*\[?\s*")
_END = re.compile(r"\s*(?:,\s*)?\]?\s*\Z")
_COMMA = re.compile(r"\s*,?\s*")
_NEXT = re.compile(r",\s*(?=[\w.-]+\()")
"""Where the next call begins, as far as that can be seen behind one that goes wrong."""


def read(opening: str, text: str) -> Said:
    """Thinking, content and calls; one malformed call spoils only itself.

    >>> [call.args for call in read("", "<|tool_call_start|>[look(id=1), stop()]<|tool_call_end|>").calls]
    ['{"id": 1}', '{}']
    """
    thought = thinking.read_thought(opening, text)
    calls: list[SpokenCall] = []
    content = ""
    at = thought.rest
    while (opened := text.find(OPEN, at)) >= 0:
        content += text[at:opened]
        start = opened + len(OPEN)
        tag = _TAG.search(text, start)
        calls += _calls(text[start : tag.start() if tag else len(text)], tag is not None)
        at = len(text) if tag is None else tag.end() if tag[0] == CLOSE else tag.start()
    return Said((content + text[at:]).strip(), thought.reasoning, tuple(calls))


def _calls(block: str, closed: bool) -> list[SpokenCall]:
    """The calls between two tags, or after the first tag if the second is not there yet."""
    calls: list[SpokenCall] = []
    begin = _LIST.match(block)
    at = begin.end() if begin else 0
    while not _END.match(block, at):
        call = scan_call(block, at)
        if call.state == "whole":
            calls.append(SpokenCall(call.name, call.args, block[at : call.end]))
            comma = _COMMA.match(block, call.end)
            at = comma.end() if comma else call.end
            continue
        following = None if call.state == "begun" and not closed else _NEXT.search(block, at)
        raw = block[at : following.start() if following else len(block)].strip()
        if not closed and following is None:
            return [*calls, SpokenCall(call.name, call.args, raw, closed=False)]
        where = block[call.end : call.end + 20]
        error = f"not a Python call with named arguments: stopped at {where!r}" if where else "the call is not closed"
        calls.append(SpokenCall(call.name, call.args, raw.removesuffix("]") if following is None else raw, error))
        at = following.end() if following else len(block)
    return calls


def write(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """With thinking and calls in the text of the answer."""
    chat = as_chat(messages)
    for message, told in zip(messages, chat, strict=True):
        if isinstance(message, AIMessage):
            reasoning = reasoning_of(message)
            calls = [write_call(call["name"], call["args"]) for call in message.tool_calls]
            calls += [call["args"] or "" for call in message.invalid_tool_calls]
            told.pop("tool_calls", None)
            told["content"] = (
                (f"{thinking.OPEN}{reasoning}{thinking.CLOSE}" if reasoning else "")
                + message.text
                + (f"{OPEN}[{', '.join(calls)}]{CLOSE}" if calls else "")
            )
    return chat


LFM2 = Family(name="lfm2", markers=MARKERS, read=read, write=write)
