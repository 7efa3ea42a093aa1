"""Which arguments stem from untrusted output: values that a tool returned and no person has said.

Looks for copies: as they stand, in other case or spacing, as part of something longer, percent- or base64-encoded. It
does not see what the model put in its own words, computed or chosen because of what it had read; for that there is
``taint="strict"``, which asks about every call that acts once untrusted output was read (Beurer-Kellner et al. 2025).
"""

import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from .bound_tools import SYSTEM_KEY, system_at
from .copies import Said, copied, telling_parts
from .models.trace import EDIT_KEY
from .tool_output import text_by_tool

_OWN_WORDS = frozenset(
    {"invalid", "unknown_tool", "forbidden", "looping", "duplicate", "over_budget", "stopped", "dry_run", "timeout"}
) | {"page"}  # of an output that counts itself, with all of its pages
_OWN_BLOCKS = frozenset(
    {"tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "function_call", "custom_tool_call"}
    | {"input_json_delta", "reasoning", "thinking", "redacted_thinking", "refusal"}
)
"""Types of blocks in which a model thinks and calls; other blocks of an answer were put there by its provider."""
_PEOPLES_WORDS = frozenset({"rejected", "responded"})
PEOPLE_KEY = "said_by_people"
"""In ``additional_kwargs`` of a human message that a model wrote: what people said, which alone is trusted."""
AGENT_KEY = "agent"
"""In ``additional_kwargs`` of a tool message that another agent wrote: its name. It may repeat what its tools said."""
ELSEWHERE_KEY = "read_elsewhere"
"""In ``response_metadata`` of an answer whose model had read untrusted output in a conversation of its own."""
_BEGIN = re.compile(r"\[data (?P<nonce>[0-9a-f]{12}) from (?P<source>[a-z ]+): [^\n]*\]\n")


class Tainted(NamedTuple):
    """An argument, and the output that it stems from."""

    argument: str
    value: str
    tool: str
    message: str

    def words(self) -> str:
        """For the person who decides."""
        return f"{self.argument} has {self.value!r} from the output of {self.tool} (message {self.message})"


@dataclass(frozen=True, slots=True)
class Sources:
    """What was said in a thread, by whom."""

    outputs: Sequence[Said]
    """Untrusted, oldest first."""
    trusted: Said
    """By the user, the system prompt, or whoever decided about calls."""


def untrusted_output(state: Mapping[str, Any], trusted: Set[str]) -> Sources:
    """What tools that are not ``trusted`` returned in the thread, and what people said."""
    messages: Sequence[BaseMessage] = state["messages"]
    outputs = []
    context = state.get("context") or {}
    people = [_own_system(messages, context)]
    if memory := context.get("memory", ""):
        outputs.append(Said(memory, "memory", "remembered from other threads"))
    for message in messages:
        name = message.id or ""
        if isinstance(message, HumanMessage) and PEOPLE_KEY in message.additional_kwargs:
            said = HumanMessage(str(message.additional_kwargs[PEOPLE_KEY]), id=message.id)
            people.append(_parted(said.text)[0])
            outputs += [*_attached(said), Said(message.text, "a model", name)]
        elif isinstance(message, HumanMessage | SystemMessage):
            people.append(_parted(_text_of(message))[0])
            outputs += _attached(message)
        elif isinstance(message, AIMessage):
            outputs += [*_remembered(message, memory), *_run_by_provider(message)]
            if EDIT_KEY in message.response_metadata:
                people += _edited(message)
            elif ELSEWHERE_KEY in message.response_metadata:
                outputs.append(Said(message.text, "an earlier run", name))
        elif isinstance(message, ToolMessage):
            kind = message.additional_kwargs.get("kind")
            if kind in _PEOPLES_WORDS:
                people.append(message.text)
            elif kind not in _OWN_WORDS and (message.name not in trusted or AGENT_KEY in message.additional_kwargs):
                text = "\n".join(filter(None, (text_by_tool(message), *map(_words_of, _unread_blocks(message)))))
                outputs.append(Said(text, message.name or "a tool", name))
        else:
            outputs.append(Said(message.text, getattr(message, "name", None) or f"a {message.type}", name))
    return Sources(outputs, Said("\n".join(people)))


def only_people_spoke(messages: Sequence[BaseMessage]) -> bool:
    """Is there nothing in these messages but words of people, and of models that have read nothing else?"""
    return not any(
        isinstance(message, ToolMessage)
        or PEOPLE_KEY in message.additional_kwargs
        or ELSEWHERE_KEY in message.response_metadata
        or (isinstance(message, HumanMessage) and _attached(message))
        for message in messages
    )


def words_of_people(messages: Sequence[BaseMessage]) -> str:
    """What people said in these messages, for ``PEOPLE_KEY`` of a message that a model writes to another one."""
    return "\n".join(filter(None, map(_words_of_person, messages)))


def find_taint(sources: Sources, args: Mapping[str, Any], declared: Container[str] | None = None) -> list[Tainted]:
    """The arguments with a value out of untrusted output that nobody trusted has said, each once.

    The name of one that is not among those ``declared`` is the model's, so it is looked at like a value.
    """
    found: dict[str, Tainted] = {}
    names = [(name, name) for name in args if declared is not None and name not in declared]
    for place, value in [*names, *_leaves(args, "")]:
        if place not in found and (copy := copied(value, reversed(sources.outputs), sources.trusted)):
            found[place] = Tainted(place, copy.part, copy.source.tool, copy.source.message)
    return list(found.values())


def _words_of_person(message: BaseMessage) -> str:
    if isinstance(message, HumanMessage):
        return str(message.additional_kwargs.get(PEOPLE_KEY, _text_of(message)))
    return message.text if message.additional_kwargs.get("kind") == "responded" else ""


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every text and number in ``value`` with its place, the keys of inner objects too."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if place and next(telling_parts(str(key)), None):
                yield place, str(key)
            yield from _leaves(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{place}[{number}]")
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield place, value
        if isinstance(value, str) and value.strip()[:1] in ("{", "["):
            yield from _leaves(_from_json(value), place)


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _attached(message: BaseMessage) -> list[Said]:
    """What goes with the words of a person and is not theirs: files, by their names if nothing else is seen."""
    name = message.id or ""
    found = [Said(text, source, name) for source, text in _parted(_text_of(message))[1]]
    if unread := _unread_blocks(message):
        found.append(Said("\n".join(map(_words_of, unread)), "a file", name))
    return found


def _remembered(message: AIMessage, memory: str) -> Iterator[Said]:
    """What the system prompt of an earlier run held besides, which the model may have repeated since."""
    for source, text in _parted(message.response_metadata.get(SYSTEM_KEY) or "")[1]:
        if source != "a summary" and text not in memory:  # a summary is the model's own words
            yield Said(text, source, message.id or "")


def _run_by_provider(message: AIMessage) -> Iterator[Said]:
    """What tools returned that the model's provider ran, such as a search of its own."""
    for block in _unread_blocks(message):
        if block.get("type") not in _OWN_BLOCKS:
            yield Said(_words_of(block), str(block.get("type")), message.id or "")


def _unread_blocks(message: BaseMessage) -> list[dict[str, Any]]:
    """The blocks of ``message`` that are no text."""
    blocks = message.content if isinstance(message.content, list) else []
    return [block for block in blocks if isinstance(block, dict) and block.get("type") != "text"]


def _words_of(block: Any) -> str:
    """Whatever is written in ``block``: names, addresses, texts; not its data."""
    if isinstance(block, Mapping):
        return "\n".join(_words_of(inner) for key, inner in block.items() if key not in ("type", "base64", "data"))
    if isinstance(block, list | tuple):
        return "\n".join(map(_words_of, block))
    return block if isinstance(block, str) and not block.startswith("data:") else ""


def _text_of(message: BaseMessage) -> str:
    """Its text; of several blocks each on lines of its own."""
    if isinstance(message.content, str):
        return message.content
    blocks = [{"type": "text", "text": one} if isinstance(one, str) else one for one in message.content]
    return "\n".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def _parted(text: str) -> tuple[str, list[tuple[str, str]]]:
    """What in ``text`` is not marked as data, and what is: its source and its text."""
    own: list[str] = []
    marked: list[tuple[str, str]] = []
    never_closed: set[str] = set()
    at = done = 0
    while (begin := _BEGIN.search(text, at)) is not None:
        at = begin.end()
        closing = f"\n[end of data {begin['nonce']}]"
        end = -1 if closing in never_closed else text.find(closing, at)
        if end < 0:
            never_closed.add(closing)
        else:
            before, data = text[done : begin.start()], text[at:end]
            if begin["source"] == "a file" and before.endswith(":\n"):  # a line with what it is called
                before, _, called = before[:-2].rpartition("\n")
                data = f"{called}\n{data}"
            own.append(before)
            marked.append((begin["source"], data))
            at = done = end + len(closing)
    return "\n".join([*own, text[done:]]), marked


def _own_system(messages: Sequence[BaseMessage], context: Mapping[str, Any]) -> str:
    """The system prompt as we wrote it: without what was remembered and summed up, which may stem from anywhere."""
    system = system_at(messages)
    for key in ("memory", "summary"):
        if added := context.get(key):
            system = system.replace(added, "") if added in system else ""
    return _parted(system)[0]


def _edited(message: AIMessage) -> list[str]:
    """What a person put into the calls of ``message``."""
    proposed = message.response_metadata[EDIT_KEY].get("proposal", {}).get("tool_calls", [])
    before = {json.dumps(value, default=str) for call in proposed for _, value in _leaves(call["args"], "")}
    values = (value for call in message.tool_calls for _, value in _leaves(call["args"], ""))
    return [str(value) for value in values if json.dumps(value, default=str) not in before]
