"""Which node wrote a message: the slot of its version, or LangGraph's record of the task, says so."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage

from .bulk_rows import Place, Write
from .rows import place_of
from .store import Store
from .typed import Packed, bare, unpack

PULLED = "~__pregel_pull, "
PUSHED = "~__pregel_push, "
TASKS = "__pregel_tasks"
OBJECT = 5
"""LangGraph's code in msgpack for a message, or another object of Pydantic's."""


class _Spoken(NamedTuple):
    """What is needed of a stored message of a model."""

    id: str | None
    content: Any
    calls: Sequence[Mapping[str, Any]]

    @property
    def key(self) -> str:
        """Tells it from others while it has no id."""
        return json.dumps([self.content, [call["id"] for call in self.calls]], default=str)


def slots_noted(messages: Sequence[BaseMessage], metadata: Mapping[str, Any]) -> dict[str, str]:
    """Message of a model to its slot, by what the message says of the version that spoke.

    A version is called ``<agent>.<node>@<number>``; others are looked up among the slots in the checkpoint's
    ``metadata``, and where several have that version, the node says which it is.

    >>> slots_noted([AIMessage("Hi.", id="a", response_metadata={"version": "helpdesk.think@0003"})], {})
    {'a': 'helpdesk.think'}
    """
    slots = metadata.get("versions")
    named = slots if isinstance(slots, Mapping) else {}
    found = {}
    for message in messages:
        if not isinstance(message, AIMessage) or message.id is None:
            continue
        noted = message.response_metadata
        trace = noted.get("trace")
        version = (trace.get("version") if isinstance(trace, Mapping) else None) or noted.get("version")
        slot, at, _ = version.partition("@") if isinstance(version, str) else ("", "", "")
        fitting = [slot] if at else [name for name, live in named.items() if live == version]
        if len(fitting) > 1:
            fitting = [name for name in fitting if name.rpartition(".")[2] == noted.get("node")]
        if len(fitting) == 1 and "." in fitting[0]:
            found[message.id] = fitting[0]
    return found


def writers_noted(messages: Sequence[BaseMessage], metadata: Mapping[str, Any]) -> dict[str, str]:
    """Message of a model to its node, which is the last part of its slot's name.

    >>> writers_noted([AIMessage("Hi.", id="a", response_metadata={"version": "helpdesk.think@0003"})], {})
    {'a': 'think'}
    """
    return {message: slot.rpartition(".")[2] for message, slot in slots_noted(messages, metadata).items()}


def writers_logged(store: Store, log: Iterable[Write], messages: Sequence[BaseMessage]) -> dict[str, str]:
    """Message of a model to its node, by the tasks that wrote it; ``log`` is one namespace's, oldest first.

    A node that hands on what a subgraph said counts as its writer, and so does the first of several.
    """
    by_id: dict[str, str] = {}
    by_text: dict[str, list[str]] = {}
    for write in log:
        spoken = list(_spoken(store, write))
        node = _node(store, write) if spoken else None
        if node is None:
            continue
        for one in spoken:
            if one.id is not None:
                by_id.setdefault(one.id, node)
            else:
                by_text.setdefault(one.key, []).append(node)
    found = {}
    for message in messages:
        if isinstance(message, AIMessage) and message.id is not None:
            node = by_id.get(message.id)
            if node is None and by_text:
                unnamed = by_text.get(_Spoken(None, message.content, message.tool_calls).key)
                node = unnamed.pop(0) if unnamed else None
            if node is not None:
                found[message.id] = node
    return found


def _node(store: Store, write: Write) -> str | None:
    """The node of the task; None if nobody knows, or if it was the input."""
    if write.task_path.startswith(PULLED):
        name = write.task_path.removeprefix(PULLED)
        return None if name == "__start__" else name
    if write.task_path.startswith(PUSHED):
        return _sent_to(store, write.place, write.task_path.removeprefix(PUSHED).partition(",")[0])
    return None


def _sent_to(store: Store, place: Place, number: str) -> str | None:
    """The node of the ``Send`` with that number."""
    found = store.reader.get_tuple(place_of(place.thread, place.checkpoint, place.namespace))
    sends = found.checkpoint["channel_values"].get(TASKS, ()) if found else ()
    return getattr(sends[int(number)], "node", None) if number.isdecimal() and int(number) < len(sends) else None


def _spoken(store: Store, write: Write) -> Iterator[_Spoken]:
    """The messages of models in what was written, read no further than needed."""
    kind, content = bare(store.serde, (write.kind, write.content))
    if kind == "msgpack" and b"AIMessage" not in content:
        return
    value = unpack(content) if kind == "msgpack" else store.serde.loads_typed((kind, content))
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, AIMessage):
            yield _Spoken(one.id, one.content, one.tool_calls)
        elif isinstance(one, Packed) and one.code == OBJECT:
            _, kind, fields, *_ = unpack(one.content)
            if kind in ("AIMessage", "AIMessageChunk") and isinstance(fields, dict):
                yield _Spoken(fields.get("id"), fields.get("content"), fields.get("tool_calls", ()))
