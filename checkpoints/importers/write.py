"""Write a record as a real thread: one checkpoint for each message, and its labels when it is complete."""

import json
from collections import deque
from hashlib import sha256
from typing import Any, TypedDict

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from ...errors import UnknownThread
from ..labels import Label, add_labels, labels_of
from ..messages import Messages
from ..reading import latest_metadata
from ..store import Store
from .record import CANNED_KEY, TOOLS_KEY, BadRow, Record


class _State(TypedDict, total=False):
    messages: Messages
    versions: dict[str, str]


class Writer:
    """Writes the records of an import, each as a thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._replay = build_replay(store)

    def write(self, record: Record, source: str, format: str) -> int | None:
        """Write the thread, then its labels: how many; None if it is there already. What is half-written is begun anew.

        Raises:
            BadRow: there is another run under the same id.
        """
        labels = _labels(record, format)
        messages = note_tools(record)
        digest = digest_of_run(record, messages)
        try:
            known = latest_metadata(self._store, record.thread)
        except UnknownThread:
            known = None
        if known is not None and (not labels or labels_of(self._store, [record.thread])):
            if known.get("digest", digest) != digest:
                raise BadRow(
                    f"thread {record.thread!r} is there already, with other content (from {known.get('source_file')}); "
                    "if both are to be kept, rename the file so that it names the model"
                )
            return None
        self._store.saver.delete_thread(record.thread)
        first, *left = messages
        about = {"agent": record.agent, "task": record.task, "trial": record.trial, "model": record.model}
        about |= {"source_file": source, "format": format, "digest": digest, **record.metadata}
        self._replay.invoke(
            {"messages": [first], "versions": {}},
            {
                "configurable": {"thread_id": record.thread, "left": deque(left)},
                "metadata": {key: value for key, value in about.items() if value is not None},
            },
            durability="sync",
        )
        add_labels(self._store, labels)
        return len(labels)


def note_tools(record: Record) -> list[BaseMessage]:
    """The messages of ``record``, the first answer of a model with the schemas of its tools."""
    messages = list(record.messages)
    for place, message in enumerate(messages):
        if isinstance(message, AIMessage) and not message.response_metadata.get(CANNED_KEY) and record.tools:
            noted = {**message.response_metadata, TOOLS_KEY: list(record.tools)}
            messages[place] = message.model_copy(update={"response_metadata": noted})
            break
    return messages


def digest_of_run(record: Record, messages: list[BaseMessage]) -> str:
    """The same for the same run, whichever file it comes from."""
    held = [message.model_dump(mode="json") for message in messages]
    outcome = [record.reward, record.success, record.turn_rewards, record.labels]
    return sha256(json.dumps([held, outcome], sort_keys=True).encode()).hexdigest()[:16]


def _labels(record: Record, format: str) -> list[Label]:
    said = [(message, "reward", value) for message, value in record.turn_rewards] + [*record.labels]
    if record.reward is not None:
        said.append((None, "reward", record.reward))
    success = record.success
    if success is None and record.reward is not None:
        success = float(record.reward == 1.0)
    if success is not None:
        said.append((None, "success", success))
    return [Label(record.thread, None, message, kind, value, format) for message, kind, value in said]


def build_replay(store: Store) -> Any:
    """A graph that says what is left in ``configurable["left"]``, a message a step."""

    def imported(state: _State, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [config.get("configurable", {})["left"].popleft()]}

    def more(state: _State, config: RunnableConfig) -> bool:
        return bool(config.get("configurable", {})["left"])

    graph = StateGraph(_State)
    graph.add_node("imported", imported)
    graph.add_conditional_edges(START, more, {True: "imported", False: END})
    graph.add_conditional_edges("imported", more, {True: "imported", False: END})
    return graph.compile(checkpointer=store.saver)
