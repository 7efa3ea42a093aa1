"""How the `messages` channel is stored: when it writes the whole list again, and that this changes nothing."""

from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.messages import HumanMessage
from langgraph.graph import START, StateGraph
from threadmill.checkpoints import open_store
from threadmill.checkpoints.messages import Messages


class State(TypedDict):
    messages: Messages


def test_the_whole_list_is_stored_again_at_growing_distances_and_every_checkpoint_reads_the_same(tmp_path: Path):
    builder = StateGraph(State)
    builder.add_node("listen", lambda state: {})
    builder.add_edge(START, "listen")
    config: Any = {"configurable": {"thread_id": "t"}}
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        graph = builder.compile(checkpointer=store.saver)
        for number in range(100):
            graph.invoke({"messages": [HumanMessage(str(number))]}, config, durability="sync")
        history = [*graph.get_state_history(config)][::-1]
        stored = [found.checkpoint["channel_values"].get("messages") for found in store.saver.list(config)][::-1]
    texts = [[message.text for message in state.values.get("messages", [])] for state in history]
    assert texts[0] == []
    assert texts[-1] == [str(number) for number in range(100)]
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(texts))
    sizes = [len(whole.value) for whole in stored if whole is not None]
    assert sizes == [4, 8, 12, 16, 20, 24, 28, 32, 36, 41, 46, 52, 59, 67, 76, 86, 98]
