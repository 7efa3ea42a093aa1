"""Checkpoints dropped out of a thread, and threads copied: what stays reads as it did, and the thread goes on."""

import operator
import random
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, RemoveMessage
from langchain_core.tools import tool
from langgraph.channels import DeltaChannel
from langgraph.graph import START, StateGraph
from langgraph.graph.message import MessagesState
from sqlalchemy import select
from threadmill.checkpoints.messages import Messages, merge_messages
from threadmill.checkpoints.prune import keep_only
from threadmill.checkpoints.reading import checkpoint_tree, latest_checkpoint, leaf_checkpoints
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import ThreadmillError
from threadmill.graphs import answer_thread, build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot


class Ours(TypedDict, total=False):
    """Our messages, and other channels beside them."""

    messages: Messages
    note: str
    tags: list[str]


class Often(TypedDict, total=False):
    """Messages that are stored whole after every second update."""

    messages: Annotated[list[Any], DeltaChannel(merge_messages, snapshot_frequency=2)]
    note: str
    tags: list[str]


class Never(TypedDict, total=False):
    """Messages that are deltas from beginning to end."""

    messages: Annotated[list[Any], DeltaChannel(merge_messages, snapshot_frequency=1000)]
    note: str
    tags: list[str]


class Plain(MessagesState, total=False):
    """Messages that are stored whole each time."""

    note: str
    tags: list[str]


def think(state: Any) -> dict[str, Any]:
    said = state["messages"]
    gone = [RemoveMessage(id=said[1].id)] if len(said) > 6 else []
    return {"messages": [*gone, AIMessage(f"{len(said)}: {said[-1].text}")], "tags": [*state.get("tags", []), "x"]}


def note(state: Any) -> dict[str, Any]:
    return {"note": f"after {len(state['messages'])}"}


def build(store: Store, state: Any) -> Any:
    graph = StateGraph(state)
    graph.add_node("think", think)
    graph.add_node("note", note)
    graph.add_edge(START, "think")
    graph.add_edge("think", "note")
    return graph.compile(checkpointer=store.saver)


def at(thread: str, checkpoint: str | None = None) -> Any:
    place = {"thread_id": thread, "checkpoint_ns": ""}
    return {"configurable": {**place, "checkpoint_id": checkpoint} if checkpoint else place}


def say(graph: Any, text: str, thread: str = "t") -> Any:
    return graph.invoke({"messages": [("human", text)]}, at(thread), durability="sync")


def grow(graph: Any) -> None:
    """A thread of eight turns with a fork, a second one in the fork, and an edit at the end."""
    for turn in range(6):
        say(graph, f"Turn {turn}.")
    old = list(graph.get_state_history(at("t")))[9]
    graph.update_state(old.config, {"messages": [("human", "Otherwise.")]}, as_node="think")
    graph.invoke(None, at("t"), durability="sync")
    say(graph, "In the fork.")
    last = graph.get_state(at("t")).values["messages"][-1]
    graph.update_state(at("t"), {"messages": [AIMessage("Edited.", id=last.id)]}, as_node="think")


def states(graph: Any, store: Store, thread: str = "t") -> dict[str, Any]:
    """Everything that LangGraph says of every checkpoint, but for its parent."""
    found = {}
    for node in checkpoint_tree(store, thread):
        state = graph.get_state(at(thread, node.checkpoint))
        tasks = [(task.id, task.name, task.interrupts, task.result) for task in state.tasks]
        found[node.checkpoint] = (state.values, state.next, tasks, state.metadata, state.created_at)
    return found


def unreferenced(store: Store) -> tuple[set[Any], int]:
    """Blobs (PostgreSQL) that no checkpoint refers to, and how many blobs there are."""
    blobs, table = store.tables.blobs, store.tables.checkpoints
    if blobs is None:
        return set(), 0
    rows = store.tables.read(select(table.c.thread_id, table.c.checkpoint_ns, table.c.checkpoint))
    used = {(thread, ns, *pair) for thread, ns, content in rows for pair in content["channel_versions"].items()}
    place = (blobs.c.thread_id, blobs.c.checkpoint_ns, blobs.c.channel, blobs.c.version)
    there = {tuple(row) for row in store.tables.read(select(*place))}
    return there - used, len(there)


def rows(store: Store) -> list[Any]:
    return [sorted(map(repr, store.tables.read(select(table)))) for table in store.tables.all]


