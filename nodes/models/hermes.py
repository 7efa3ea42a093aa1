"""Read tool calls in the Hermes form, as Qwen models and the seed policy write them.

A call is ``<tool_call>{"name": …, "arguments": {…}}</tool_call>``; one malformed call spoils only itself.
"""

import json
import re
from dataclasses import dataclass
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_BLOCK = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)


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
    for block in _BLOCK.finditer(text):
        raw = block.group(1).strip()
        if not block.group(0).endswith(CLOSE):
            broken.append(_broken(raw, f"the call is not closed with {CLOSE}"))
            continue
        try:
            call = json.loads(raw)
        except ValueError as error:
            broken.append(_broken(raw, f"not JSON: {error}"))
            continue
        complaint = _complaint(call)
        if complaint:
            broken.append(_broken(raw, complaint))
        else:
            calls.append(ToolCall(name=call["name"], args=call.get("arguments", {}), id=_fresh_id()))
    return Parsed(_BLOCK.sub("", text).strip(), calls, broken)


def _complaint(call: object) -> str:
    if not isinstance(call, dict):
        return "a call must be a JSON object with name and arguments"
    if not isinstance(call.get("name"), str):
        return "the call has no name"
    if not isinstance(call.get("arguments", {}), dict):
        return "the arguments must be a JSON object"
    return ""


def _broken(raw: str, error: str) -> InvalidToolCall:
    return InvalidToolCall(type="invalid_tool_call", name=None, args=raw, id=_fresh_id(), error=error)


def _fresh_id() -> str:
    return f"call_{uuid4().hex[:16]}"
