"""The tags of Hermes in texts: ``<think>``, ``<tool_call>``, ``<tool_response>`` and ``<tools>``.

What stands between them is JSON, or the Python literal of the same, as in the data that Hermes was trained on.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from .calls import Asked, read_literal, read_spoken_call
from .conversation import spell
from .record import BadRow
from .tool_text import tools_in

_THOUGHT = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)
_RESPONSE = re.compile(r"<tool_response>(.*?)</tool_response>", re.DOTALL)
_TOOLS = re.compile(r"<tools>(.*?)</tools>", re.DOTALL)
_OPENINGS = re.compile(
    r"(# Tools\s|You are a function calling AI model|You are provided with function signatures|"
    r"You may call one or more functions)"
)
CALL, CALLED = "<tool_call>", "</tool_call>"
BETWEEN = "\n</tool_response>\n<tool_response>\n"
"""What LLaMA-Factory puts between the results of parallel calls, which are one turn there."""
_DECODER = json.JSONDecoder()


def is_tagged(turns: Sequence[Any]) -> bool:
    """Do the turns of ShareGPT hold calls, results or tools in tags?"""
    said = [turn["value"] for turn in turns if isinstance(turn, dict) and isinstance(turn.get("value"), str)]
    texts = [text.replace(BETWEEN, "") for text in said]
    return any(tag in text for text in texts for tag in (CALL, "<tool_response>", "<tools>"))


def split_thought(text: str) -> tuple[str, str]:
    """The thinking in front of an answer, and the answer.

    >>> split_thought("<think>Hm.</think> Yes.")
    ('Hm.', 'Yes.')
    """
    found = _THOUGHT.match(text)
    return (found.group(1).strip(), text[found.end() :]) if found else ("", text)


def split_calls(text: str) -> tuple[str, list[Asked]]:
    """What an answer says beside its calls, and the calls.

    >>> said, calls = split_calls("Wait.<tool_call>{'name': 'look', 'arguments': {'id': 1}}</tool_call>")
    >>> said, calls[0].args
    ('Wait.', {'id': 1})
    """
    calls: list[Asked] = []
    said = ""
    at = 0
    while (opened := text.find(CALL, at)) >= 0:
        said += text[at:opened]
        begin = opened + len(CALL)
        past = _past_json(text, begin)
        end, again = text.find(CALLED, past), text.find(CALL, past)
        if end < 0 or 0 <= again < end:
            at = again if again >= 0 else len(text)
            calls.append(Asked(None, error="the call is not closed", raw=text[begin:at].strip()))
        else:
            at = end + len(CALLED)
            calls.append(read_spoken_call(text[begin:end].strip()))
    said += text[at:]
    return (said.strip() if calls else said), calls


def split_results(text: str) -> list[tuple[str | None, str]]:
    """The results in a turn of a tool, each with the tool's name where it is told; all of it if nothing is tagged.

    >>> split_results('<tool_response>{"name": "look", "content": {"id": 1}}</tool_response>')
    [('look', '{"id": 1}')]

    Raises:
        BadRow: there is something between them.
    """
    found = _RESPONSE.findall(text)
    if not found:
        return [(None, text)]
    if rest := _RESPONSE.sub("", text).strip():
        raise BadRow(f"between the results stands {rest!r:.100}")
    return [_result(body.strip()) for body in found]


def split_tools(text: str) -> tuple[str, tuple[dict[str, Any], ...]]:
    """A system prompt without its tools, and the tools.

    The sentences that explain the tags go with them: whoever renders these tools explains them in its own way.

    >>> said, tools = split_tools("Be kind.\\n\\n# Tools\\n\\n<tools>{'name': 'look'}</tools> <tool_call></tool_call>")
    >>> said, tools[0]["function"]["name"]
    ('Be kind.', 'look')

    Raises:
        BadRow: tools stand there that cannot be read.
    """
    blocks = [block for block in _TOOLS.finditer(text) if block.group(1).strip()]
    if not blocks:
        return text, ()
    opening = _OPENINGS.search(text, 0, blocks[0].start())
    low = opening.start() if opening else blocks[0].start()
    last = text.rfind(CALLED)
    high = max(blocks[-1].end(), last + len(CALLED) if last >= 0 and opening else 0)
    rest = "\n\n".join(part for part in (text[:low].strip(), text[high:].strip()) if part)
    return rest, tuple(tool for block in blocks for tool in tools_in(block.group(1)))


def _result(body: str) -> tuple[str | None, str]:
    told = read_literal(body)
    if not isinstance(told, dict) or "content" not in told or not told.keys() <= {"name", "content", "tool_call_id"}:
        return None, body
    return told["name"] if isinstance(told.get("name"), str) else None, spell(told["content"])


def _past_json(text: str, begin: int) -> int:
    """Where the JSON that begins at ``begin`` ends: a tag within its strings belongs to it. ``begin`` if it is none."""
    while begin < len(text) and text[begin].isspace():
        begin += 1
    try:
        return _DECODER.raw_decode(text, begin)[1]
    except (ValueError, RecursionError):
        return begin