@pytest.mark.parametrize("state", [Ours, Often, Never, Plain])
def test_what_is_kept_reads_as_before_and_the_thread_goes_on(url: str, state: Any):
    with open_store(url) as store:
        graph = build(store, state)
        grow(graph)
        before = states(graph, store)
        parents = {node.checkpoint: node.parent for node in checkpoint_tree(store, "t")}
        blobs_before = unreferenced(store)[1]
        chance = random.Random(7)
        keep = {*before}
        for count in (20, 9, 4, 1):  # again and again, of what is left
            keep = {*chance.sample(sorted(keep - {latest_checkpoint(store, "t")}), count - 1)}
            keep.add(latest_checkpoint(store, "t"))
            assert keep_only(store.saver, "t", {"": keep}) == len(before) - len(keep)
            before = {checkpoint: before[checkpoint] for checkpoint in before if checkpoint in keep}
            assert states(graph, store) == before
            for node in checkpoint_tree(store, "t"):
                above = parents[node.checkpoint]
                while above is not None and above not in keep:
                    above = parents[above]
                assert node.parent == above
            assert unreferenced(store)[0] == set()
        assert blobs_before == 0 or unreferenced(store)[1] < blobs_before
        length = len(graph.get_state(at("t")).values["messages"])
        say(graph, "More.")
        values = graph.get_state(at("t")).values
        assert values["messages"][-1].text == f"{length + 1}: More."
        assert len(list(graph.get_state_history(at("t")))) == 5


def test_every_branch_keeps_its_end(url: str):
    with open_store(url) as store:
        graph = build(store, Ours)
        grow(graph)
        leaves = leaf_checkpoints(store, "t")
        before = states(graph, store)
        assert len(leaves) == 2
        keep_only(store.saver, "t", {"": {*leaves}})
        assert states(graph, store) == {leaf: before[leaf] for leaf in leaves}
        assert leaf_checkpoints(store, "t") == leaves
        other = graph.update_state(at("t", leaves[0]), {"messages": [("human", "Here.")]}, as_node="note")
        texts = [message.text for message in graph.get_state(other).values["messages"]]
        assert texts == [*(message.text for message in before[leaves[0]][0]["messages"]), "Here."]


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def shop(store: Store) -> Any:
    call = {"name": "pay", "args": {"amount": 50}, "id": "c1"}

    def reply(messages: list[Any]) -> AIMessage:
        return AIMessage("", tool_calls=[call]) if "Pay" in messages[-1].text else AIMessage(messages[-1].text.upper())

    slot = Slot.fixed("shop.think", ScriptedModel(reply), "shop.think@0001")
    return build_react(slot, [pay], ask=lambda name, args: "money", name="shop").compile(checkpointer=store.saver)


@pytest.mark.parametrize("answer", [{"type": "approve"}, {"type": "edit", "args": {"amount": 5}}])
def test_a_question_can_be_answered_after_pruning(url: str, answer: dict[str, Any]):
    with open_store(url) as store:
        agent = shop(store)
        run_thread(agent, "t", "Hi.")
        assert run_thread(agent, "t", "Pay.").status == "paused"
        store.saver.copy_thread("t", "whole")
        before = states(agent, store)
        newest = latest_checkpoint(store, "t")
        store.saver.prune(["t"])
        assert states(agent, store) == {newest: before[newest]}
        for thread in ("t", "whole"):
            outcome = answer_thread(agent, thread, [{"id": "c1", "by": "eva", "at": "2026-11-21", **answer}])
            amount = answer.get("args", {"amount": 50})["amount"]
            assert (outcome.status, outcome.answer) == ("done", f"PAID {amount}")
        said = [[m.text for m in agent.get_state(at(thread)).values["messages"]] for thread in ("t", "whole")]
        assert said[0] == said[1]
        assert unreferenced(store)[0] == set()


def test_subgraphs_keep_what_they_are_told_to(url: str):
    with open_store(url) as store:
        inner = StateGraph(Ours)
        inner.add_node("think", think)
        inner.add_edge(START, "think")
        outer = StateGraph(Ours)
        outer.add_node("inner", inner.compile(checkpointer=True))
        outer.add_edge(START, "inner")
        graph = outer.compile(checkpointer=store.saver)
        for turn in range(3):
            say(graph, f"Turn {turn}.")
        before = [state.values for state in graph.get_state_history(at("t"))]
        remembered = graph.get_state({"configurable": {"thread_id": "t", "checkpoint_ns": "inner"}}).values
        store.saver.prune(["t"])
        assert [state.values for state in graph.get_state_history(at("t"))] == before[:1]
        assert graph.get_state({"configurable": {"thread_id": "t", "checkpoint_ns": "inner"}}).values == remembered
        say(graph, "More.")
        assert len(graph.get_state(at("t")).values["messages"]) > len(before[0]["messages"])
        keep_only(store.saver, "t", {"": {latest_checkpoint(store, "t")}})
        assert {ns for (ns,) in store.tables.read(select(store.tables.checkpoints.c.checkpoint_ns))} == {""}
        assert unreferenced(store)[0] == set()


