"""Looking at threads: how they stand, who spoke, what they ask, and the tree of their checkpoints."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from threadmill.checkpoints.labels import Label, add_label
from threadmill.checkpoints.reading import (
    checkpoint_tree,
    latest_checkpoint,
    latest_metadata,
    leaf_checkpoints,
    read_messages,
    read_questions,
)
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import UnknownThread
from threadmill.graphs import answer_thread, build_react, run_thread
from threadmill.graphs.state import AgentState
from threadmill.nodes import ScriptedModel, Slot


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


PAY = AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": 300}, "id": "c1"}])


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as store:
        yield store


def bank(store: Store, *replies: AIMessage, name: str = "bank", version: str = "bank.think@0001") -> Any:
    slot = Slot.fixed("bank.think", ScriptedModel(replies), version)
    graph = build_react(slot, [pay], name=name, ask=lambda tool, args: "it is money")
    return graph.compile(checkpointer=store.saver)


def breaks(messages: list[BaseMessage]) -> AIMessage:
    raise RuntimeError("the model broke")


def texts(messages: list[Any]) -> list[tuple[str, str]]:
    return [(message.type, message.text) for message in messages]


def test_a_finished_thread(store: Store):
    run_thread(bank(store, AIMessage("Done.")), "t", "Hi.", metadata={"task": "t7"})
    label = Label("t", None, None, "success", 1.0, "check")
    add_label(store, label)
    (thread,) = list_threads(store)
    assert (thread.thread, thread.agent, thread.task, thread.status) == ("t", "bank", "t7", "done")
    assert (thread.turns, thread.versions, thread.labels) == (1, ("bank.think@0001",), (label,))
    assert read_questions(store, "t") == []


def test_a_paused_thread_asks_until_it_is_answered(store: Store):
    graph = bank(store, PAY, AIMessage("Done."))
    run_thread(graph, "t", "Pay.")
    assert [(thread.status, thread.turns) for thread in list_threads(store)] == [("paused", 1)]
    (question,) = read_questions(store, "t")
    assert (question["id"], question["tool"], question["args"]) == ("c1", "pay", {"amount": 300})
    assert question["why"] == "it is money"
    answer_thread(graph, "t", [{"id": "c1", "type": "approve"}])
    assert [(thread.status, thread.turns) for thread in list_threads(store)] == [("done", 2)]
    assert read_questions(store, "t") == []
    said = [("human", "Pay."), ("ai", ""), ("tool", "paid 300"), ("ai", "Done.")]
    assert texts(read_messages(store, "t")) == said


def test_an_edited_call_keeps_its_turn(store: Store):
    graph = bank(store, PAY, AIMessage("Done."))
    run_thread(graph, "t", "Pay.")
    answer_thread(graph, "t", [{"id": "c1", "type": "edit", "args": {"amount": 60}, "by": "ann"}])
    messages = read_messages(store, "t")
    assert texts(messages) == [("human", "Pay."), ("ai", ""), ("tool", "paid 60"), ("ai", "Done.")]
    assert isinstance(messages[1], AIMessage)
    assert messages[1].tool_calls[0]["args"] == {"amount": 60}
    assert messages[1].response_metadata["edit"]["proposal"]["tool_calls"][0]["args"] == {"amount": 300}
    assert [thread.turns for thread in list_threads(store)] == [2]


def test_a_thread_whose_model_broke_has_failed(store: Store):
    slot = Slot.fixed("bank.think", ScriptedModel(breaks), "bank.think@0001")
    with pytest.raises(RuntimeError, match="the model broke"):
        run_thread(build_react(slot, [pay]).compile(checkpointer=store.saver), "t", "Hi.")
    assert [(thread.status, thread.turns) for thread in list_threads(store)] == [("failed", 0)]


def test_a_thread_stopped_between_its_steps_is_running(store: Store):
    graph = bank(store, AIMessage("Done."))
    place: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"messages": [("human", "Hi.")]}, place, durability="sync", interrupt_before=["think"])
    assert [(thread.status, thread.turns) for thread in list_threads(store)] == [("running", 0)]


def test_a_thread_names_every_version_that_spoke(store: Store):
    run_thread(bank(store, AIMessage("One."), version="bank.think@0001"), "t", "Hi.")
    run_thread(bank(store, AIMessage("Two."), version="bank.think@0002"), "t", "And?")
    (thread,) = list_threads(store)
    assert (thread.turns, thread.versions) == (2, ("bank.think@0001", "bank.think@0002"))
    assert latest_metadata(store, "t")["versions"] == {"bank.think": "bank.think@0002"}


def test_threads_are_filtered_and_counted_off(store: Store):
    for thread, name, task, reply in (
        ("a", "bank", "t1", AIMessage("Done.")),
        ("b", "bank", "t2", PAY),
        ("c", "shop", "t1", AIMessage("Done.")),
    ):
        run_thread(bank(store, reply, name=name), thread, "Hi.", metadata={"task": task})

    def ids(**which: Any) -> list[str]:
        return [thread.thread for thread in list_threads(store, **which)]

    assert ids() == ["a", "b", "c"]
    assert ids(agent="bank") == ["a", "b"]
    assert ids(task="t1") == ["a", "c"]
    assert ids(status="paused") == ["b"]
    assert ids(agent="bank", status="done") == ["a"]
    assert ids(limit=2) == ["a", "b"]
    assert ids(limit=2, offset=2) == ["c"]
    assert ids(agent="x' OR '1'='1") == []


def test_messages_as_they_stood_at_every_checkpoint(store: Store):
    run_thread(bank(store, AIMessage("One."), AIMessage("Two.")), "t", "Hi.")
    nodes = checkpoint_tree(store, "t")
    assert [(node.step, node.source) for node in nodes] == [(-1, "input"), (0, "loop"), (1, "loop"), (2, "loop")]
    assert [node.parent for node in nodes] == [None, *[node.checkpoint for node in nodes[:-1]]]
    assert [len(read_messages(store, "t", node.checkpoint)) for node in nodes] == [0, 1, 1, 2]
    assert latest_checkpoint(store, "t") == nodes[-1].checkpoint
    assert leaf_checkpoints(store, "t") == [nodes[-1].checkpoint]


def test_a_fork_adds_a_leaf_with_its_own_end(store: Store):
    graph = bank(store, AIMessage("One."), AIMessage("Two."))
    run_thread(graph, "t", "Hi.")
    before_think = checkpoint_tree(store, "t")[2].checkpoint
    graph.invoke(None, {"configurable": {"thread_id": "t", "checkpoint_id": before_think}}, durability="sync")
    ends = [texts(read_messages(store, "t", leaf))[-1] for leaf in leaf_checkpoints(store, "t")]
    assert ends == [("ai", "One."), ("ai", "Two.")]
    assert [thread.turns for thread in list_threads(store)] == [2]


def test_an_unknown_thread_says_where_it_looked(store: Store):
    says = rf"thread 'x7' has no checkpoints in {re.escape(store.name)}; try `threadmill threads list`"
    for look in (read_messages, read_questions, latest_metadata, latest_checkpoint, checkpoint_tree, leaf_checkpoints):
        with pytest.raises(UnknownThread, match=says):
            look(store, "x7")
    run_thread(bank(store, AIMessage("One.")), "t", "Hi.")
    with pytest.raises(UnknownThread, match="thread 't' has no checkpoint 'c9'"):
        read_messages(store, "t", "c9")
    assert list_threads(store, agent="nobody") == []


def test_a_thread_stopped_where_branches_join_is_running(store: Store):
    builder = StateGraph(AgentState)
    for name in ("left", "right", "both"):
        builder.add_node(name, lambda state: {"messages": []})
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge(["left", "right"], "both")
    place: Any = {"configurable": {"thread_id": "t"}}
    builder.compile(checkpointer=store.saver, interrupt_before=["both"]).invoke({"messages": []}, place)
    assert [thread.status for thread in list_threads(store)] == ["running"]
    builder.compile(checkpointer=store.saver).invoke(None, place)
    assert [thread.status for thread in list_threads(store)] == ["done"]
