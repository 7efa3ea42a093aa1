"""Read tool calls in the Hermes form, as Qwen models and the seed policy write them.

A call is ``<tool_call>{"name": …, "arguments": {…}}</tool_call>``; one malformed call spoils only itself.
"""

import json
import re
from dataclasses import dataclass
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_REST = re.compile(r"(.*?)(</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Parsed:
    """What a model said: text outside the calls, and the calls."""

    content: str
    tool_calls: list[ToolCall]
    invalid_tool_calls: list[InvalidToolCall]


def parse_tool_calls(text: str) -> Parsed:
    """Split ``text`` into content and calls; calls get fresh ids.

    >>> parse_tool_calls('Wait.<tool_call>{"name": "look", "arguments": {"id": 1}}</tool_call>').content
    'Wait.'
    """
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    content = ""
    at = 0
    while (opened := text.find(OPEN, at)) >= 0:
        content += text[at:opened]
        start = opened + len(OPEN)
        rest = _REST.search(text, _end_of_json(text, start))
        assert rest is not None  # the end of the text always matches
        raw, at = text[start : rest.end(1)].strip(), rest.end()
        if not rest.group(2):
            broken.append(_broken(raw, f"the call is not closed with {CLOSE}"))
            continue
        try:
            call = json.loads(raw)
            json.dumps(call, ensure_ascii=False, allow_nan=False).encode()  # NaN and half characters cannot be stored
        except (ValueError, RecursionError) as error:
            broken.append(_broken(raw, f"not JSON: {error}"))
            continue
        complaint = _complaint(call)
        if complaint:
            broken.append(_broken(raw, complaint))
        else:
            calls.append(ToolCall(name=call["name"], args=call.get("arguments", {}), id=_fresh_id()))
    return Parsed((content + text[at:]).strip(), calls, broken)


def _end_of_json(text: str, start: int) -> int:
    """Where a closed block's JSON ends, so that tags inside its strings do not count; else ``start``."""
    begin = len(text) - len(text[start:].lstrip())
    try:
        end = json.JSONDecoder().raw_decode(text, begin)[1]
    except (ValueError, RecursionError):
        return start
    return end if text[end:].lstrip().startswith(CLOSE) else start


def _complaint(call: object) -> str:
    if not isinstance(call, dict):
        return "a call must be a JSON object with name and arguments"
    if not isinstance(call.get("name"), str) or not call["name"]:
        return "the call has no name"
    if not isinstance(call.get("arguments", {}), dict):
        return "the arguments must be a JSON object"
    return ""


def _broken(raw: str, error: str) -> InvalidToolCall:
    return InvalidToolCall(type="invalid_tool_call", name=None, args=raw, id=_fresh_id(), error=error)


def _fresh_id() -> str:
    return f"call_{uuid4().hex[:16]}"
