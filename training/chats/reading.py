"""A branch as the conversation that chat formats write: who says what, which calls are answered, what may be trained.

What comes behind the last answer whose calls are all answered is nobody's context and is not part of it. Ids of calls
stay as they are where every API takes them, else all of them are numbered. An answer counts as untrained if no
model wrote it, if a person refused one of its calls, if another node gave it, or if nobody had asked for it.
"""

import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage

from ...checkpoints.importers.record import CANNED_KEY
from ...errors import CannotWrite
from ...nodes.bound_tools import SYSTEM_KEY, TOOLS_KEY, system_at
from ...nodes.context import start_of
from ...nodes.models.families.chat import reasoning_of
from ..branches import Branch
from ..chosen_nodes import is_turn_of

NO_MODEL, REFUSED, OTHER_NODE, UNASKED = (
    "an answer that no model gave",
    "a call that a person refused",
    "an answer of another node",
    "an answer before anybody asked",
)
_ID = re.compile(r"[a-zA-Z0-9_-]{1,40}")
_TOLD_APART = {"tool_use", "tool_call", "function_call", "thinking", "reasoning"}


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    message: str | None
    """Its id in the thread."""
    name: str = ""
    """Of the person who speaks."""
    thoughts: tuple[tuple[str, str], ...] = ()
    """What was thought before an answer, and the signature, empty where nobody knows it."""
    calls: tuple[ToolCall, ...] = ()
    call: str = ""
    """Id of the call that a tool answers."""
    failed: bool = False
    untrained: str = ""
    """Why an answer must not be trained; empty if it may."""

    @property
    def thinking(self) -> str:
        """All thoughts."""
        return "\n\n".join(thought for thought, _ in self.thoughts)


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation that ends with an answer, and what the model had besides."""

    said: tuple[Said, ...]
    tools: tuple[Mapping[str, Any], ...]
    """The functions among the schemas: name, description, parameters."""


def read_chat(branch: Branch, nodes: Set[str] | None = None) -> Chat:
    """The conversation of ``branch``; only answers of ``nodes`` are to be trained, None is all of them.

    Raises:
        CannotWrite: it holds more than text and calls, a call or a result has no partner, the tools or the system
            prompt changed on the way, or there is nothing to train.
    """
    try:
        system = system_at(branch.messages)
        said = [Said("system", system, None)] if system else []
        said += [_said(message, branch, nodes) for message in branch.messages]
        complete = _numbered(_answered(said))
        untrained = {one.message for one in complete if one.untrained}
        tools = _tools(branch, {one.message for one in complete if one.role == "assistant"} - untrained)
    except CannotWrite as error:
        raise refusal(error.reason, branch) from error
    if all(one.untrained or one.role != "assistant" for one in complete):
        cut = len(complete) < len(said) and any(one.calls for one in said[len(complete) :])
        raise refusal("a call without its result at the end" if cut else "nothing to train", branch)
    return Chat(tuple(complete), tools)


def refusal(reason: str, branch: Branch) -> CannotWrite:
    """The error that says why ``branch`` cannot be written."""
    where = f"thread {branch.thread!r} at checkpoint {branch.checkpoint!r}"
    return CannotWrite(f"{where} cannot be written: {reason}; leave it out, or export another format", reason)


def _said(message: BaseMessage, branch: Branch, nodes: Set[str] | None) -> Said:
    text = _text(message)
    if isinstance(message, SystemMessage):
        return Said("system", text, message.id)
    if isinstance(message, HumanMessage):
        return Said("user", text, message.id, name=message.name or "")
    if isinstance(message, ToolMessage):
        kind = message.additional_kwargs.get("kind")
        untrained = REFUSED if kind in ("rejected", "forbidden") else ""
        failed = message.status == "error"
        return Said("tool", text, message.id, call=message.tool_call_id, failed=failed, untrained=untrained)
    if not isinstance(message, AIMessage):
        raise CannotWrite(f"a message of type {message.type!r}")
    if message.invalid_tool_calls:
        raise CannotWrite("a call that could not be read")
    calls = tuple(
        ToolCall(name=call["name"], args=call["args"], id=call["id"] or f"{message.id}:{place}")
        for place, call in enumerate(message.tool_calls)
    )
    if not text and not calls:
        raise CannotWrite("an answer that says nothing")
    try:
        json.dumps([call["args"] for call in calls], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CannotWrite("arguments that are no JSON") from error
    untrained = ""
    if message.response_metadata.get(CANNED_KEY):
        untrained = NO_MODEL
    elif message is branch.messages[0]:
        untrained = UNASKED
    elif nodes is not None and not is_turn_of(branch, message.id, nodes):
        untrained = OTHER_NODE
    return Said("assistant", text, message.id, thoughts=_thoughts(message), calls=calls, untrained=untrained)


def _text(message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    told = _TOLD_APART if isinstance(message, AIMessage) else set()
    for block in message.content:
        kind = block.get("type") if isinstance(block, dict) else "text"
        if kind != "text" and kind not in told:
            raise CannotWrite(f"content of type {kind!r}")
    return str(message.text)


def _thoughts(message: AIMessage) -> tuple[tuple[str, str], ...]:
    blocks = [block for block in message.content if isinstance(block, dict) and block.get("type") == "thinking"]
    if blocks:
        return tuple((str(block.get("thinking", "")), str(block.get("signature", ""))) for block in blocks)
    thinking = reasoning_of(message)
    return ((thinking, ""),) if thinking else ()


def _answered(said: Sequence[Said]) -> list[Said]:
    """``said`` up to the last complete answer, with every result right behind its call."""
    kept: list[Said] = []
    waiting: list[str] = []
    asker = complete = 0  # where the last answer stands, and how many messages there are up to the last complete one
    for one in said:
        if one.role == "tool":
            if one.call not in waiting:
                raise CannotWrite("a result without its call")
            waiting.remove(one.call)
            if one.untrained:
                kept[asker] = replace(kept[asker], untrained=kept[asker].untrained or one.untrained)
                one = replace(one, untrained="")
        elif waiting:
            raise CannotWrite("a call without its result")
        elif one.role == "assistant":
            asker = len(kept)
            waiting = [str(call["id"]) for call in one.calls]
        kept.append(one)
        if kept[asker].role == "assistant" and not waiting:
            complete = asker + 1
    return kept[:complete]


def _numbered(said: Sequence[Said]) -> list[Said]:
    ids = [str(call["id"]) for one in said for call in one.calls]
    if len({*ids}) == len(ids) and all(_ID.fullmatch(id_) for id_ in ids):
        return list(said)
    numbered: list[Said] = []
    waiting: list[tuple[str, str]] = []
    count = 0
    for one in said:
        if one.role == "tool":
            place = next(place for place, (old, _) in enumerate(waiting) if old == one.call)
            one = replace(one, call=waiting.pop(place)[1])
        elif one.calls:
            calls: list[ToolCall] = []
            for call in one.calls:
                count += 1
                waiting.append((str(call["id"]), f"call_{count}"))
                calls.append(ToolCall(name=call["name"], args=call["args"], id=f"call_{count}"))
            one = replace(one, calls=tuple(calls))
        numbered.append(one)
    return numbered


def _tools(branch: Branch, trained: Set[str | None]) -> tuple[Mapping[str, Any], ...]:
    """What the trained answers had; the first note holds for what was said before it.

    Raises:
        CannotWrite: they did not all have the same, or had not seen what was said before.
    """
    first = next((m.response_metadata for m in branch.messages if TOOLS_KEY in m.response_metadata), {})
    tools: Sequence[Mapping[str, Any]] = first.get(TOOLS_KEY, branch.tools)
    first = next((m.response_metadata for m in branch.messages if SYSTEM_KEY in m.response_metadata), {})
    system = first.get(SYSTEM_KEY, "")
    had: list[tuple[Any, Any]] = []
    for message in branch.messages:
        tools = message.response_metadata.get(TOOLS_KEY, tools)
        system = message.response_metadata.get(SYSTEM_KEY, system)
        if message.id in trained and (tools, system) not in had:
            had.append((tools, system))
    if any(start_of(message) for message in branch.messages if message.id in trained):
        raise CannotWrite("the context was trimmed on the way")
    if len(had) > 1:
        raise CannotWrite("the tools or the system prompt changed on the way")
    functions = [tool.get("function") for tool in (had[0][0] if had else tools)]
    if not all(isinstance(function, Mapping) and function.get("name") for function in functions):
        raise CannotWrite("a tool that is no function")
    return tuple(function for function in functions if function)
