"""Graphs with subgraphs: forked at the thread's own checkpoints, refused where LangGraph could not go back."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from threadmill.checkpoints.reading import checkpoint_tree, leaf_checkpoints, list_namespaces, read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import CannotTravel
from threadmill.graphs import build_react, continue_thread, run_thread
from threadmill.graphs.recorded import replay_recorded
from threadmill.graphs.state import AgentState
from threadmill.graphs.travel import fork_thread, replay_thread
from threadmill.nodes import ScriptedModel, Slot

DONE: list[int] = []


@tool
def pay(amount: int) -> str:
    """Pay."""
    DONE.append(amount)
    return f"paid {amount}"


def cashier(messages: list[BaseMessage]) -> AIMessage:
    if isinstance(messages[-1], HumanMessage):
        amount = int(messages[-1].text.split()[-1])
        return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": amount}, "id": f"c{len(messages)}"}])
    return AIMessage(f"Done: {messages[-1].text}")


def shop(store: Store, *, remembers: bool = False) -> Any:
    """A graph that hands over to an agent as its only node's subgraph."""
    inner = build_react(Slot.fixed("shop.think", ScriptedModel(cashier), "shop.think@0001"), [pay], name="cashier")
    graph = StateGraph(AgentState)
    graph.add_node("cashier", inner.compile(checkpointer=True if remembers else None))
    graph.add_edge(START, "cashier")
    graph.add_edge("cashier", END)
    return graph.compile(checkpointer=store.saver, name="shop")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    DONE.clear()
    with open_store(url) as opened:
        yield opened


def before_cashier(store: Store) -> str:
    """The thread's own checkpoint at which the first user turn stands and the subgraph is next."""
    return next(node.checkpoint for node in checkpoint_tree(store, "t") if node.step == 0)


def test_a_fork_before_a_subgraph_runs_the_subgraph_again_from_its_start(store: Store) -> None:
    graph = shop(store)
    assert run_thread(graph, "t", "Pay 5").answer == "Done: paid 5"
    human = read_messages(store, "t", before_cashier(store))[0]
    fork_thread(graph, "t", before_cashier(store), message=HumanMessage("Pay 7", id=human.id))
    assert continue_thread(graph, "t").answer == "Done: paid 7"
    assert DONE == [5, 7]
    assert len(leaf_checkpoints(store, "t")) == 2
    texts = [[m.text for m in read_messages(store, "t", leaf)] for leaf in leaf_checkpoints(store, "t")]
    assert texts == [["Pay 5", "", "paid 5", "Done: paid 5"], ["Pay 7", "", "paid 7", "Done: paid 7"]]


def test_a_live_replay_before_a_subgraph_acts_again(store: Store) -> None:
    graph = shop(store)
    run_thread(graph, "t", "Pay 5")
    assert replay_thread(graph, "t", before_cashier(store)).divergence is None
    assert DONE == [5, 5]


def test_a_recorded_replay_goes_through_a_subgraph_of_our_nodes_and_executes_nothing(store: Store) -> None:
    graph = shop(store)
    run_thread(graph, "t", "Pay 5")
    (old,) = leaf_checkpoints(store, "t")
    replay = replay_recorded(graph, "t", before_cashier(store))
    assert (replay.divergence, replay.outcome.status) == (None, "done")
    assert DONE == [5]
    assert [m.text for m in read_messages(store, "t", replay.checkpoint)] == ["Pay 5", "", "paid 5", "Done: paid 5"]
    assert [m.text for m in read_messages(store, "t", old)] == ["Pay 5", "", "paid 5", "Done: paid 5"]


def test_a_checkpoint_inside_a_subgraph_is_refused_by_name(store: Store) -> None:
    graph = shop(store)
    run_thread(graph, "t", "Pay 5")
    (namespace,) = list_namespaces(store, "t")
    inside = checkpoint_tree(store, "t", namespace=namespace)[2].checkpoint
    for travel in (fork_thread, replay_thread, replay_recorded):
        with pytest.raises(CannotTravel, match=r"lies inside the subgraph cashier:.*at the thread's own checkpoint"):
            travel(graph, "t", inside)


def test_a_subgraph_with_a_memory_of_its_own_is_refused(store: Store) -> None:
    graph = shop(store, remembers=True)
    run_thread(graph, "t", "Pay 5")
    for travel in (fork_thread, replay_thread):
        with pytest.raises(CannotTravel, match=r"the subgraph cashier, which keeps a state of its own"):
            travel(graph, "t", before_cashier(store))
    assert DONE == [5]
