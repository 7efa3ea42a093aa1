"""What an agent remembers from other threads: looked up in LangGraph's store when a run begins, and kept for the run.

Memories were written by models and users, so they are data. The model writes one with the tool ``remember``.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.config import get_store
from langgraph.store.base import BaseStore, SearchItem
from langgraph.store.memory import InMemoryStore

from ..errors import BadMemory
from .hidden_text import show_hidden
from .marking import mark_as_data
from .traits import with_traits

HEADING = "What is remembered from earlier conversations:"


def last_question(messages: Sequence[BaseMessage]) -> str:
    """What the user said last."""
    return next((message.text for message in reversed(messages) if isinstance(message, HumanMessage)), "")


@dataclass(frozen=True, slots=True)
class Memory:
    """Which memories a run gets."""

    namespace: tuple[str, ...] = ("memories", "{user}")
    """Where they are; names in braces are those of ``config["configurable"]``."""
    query: Callable[[Sequence[BaseMessage]], str] = last_question
    """What to look for; a store without an index of meanings gives the newest instead."""
    limit: int = 5
    """How many, at least one."""

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise BadMemory(f"a limit of {self.limit} memories is none; give at least 1, or no memory at all")


def recall(memory: Memory, messages: Sequence[BaseMessage], config: RunnableConfig) -> str:
    """The memories for the run that begins with the last of ``messages``, for the system prompt; empty without any.

    Raises:
        BadMemory: the graph has no store, or the config does not say whose memories are wanted.
    """
    namespace = namespace_for(memory, config)
    found = _found(_store(), namespace, memory.query(messages) or None, memory.limit)
    if not found:
        return ""
    told = "\n".join(f"- {_text(item.value)}" for item in found)
    return f"{HEADING}\n{mark_as_data(told, '/'.join(namespace), 'memory')}"


def _found(store: BaseStore, namespace: tuple[str, ...], query: str | None, limit: int) -> list[SearchItem]:
    found = store.search(namespace, query=query, limit=limit)
    if not found or not isinstance(store, InMemoryStore) or any(item.score is not None for item in found):
        return found
    # LangGraph's databases give the newest; this one would give those that were there first, for ever.
    return sorted(store.search(namespace, limit=sys.maxsize), key=lambda item: item.updated_at)[-limit:]


def make_remember(memory: Memory) -> BaseTool:
    """The tool ``remember``: it writes a memory where ``memory`` finds it. The same call writes it once."""

    def remember(text: str, config: RunnableConfig) -> str:
        """Remember a fact about the user for later conversations."""
        configurable = config.get("configurable", {})
        shown = show_hidden(text)  # as it will be told; and not every database can hold all characters
        key = configurable.get("idempotency_key") or sha256(shown.encode()).hexdigest()[:32]
        value = {"text": shown, "thread": str(configurable.get("thread_id", ""))}
        _store().put(namespace_for(memory, config), str(key), value)
        return "remembered"

    return with_traits(StructuredTool.from_function(remember, name="remember"), trusted=True, idempotent=True)


def namespace_for(memory: Memory, config: RunnableConfig) -> tuple[str, ...]:
    """The namespace with the names filled in. Stores forbid dots in it, so they are written ``%2E``.

    >>> namespace_for(Memory(), {"configurable": {"user": "ann@shop.org"}})
    ('memories', 'ann@shop%2Eorg')

    Raises:
        BadMemory: a name is missing.
    """
    return tuple(re.sub(r"{(\w+)}", lambda name: _named(name[1], memory, config), part) for part in memory.namespace)


def _named(name: str, memory: Memory, config: RunnableConfig) -> str:
    configurable: Mapping[str, Any] = config.get("configurable", {})
    value = str(configurable.get(name, ""))
    if not value:
        raise BadMemory(
            f"memories are kept under {'/'.join(memory.namespace)}, but the run does not say which {name!r} it is for; "
            f'give configurable={{"{name}": …}}, or --set {name}=NAME to a command'
        )
    return as_label(value)


def as_label(name: str) -> str:
    """``name`` as it stands in a namespace, where LangGraph's stores forbid dots."""
    return name.replace("%", "%25").replace(".", "%2E")


def _store() -> BaseStore:
    store: BaseStore | None = get_store()
    if store is None:
        raise BadMemory("the graph has no store to remember in; compile it with store=, such as InMemoryStore()")
    return store


def _text(value: Mapping[str, Any]) -> str:
    text = value.get("text", value.get("content"))
    return text if isinstance(text, str) else json.dumps(value, ensure_ascii=False, default=str)
