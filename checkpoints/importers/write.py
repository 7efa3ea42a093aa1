"""Write a record as a real thread: one checkpoint for each message, and its labels when it is complete."""

from collections import deque
from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from ..labels import Label, add_labels
from ..messages import Messages
from ..store import Store
from .record import Record


class _State(TypedDict, total=False):
    messages: Messages
    versions: dict[str, str]


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


def write_record(store: Store, replay: Any, record: Record, source: str, format: str) -> int:
    """Write the thread, then its labels; how many labels. A half-written thread is begun anew."""
    store.saver.delete_thread(record.thread)
    first, *left = record.messages
    metadata = {
        "agent": record.agent,
        "task": record.task,
        "trial": record.trial,
        "model": record.model,
        "source_file": source,
        "format": format,
    }
    replay.invoke(
        {"messages": [first], "versions": {}},
        {"configurable": {"thread_id": record.thread, "left": deque(left)}, "metadata": metadata},
        durability="sync",
    )
    labels = [Label(record.thread, None, message, "reward", value, format) for message, value in record.turn_rewards]
    labels.append(Label(record.thread, None, None, "reward", record.reward, format))
    labels.append(Label(record.thread, None, None, "success", float(record.reward == 1.0), format))
    add_labels(store, labels)
    return len(labels)
