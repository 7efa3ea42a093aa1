"""Qwen3.5 and its successors: a call is XML, with each value as bare text on lines of its own.

``<tool_call>\\n<function=look>\\n<parameter=id>\\n1\\n</parameter>\\n</function>\\n</tool_call>``

A value does not say its type: with the tools at hand it gets the one that the tool's schema wants, else it
is JSON where it can be read as JSON, and text where it cannot. No value can hold ``</parameter>``.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from . import thinking
from .chat import as_chat
from .family import Family, Said, SpokenCall
from .untyped import Types, is_text, json_of, types_of

OPEN, CLOSE = "<tool_call>", "</tool_call>"
MARKERS = (
    *(OPEN, CLOSE, "<function=", "</function>", "<parameter=", "</parameter>"),
    *(thinking.OPEN, thinking.CLOSE),
)
_FUNCTION = re.compile(r"\s*<function=([^<>\n]+)>")
_PARAMETER = re.compile(r"\s*<parameter=([^<>\n]+)>\n?")
_END = re.compile(r"\s*</function>\s*</tool_call>")
_TAG = re.compile(r"</?tool_call>")
_FORGOTTEN = re.compile(r"</function>\s*(?=</tool_call>)|(?=</tool_call>\s*<tool_call>\s*<function=)")
"""What shows that a value's own end was forgotten: the end of its call."""
_DOUBTFUL = re.compile(r"\n?(?:</function>|</tool_call>|\Z)")
"""Up to here the text of an open value is certain."""


def read(opening: str, text: str) -> Said:
    """Thinking, content and calls; one malformed call spoils only itself.

    >>> said = read("", "<tool_call><function=look>\\n<parameter=id>\\n1\\n</parameter>\\n</function></tool_call>")
    >>> said.calls[0].name, said.calls[0].args
    ('look', '{"id": 1}')
    """
    return read_typed(opening, text, ())


def read_typed(opening: str, text: str, tools: Sequence[dict[str, Any]]) -> Said:
    """The same, with values of the types that the tools' schemas want."""
    types = types_of(tools)
    thought = thinking.read_thought(opening, text)
    calls: list[SpokenCall] = []
    content = ""
    at = thought.rest
    while (opened := text.find(OPEN, at)) >= 0:
        content += text[at:opened]
        call, at = _call(text, opened + len(OPEN), types)
        calls.append(call)
    return Said((content + text[at:]).strip(), thought.reasoning, tuple(calls))


def _call(text: str, start: int, types: Types) -> tuple[SpokenCall, int]:
    """The call whose marker ends at ``start``, and where the text goes on."""
    function = _FUNCTION.match(text, start)
    if function is None:
        return _broken(text, start, start, None, "", "a call must begin with <function=its name>")
    name, at = function[1], function.end()
    args = "{"
    while (end := _END.match(text, at)) is None:
        parameter = _PARAMETER.match(text, at)
        if parameter is None:
            return _broken(text, start, at, name, args, "a parameter or </function> must follow")
        key, low = parameter[1], parameter.end()
        args += ("" if args == "{" else ", ") + json.dumps(key, ensure_ascii=False) + ": "
        high = text.find("</parameter>", low)
        forgotten = _FORGOTTEN.search(text, low, high if high >= 0 else len(text))
        if high < 0 or forgotten:
            certain = _DOUBTFUL.search(text, low)
            if certain and is_text(types, name, key):
                args += json.dumps(text[low : certain.start()], ensure_ascii=False)[:-1]
            if forgotten:
                return _broken(text, start, forgotten.end(), name, args, f"the parameter {key!r} is not closed")
            return SpokenCall(name, args, text[start:].strip(), closed=False), len(text)
        args += json_of(text[low:high].removesuffix("\n"), types, name, key)
        at = high + len("</parameter>")
    raw = text[start : end.end() - len(CLOSE)].strip()
    return SpokenCall(name, args + "}", raw), end.end()


def _broken(text: str, start: int, at: int, name: str | None, args: str, error: str) -> tuple[SpokenCall, int]:
    """A call that goes wrong at ``at``: it lasts until the next tag, or is still being written."""
    tag = _TAG.search(text, at)
    if tag is None:
        return SpokenCall(name, args, text[start:].strip(), closed=False), len(text)
    raw = text[start : tag.start()].strip()
    if tag[0] == OPEN:
        return SpokenCall(name, args, raw, f"the call is not closed with {CLOSE}"), tag.start()
    return SpokenCall(name, args, raw, error), tag.end()


def write(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The thinking apart: the template decides which to show."""
    return thinking.think_apart(messages, as_chat(messages, f"{OPEN}\n", f"\n{CLOSE}"))


QWEN35 = Family(name="qwen3.5", markers=MARKERS, read=read, write=write, read_typed=read_typed)