class Steps(TypedDict, total=False):
    """A second channel that is stored as deltas, by a reducer that only this graph knows."""

    messages: Messages
    steps: Annotated[list[str], DeltaChannel(lambda state, writes: [*state, *writes], snapshot_frequency=50)]
    count: int


def test_a_delta_channel_that_is_not_messages_is_refused_before_anything_changes(url: str):
    with open_store(url) as store:
        graph = StateGraph(Steps)
        graph.add_node("think", lambda state: {"messages": [AIMessage("a")]})
        graph.add_node("step", lambda state: {"steps": "one"})
        graph.add_edge(START, "think")
        graph.add_edge("think", "step")
        agent: Any = graph.compile(checkpointer=store.saver)
        agent.invoke({"messages": ["Hi."]}, at("t"), durability="sync")
        before = rows(store)
        nodes = [node.checkpoint for node in checkpoint_tree(store, "t")]
        with pytest.raises(ThreadmillError, match="thread 't' keeps steps as deltas, which only its own graph can put"):
            keep_only(store.saver, "t", {"": {nodes[1], nodes[3]}})  # the first alone could be
        assert rows(store) == before
        keep_only(store.saver, "t", {"": {nodes[2]}})  # there the channel had not been written yet
        assert [message.text for message in agent.get_state(at("t")).values["messages"]] == ["Hi.", "a"]


def test_channels_that_were_never_written_are_no_obstacle(url: str):
    with open_store(url) as store:
        graph = StateGraph(Steps)
        graph.add_node("count", lambda state: {"count": 2})
        graph.add_edge(START, "count")
        agent = graph.compile(checkpointer=store.saver)
        agent.invoke({"count": 1}, at("t"), durability="sync")
        store.saver.prune(["t"])
        assert [state.values for state in agent.get_state_history(at("t"))] == [
            {"count": 2, "messages": [], "steps": []}
        ]


def test_pruning_an_encrypted_thread_keeps_it_readable(url: str, monkeypatch: pytest.MonkeyPatch):
    with open_store(url) as store:
        for turn in range(2):
            say(build(store, Ours), f"Turn {turn}.")
    monkeypatch.setenv("THREADMILL_KEY", "5e" * 32)
    with open_store(url) as store:
        graph = build(store, Ours)
        say(graph, "Sealed.")
        before = states(graph, store)
        keep = {*sorted(before)[1::3], latest_checkpoint(store, "t")}
        keep_only(store.saver, "t", {"": keep})
        assert states(graph, store) == {checkpoint: before[checkpoint] for checkpoint in sorted(keep)}


def test_nothing_to_drop_changes_nothing(url: str):
    with open_store(url) as store:
        graph = build(store, Ours)
        say(graph, "Hi.")
        before = rows(store)
        assert keep_only(store.saver, "t", {"": {*states(graph, store)}}) == 0
        assert keep_only(store.saver, "unknown", {"": {"x"}}) == 0
        assert rows(store) == before


@pytest.mark.parametrize("state", [Ours, Plain])
def test_a_copy_has_the_same_history_and_a_life_of_its_own(url: str, state: Any):
    with open_store(url) as store:
        graph = build(store, state)
        grow(graph)
        store.saver.copy_thread("t", "copy")
        before = states(graph, store)
        assert states(graph, store, "copy") == before
        tree = [operator.attrgetter("checkpoint", "parent")(node) for node in checkpoint_tree(store, "t")]
        assert [(node.checkpoint, node.parent) for node in checkpoint_tree(store, "copy")] == tree
        say(graph, "Only here.", "copy")
        assert states(graph, store) == before
        store.saver.delete_thread("t")
        assert graph.get_state(at("copy")).values["messages"][-1].text.endswith(": Only here.")
        assert len(checkpoint_tree(store, "copy")) == len(before) + 4
        assert unreferenced(store)[0] == set()


def test_a_copied_question_is_answered_in_each_thread_by_itself(url: str):
    with open_store(url) as store:
        agent = shop(store)
        run_thread(agent, "t", "Pay.")
        store.saver.copy_thread("t", "copy")
        assert answer_thread(agent, "copy", [{"id": "c1", "type": "approve"}]).answer == "PAID 50"
        assert answer_thread(agent, "t", [{"id": "c1", "type": "reject", "text": "no"}]).status == "done"
        assert [m.type for m in agent.get_state(at("copy")).values["messages"]] == ["human", "ai", "tool", "ai"]
