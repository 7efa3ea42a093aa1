"""An episode as text for a model that judges it: who said what, which calls were made, what came back.

Every line is JSON, so nothing that an episode says can pass for a line of its own or for the end of the transcript.
Ids and durations are left out: they differ between episodes that are otherwise the same.
"""

import json
from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

LONGEST = 4000
"""Characters of one message that are shown; of a longer one its beginning and its end."""


def transcript(messages: Sequence[BaseMessage], longest: int = LONGEST) -> list[str]:
    """One line of JSON for each message, with calls in the order in which they were made; no system prompt.

    >>> transcript([AIMessage("Done."), ToolMessage("x", tool_call_id="1", name="look", status="error")])
    ['{"agent": "Done."}', '{"tool": "look", "error": "x"}']
    """
    return [line for message in messages if (line := _line(message, longest))]


def _line(message: BaseMessage, longest: int) -> str:
    text = shorten(message.text, longest)
    if isinstance(message, ToolMessage):
        said = {"tool": message.name or "", "error" if message.status == "error" else "result": text}
    elif isinstance(message, AIMessage):
        calls = [{"tool": call["name"], "args": call["args"]} for call in message.tool_calls]
        calls += [{"tool": call.get("name"), "unreadable": call.get("args")} for call in message.invalid_tool_calls]
        said = ({"agent": text} if text or not calls else {}) | ({"calls": calls} if calls else {})
    elif message.type == "human":
        said = {"user": text}
    else:
        return ""
    return json.dumps(said, ensure_ascii=False, sort_keys=False, default=str)


def shorten(text: str, longest: int) -> str:
    """``text`` with its middle left out if it is longer than ``longest`` characters.

    >>> shorten("abcdefghij", 4)
    'ab[… 6 characters left out …]ij'
    """
    if len(text) <= longest:
        return text
    head = (longest + 1) // 2
    tail = longest - head
    return f"{text[:head]}[… {len(text) - longest} characters left out …]{text[len(text) - tail :]}"
