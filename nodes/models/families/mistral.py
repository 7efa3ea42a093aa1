"""Mistral: ``[TOOL_CALLS]look[ARGS]{…}`` for each call since tokenizer v11, before that one list for all,
``[TOOL_CALLS][{"name": "look", "arguments": {…}, "id": …}]``. Both are read wherever they stand.

Most published templates move tools and rules to the newest question, which rewrites the past in every
turn; the older ones also allow no text beside calls, and no template is in TRL. A template that tells all
and never rewrites is kept. In place of others stands ours, in the form of the tokenizer's version: what
the published ones write for one question, with tools and rules staying in front of the first one.
Ids have nine characters; ours are made from the call's. What id the model writes itself is not kept.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from .chat import as_chat, reasoning_of
from .choose import template_text
from .family import Family, Said, SpokenCall
from .json_text import JsonText, scan_json
from .proof import tells_all
from .thinking import read_thought

CALL, ARGS, CALL_ID = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"
THINK, THOUGHT = "[THINK]", "[/THINK]"
_NAME = re.compile(r"\s*(?P<name>[^\[{]*?)\s*(?:\[CALL_ID\][^\[{]*)?(?:\[ARGS\]|(?=\{))")
_LIST = re.compile(r"\s*(?:\[\s*(?!\s|ARGS|CALL_ID)|(?=\{))")
_BETWEEN = re.compile(r"\s*,\s*(?=\{)|\s*\]|\s*,?\s*\Z")
_NEXT = re.compile(r'\{\s*"name"\s*:')
_BODY = Path(__file__).with_name("mistral.jinja").read_text(encoding="utf-8")


def read(opening: str, text: str) -> Said:
    """Thinking, content and calls. ``[TOOL_CALLS]`` ends the call in front of it, even within a string.

    >>> [call.name for call in read("", '[TOOL_CALLS]look[ARGS]{"id": 1}[TOOL_CALLS]end[ARGS]{}').calls]
    ['look', 'end']
    """
    thought = read_thought(opening, text, THINK, THOUGHT)
    content, *spoken = text[thought.rest :].split(CALL)
    calls: list[SpokenCall] = []
    for place, segment in enumerate(spoken):
        last = place + 1 == len(spoken)
        listed = _LIST.match(segment)
        found, end = _listed(segment, listed.end(), last) if listed else _named(segment, last)
        calls += found
        content += segment[end:]
    return Said(content.strip(), thought.reasoning, tuple(calls))


def _named(text: str, last: bool) -> tuple[list[SpokenCall], int]:
    """The call of the new form in ``text``, and where it ends."""
    header = _NAME.match(text)
    if header is None:
        return [SpokenCall(None, "", text.strip(), "" if last else "the call has no arguments", closed=False)], len(
            text
        )
    name, found = header["name"], scan_json(text, header.end())
    if found.state == "whole":
        return [SpokenCall(name, text[header.end() : found.end].strip(), text[: found.end].strip())], found.end
    error = "" if found.state == "begun" and last else _complaint(text, found)
    return [SpokenCall(name, text[header.end() :].strip(), text.strip(), error, closed=False)], len(text)


def _listed(text: str, start: int, last: bool) -> tuple[list[SpokenCall], int]:
    """The calls of the old form, whose list begins at ``start``, and where it ends."""
    calls: list[SpokenCall] = []
    at = start
    while text.startswith("{", at):
        found = scan_json(text, at)
        following = _NEXT.search(text, found.end)
        if found.state == "whole":
            calls.append(_object(text, at, found, text[at : found.end], ""))
            between = _BETWEEN.match(text, found.end)
            at = between.end() if between else found.end
            if not between or between[0].endswith("]"):
                return calls, at
        elif found.state == "wrong" and following:
            calls.append(
                _object(text, at, found, text[at : following.start()].rstrip(", \t\n"), _complaint(text, found))
            )
            at = following.start()
        else:
            error = "" if found.state == "begun" and last else _complaint(text, found)
            raw = text[at:].rstrip()
            return [*calls, _object(text, at, found, raw.removesuffix("]").rstrip() if error else raw, error)], len(
                text
            )
    if calls or text.startswith("]", at):
        return calls, at + (not calls)
    raw = text[at:].strip()
    return [SpokenCall(None, "", raw, "not a list of calls" if raw else "", closed=bool(raw))], len(text)


def _object(text: str, start: int, found: JsonText, raw: str, error: str) -> SpokenCall:
    members = {member.key: member for member in found.members}
    named, arguments = members.get("name"), members.get("arguments")
    name = json.loads(text[named.low : named.high]) if named and named.whole else None
    name = name if arguments and isinstance(name, str) else None
    args = text[arguments.low : arguments.high].rstrip() if arguments else ""
    if found.state == "whole" and not arguments:
        error = "the call has no arguments"
    return SpokenCall(name, args, raw, error, closed=found.state == "whole" or bool(error))


def _complaint(text: str, found: JsonText) -> str:
    return f"not JSON at {text[found.end : found.end + 20]!r}"


def write(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Arguments as a dict, ids of nine characters, thinking in front of the text, broken calls behind it."""
    chat = as_chat(messages, CALL)
    for message, told in zip(messages, chat, strict=True):
        if "tool_call_id" in told:
            told["tool_call_id"] = _nine(told["tool_call_id"])
        for call in told.get("tool_calls", ()):
            call["id"] = _nine(call["id"] or "")
        if isinstance(message, AIMessage) and (reasoning := reasoning_of(message)):
            told["content"] = f"{THINK}{reasoning}{THOUGHT}{told['content']}"
    return chat


def _nine(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9]{9}", name) else sha256(name.encode()).hexdigest()[:9]


def template_like(published: str) -> str:
    """Our template in the form of the tokenizer's version, as its published template shows it."""
    forms = {
        "listed": ARGS not in published,
        "with_ids": CALL_ID in published,
        "rules_apart": "[SYSTEM_PROMPT]" in published,
        "results": "id" if "[TOOL_CONTENT]" in published else "text" if ARGS in published else "json",
        "space": " " if "[INST] " in published else "",
    }
    return "".join(f"{{%- set {form} = {json.dumps(value)} %}}\n" for form, value in forms.items()) + _BODY


def _adapt(tokenizer: Any) -> str | None:
    return None if tells_all(tokenizer, write) else template_like(template_text(tokenizer))


MISTRAL = Family(
    name="mistral",
    markers=(CALL, ARGS, CALL_ID, THINK, THOUGHT),
    read=read,
    write=write,
    template=template_like(f"[SYSTEM_PROMPT]{CALL}{ARGS}"),
    adapt=_adapt,
)
"""Tokenizer v11 and newer: one ``[TOOL_CALLS]`` a call."""
MISTRAL_LIST = replace(MISTRAL, name="mistral-list", template=template_like(CALL))
"""Tokenizers v3 and v7: one list of calls."""
