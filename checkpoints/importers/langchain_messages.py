"""Messages as LangChain serialises them, and as OpenAI or Anthropic write them: the mixture that a trace holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .calls import Asked, read_call
from .conversation import CUT_SHORT, Conversation, spell
from .record import REASONING_KEY, BadRow

Role = Literal["system", "human", "ai", "tool"]
ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "human": "human",
    "user": "human",
    "ai": "ai",
    "assistant": "ai",
    "tool": "tool",
    "function": "tool",
}
NO_TEXT = (
    "input_json_delta",
    "redacted_thinking",
    "tool_call",
    "tool_call_chunk",
    "invalid_tool_call",
    "function_call",
    "tool_use",
    "thinking",
    "reasoning",
)
"""Blocks that are told as calls or as thinking, or that nobody could read."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a trace."""

    role: Role
    text: str
    calls: tuple[Asked, ...] = ()
    reasoning: str = ""
    call: str | None = None
    """The recorded id of the call that a result answers."""
    name: str | None = None
    failed: bool | None = None
    is_cut: bool = False
    """Did the answer stop because it was long enough?"""

    def is_same(self, other: "Said") -> bool:
        """Is it the same message, told once more? Thinking is often not told again."""
        return (self.role, self.text.strip(), self.calls, self.call) == (
            other.role,
            other.text.strip(),
            other.calls,
            other.call,
        )


def say(chat: Conversation, said: Said, *, trained: bool) -> None:
    """Say it."""
    if said.role == "system":
        chat.system(said.text)
    elif said.role == "human":
        chat.human(said.text)
    elif said.role == "ai":
        chat.ai(said.text, said.calls, reasoning=said.reasoning, trained=trained and not said.is_cut)
    else:
        chat.result(said.text, id_=said.call, name=said.name, failed=said.failed)


def read_messages(messages: Any) -> list[Said]:
    """The messages of a list, or of the only list in a list.

    Raises:
        BadRow: one of them is in no known form.
    """
    if not isinstance(messages, list):
        raise BadRow(f"messages are no list: {messages!r:.100}")
    if len(messages) == 1 and isinstance(messages[0], list) and not _is_pair(messages[0]):
        messages = messages[0]
    return [said for message in messages for said in read_message(message)]


def read_message(message: Any) -> Iterator[Said]:
    """What a message says: several things if it is Anthropic's, with results and a text behind them.

    Raises:
        BadRow: it is in no known form.
    """
    role, held = _role_of(message)
    content = held.get("content")
    blocks = content if isinstance(content, list) else []
    given = [block for block in blocks if isinstance(block, dict) and block.get("type") == "tool_result"]
    for block in given:
        failed = True if block.get("is_error") is True else None
        yield Said("tool", _text(block.get("content")), call=_id(block.get("tool_use_id")), failed=failed)
    if given and len(given) == len(blocks):
        return
    also = held.get("additional_kwargs")
    also = also if isinstance(also, dict) else {}
    if role == "tool":
        failed = True if held.get("status") == "error" else None
        name = held["name"] if isinstance(held.get("name"), str) else None
        yield Said(role, _text(content), call=_id(held.get("tool_call_id")), name=name, failed=failed)
    elif role == "ai":
        told = [held.get(REASONING_KEY), also.get(REASONING_KEY), _thoughts(content)]
        reasoning = next((text for text in told if isinstance(text, str) and text), "")
        text = _text(content, glue="") or (held["refusal"] if isinstance(held.get("refusal"), str) else "")
        yield Said(role, text, tuple(_calls(held, also, content)), reasoning, is_cut=_is_cut(held))
    else:
        yield Said(role, _text([block for block in blocks if block not in given] if given else content))


def _role_of(message: Any) -> tuple[Role, dict[str, Any]]:
    """Who says it, and the fields of the message."""
    if isinstance(message, str):
        return "human", {"content": message}
    if _is_pair(message):
        role, held = message[0], {"content": message[1]}
    elif not isinstance(message, dict):
        raise BadRow(f"a message is in no known form: {message!r:.100}")
    elif isinstance(message.get("kwargs"), dict):
        held = message["kwargs"]
        names = message.get("id")
        last = names[-1] if isinstance(names, list) and names else ""
        role = held.get("type") or str(last).removesuffix("Chunk").removesuffix("Message").lower()
    elif isinstance(message.get("data"), dict):
        role, held = message.get("type"), message["data"]
    else:
        role, held = message.get("role") or message.get("type"), message
        if role == "message":  # Anthropic's response says so besides its role
            role = "assistant"
    role = held.get("role") if role in ("chat", "ChatMessage") else role
    known = ROLES.get(role.removesuffix("MessageChunk").lower()) if isinstance(role, str) else None
    if known is None:
        raise BadRow(f"a message has the unknown role {role!r:.100}")
    return known, held


def _calls(held: dict[str, Any], also: dict[str, Any], content: Any) -> Iterator[Asked]:
    used = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    asked = (
        _list(held.get("tool_calls"))
        or _list(also.get("tool_calls"))
        or [block for block in used if block.get("type") in ("tool_use", "tool_call")]
        or [{"function": place["function_call"]} for place in (held, also) if place.get("function_call")][:1]
    )
    for call in asked:
        function = call["function"] if isinstance(call.get("function"), dict) else call
        arguments = next((function[key] for key in ("args", "arguments", "input") if key in function), None)
        yield read_call(function.get("name"), arguments, call.get("id"))
    for call in _list(held.get("invalid_tool_calls")):
        name = call["name"] if isinstance(call.get("name"), str) else None
        error = call["error"] if isinstance(call.get("error"), str) and call["error"] else "the call cannot be read"
        yield Asked(name, id=_id(call.get("id")), error=error, raw=spell(call.get("args") or ""))


def _list(calls: Any) -> list[dict[str, Any]]:
    if calls is not None and (not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls)):
        raise BadRow(f"the calls of a message are no list of objects: {calls!r:.100}")
    return calls or []


def _text(content: Any, glue: str = "\n") -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return spell(content)
    texts = []
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if isinstance(block, str) or kind in ("text", "input_text", "output_text"):
            text = block if isinstance(block, str) else block.get("text")
            if not isinstance(text, str):
                raise BadRow(f"a block of text holds none: {block!r:.100}")
            texts.append(text)
        elif kind not in NO_TEXT:
            raise BadRow(f"a message holds a block of type {kind!r:.100}, which is no text")
    return glue.join(texts)


def _is_cut(held: dict[str, Any]) -> bool:
    about = held.get("response_metadata")
    places = [held, about if isinstance(about, dict) else {}]
    return any(place.get(key) in CUT_SHORT for place in places for key in ("finish_reason", "stop_reason"))


def _thoughts(content: Any) -> str:
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    told = [block.get(key) for block in blocks for key in ("thinking", "reasoning") if block.get("type") == key]
    return "\n\n".join(text for text in told if isinstance(text, str) and text)


def _is_pair(message: Any) -> bool:
    """Is it a role and a text, as in ``["user", "Hello"]``?"""
    if not isinstance(message, list) or len(message) != 2:
        return False
    return isinstance(message[0], str) and isinstance(message[1], str) and message[0] in ROLES


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
