"""Which arguments stem from untrusted output: values that a tool returned and no person has said.

Looks for copies: as they stand, in other case or spacing, as part of something longer, percent- or base64-encoded. It
does not see what the model put in its own words, computed or chosen because of what it had read; for that there is
``taint="strict"``, which asks about every call that acts once untrusted output was read (Beurer-Kellner et al. 2025).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from .bound_tools import system_at
from .copies import Said, copied, telling_parts
from .models.trace import EDIT_KEY
from .tool_output import text_by_tool

_OWN_WORDS = frozenset(
    {"invalid", "unknown_tool", "forbidden", "looping", "duplicate", "over_budget", "stopped", "dry_run", "timeout"}
)
_PEOPLES_WORDS = frozenset({"rejected", "responded"})
PEOPLE_KEY = "said_by_people"
"""In ``additional_kwargs`` of a human message that a model wrote: what people said, which alone is trusted."""
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
    if memory := context.get("memory"):
        outputs.append(Said(memory, "memory", "remembered from other threads"))
    for message in messages:
        if isinstance(message, HumanMessage) and PEOPLE_KEY in message.additional_kwargs:
            said = HumanMessage(str(message.additional_kwargs[PEOPLE_KEY]), id=message.id)
            people.append(_parted(said.text)[0])
            outputs += [*_attached(said), Said(message.text, "a model", message.id or "")]
        elif isinstance(message, HumanMessage | SystemMessage):
            people.append(_parted(message.text)[0])
            outputs += _attached(message)
        elif isinstance(message, AIMessage) and EDIT_KEY in message.response_metadata:
            people += _edited(message)
        elif isinstance(message, AIMessage) and ELSEWHERE_KEY in message.response_metadata:
            outputs.append(Said(message.text, "an earlier run", message.id or ""))
        elif isinstance(message, ToolMessage):
            kind = message.additional_kwargs.get("kind")
            if kind in _PEOPLES_WORDS:
                people.append(message.text)
            elif kind not in _OWN_WORDS and message.name not in trusted:
                outputs.append(Said(text_by_tool(message), message.name or "a tool", message.id or ""))
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


def find_taint(sources: Sources, args: Mapping[str, Any]) -> list[Tainted]:
    """The arguments with a value out of untrusted output that nobody trusted has said, each once."""
    found: dict[str, Tainted] = {}
    for place, value in _leaves(args, ""):
        if place not in found and (copy := copied(value, reversed(sources.outputs), sources.trusted)):
            found[place] = Tainted(place, copy.part, copy.source.tool, copy.source.message)
    return list(found.values())


def _words_of_person(message: BaseMessage) -> str:
    if isinstance(message, HumanMessage):
        return str(message.additional_kwargs.get(PEOPLE_KEY, message.text))
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


def _attached(message: BaseMessage) -> list[Said]:
    """What goes with the words of a person and is not theirs: files; of images only that there are some."""
    name = message.id or ""
    found = [Said(text, source, name) for source, text in _parted(message.text)[1]]
    blocks = message.content if isinstance(message.content, list) else []
    unseen = [block for block in blocks if isinstance(block, dict) and block.get("type") != "text"]
    return [*found, *(Said("", "a file", name) for _ in unseen[:1])]


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
            own.append(text[done : begin.start()])
            marked.append((begin["source"], text[at:end]))
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
