"""gpt-oss and its harmony format: an answer is a row of messages, each in a channel.

``analysis`` is thinking, ``final`` and ``commentary`` to nobody are text, and a message to ``functions.look``
is a call, wherever its header names the recipient: transformers' parser drops those that name it behind the
channel, as the model mostly does. Of the published template the beginning is kept (rules, and tools in
TypeScript), but for today's date, which would make tomorrow's prompt another one. The messages are told by our
own part: the published one tells the first of several calls only and text beside a call as thinking. As it
does, ours drops thinking once there is a final answer and more to say, so that every question begins a new row.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from .chat import as_chat, reasoning_of
from .choose import template_text
from .family import Family, Said, SpokenCall
from .json_text import scan_json

START, CHANNEL, CONSTRAIN, MESSAGE, END = "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>"
_TAG = re.compile(r"(<\|(?:start|channel|constrain|message|end|call|return)\|>)")
_LEGAL = re.compile(r"\s*(?:t|to|to=\S*\s*)?")
"""What may stand between the role and the channel of the first message, also while it is being written."""
_RECIPIENT = re.compile(r"\bto=(?:functions\.)?([^\s<]+)")
_MESSAGES = Path(__file__).with_name("gptoss.jinja").read_text(encoding="utf-8")
_CUT = "{#- Render messages"
_TODAY = '"Current date: " + strftime_now("%Y-%m-%d") + "\\n\\n"'
_DATE = '("Current date: " + current_date + "\\n\\n") if current_date is defined else "\\n"'


@dataclass(slots=True)
class _Message:
    """One message of an answer; ``body`` is None while its header is being written."""

    header: str = ""
    body: str | None = None
    ended: bool = False


def read(opening: str, text: str) -> Said:
    """Thinking, content and calls.

    >>> said = read("<|start|>assistant", "<|channel|>commentary to=functions.look <|constrain|>json<|message|>{}")
    >>> said.calls[0].name, said.calls[0].args
    ('look', '{}')
    """
    begin = opening.rfind(START)
    messages = _messages((opening[begin:] if begin >= 0 else f"{START}assistant") + text)
    unframed = messages[0].header.removeprefix(f"{START}assistant").partition("<|")[0]
    content = [] if _LEGAL.fullmatch(unframed) else [unframed.strip()]
    reasoning: list[str] = []
    calls: list[SpokenCall] = []
    for message in messages:
        if message.body is None or not message.header.startswith((f"{START}assistant", CHANNEL)):
            continue  # what it says in the name of others is nobody's word
        body = message.body.strip()
        if recipient := _RECIPIENT.search(message.header):
            found = scan_json(message.body)
            error = "" if found.state != "wrong" else f"not JSON at {message.body[found.end : found.end + 20]!r}"
            closed = message.ended or found.state != "begun"
            calls.append(SpokenCall(recipient[1], body, body, error, closed))
        elif body:
            (reasoning if f"{CHANNEL}analysis" in message.header else content).append(body)
    return Said("\n\n".join(content), "\n\n".join(reasoning), tuple(calls))


def _messages(text: str) -> list[_Message]:
    """The messages in ``text``; one begins with ``<|start|>``, or with ``<|channel|>`` behind another one."""
    messages = [_Message()]
    for piece in _TAG.split(text):
        last = messages[-1]
        if piece == MESSAGE and last.body is None:
            last.body = ""
        elif piece in (START, CHANNEL) and (last.body is not None or last.ended):
            last.ended = True
            messages.append(_Message(header=piece))
        elif piece in (END, "<|call|>", "<|return|>"):
            last.ended = True
        elif last.body is None:
            last.header += piece
        elif not last.ended:
            last.body += piece
    return messages


def write(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Arguments as a dict, thinking and broken calls apart, results with the name of their tool."""
    chat = as_chat(messages)
    names = {call["id"]: call["name"] for m in messages if isinstance(m, AIMessage) for call in m.tool_calls}
    for message, told in zip(messages, chat, strict=True):
        if "tool_call_id" in told:
            told["name"] = told["name"] or names.get(told["tool_call_id"], "unknown")
        if isinstance(message, AIMessage):
            told["content"] = message.text
            told["thinking"] = reasoning_of(message)
            told["broken_calls"] = [
                {"name": call["name"] or "unknown", "text": call["args"] or ""} for call in message.invalid_tool_calls
            ]
    return chat


def template_like(published: str) -> str:
    """Our messages behind the beginning of the published template."""
    if _CUT not in published or _TODAY not in published:
        trl = find_spec("trl")  # found without importing it
        folder = Path(str(trl.origin if trl else "")).parent / "chat_templates"
        published = (folder / "gptoss.jinja").read_text(encoding="utf-8")
    return published.partition(_CUT)[0].replace(_TODAY, _DATE) + _MESSAGES


GPT_OSS = Family(
    name="gpt-oss",
    markers=(START, CHANNEL, CONSTRAIN, MESSAGE, END),
    read=read,
    write=write,
    template=template_like(""),
    adapt=lambda tokenizer: template_like(template_text(tokenizer)),
)
