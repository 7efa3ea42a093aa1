"""A copy of a thread: all that the thread has, and a life of its own."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from threadmill.checkpoints.copies import copy_thread
from threadmill.checkpoints.labels import Label, add_label, add_labels, labels_of
from threadmill.checkpoints.reading import checkpoint_tree, read_messages, read_questions
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadImport, ReadOnly, ThreadBusy, UnknownThread
from threadmill.graphs import answer_thread, build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def bank(store: Store) -> Any:
    def teller(messages: list[Any]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(f"Done: {messages[-1].text}")
        return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": 300}, "id": "c1"}])

    slot = Slot.fixed("bank.think", ScriptedModel(teller), "bank.think@0001")
    return build_react(slot, [pay], name="bank", ask=lambda name, args: "it is money").compile(checkpointer=store.saver)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


def history(graph: Any, thread: str) -> list[Any]:
    states = graph.get_state_history({"configurable": {"thread_id": thread}})
    return [(state.values, state.next, state.metadata, state.interrupts, state.created_at) for state in states]


def test_a_copy_is_paused_and_labelled_as_the_thread_is_and_goes_its_own_way(store: Store):
    graph = bank(store)
    run_thread(graph, "a", "Pay.")
    add_labels(store, [Label("a", None, None, "reward", 0.5, "ann"), Label("a", "c", "m", "feedback", "slow", "bob")])
    copy_thread(store, "a", "b")
    assert history(graph, "b") == history(graph, "a")
    assert checkpoint_tree(store, "b") == checkpoint_tree(store, "a")
    assert [(label.kind, label.value, label.source) for label in labels_of(store)["b"]] == [
        ("reward", 0.5, "ann"),
        ("feedback", "slow", "bob"),
    ]
    (question,) = read_questions(store, "b")
    answer_thread(graph, "b", [{"id": question["id"], "type": "approve"}])
    add_label(store, Label("b", None, None, "success", 1, "ann"))
    assert [message.text for message in read_messages(store, "b")] == ["Pay.", "", "paid 300", "Done: paid 300"]
    assert [message.text for message in read_messages(store, "a")] == ["Pay.", ""]
    assert read_questions(store, "a") == [question]
    store.saver.delete_thread("a")
    assert len(read_messages(store, "b")) == 4


def test_copies_that_cannot_be_made_change_nothing(store: Store):
    run_thread(bank(store), "a", "Pay.")
    copy_thread(store, "a", "b")
    before = history(bank(store), "b")
    add_label(store, Label("only-labels", None, None, "reward", 1, "ann"))
    for target in ("a", "b", "only-labels"):
        with pytest.raises(BadImport, match=rf"there is a thread '{target}' in .*; name another id for the copy"):
            copy_thread(store, "a", target)
    with pytest.raises(UnknownThread, match="thread 'x7' has no checkpoints"):
        copy_thread(store, "x7", "c")
    with store.leases.hold("c"), pytest.raises(ThreadBusy):
        copy_thread(store, "a", "c")
    assert history(bank(store), "b") == before
    assert history(bank(store), "c") == []
    with open_store(store.url, read_only=True) as reader, pytest.raises(ReadOnly):
        copy_thread(reader, "a", "c")
