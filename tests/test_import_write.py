"""Imported threads are stored as a graph would have left them, and a graph goes on from them."""

import json
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from threadmill.checkpoints.importers import import_files
from threadmill.checkpoints.importers.record import BadRow, Record
from threadmill.checkpoints.importers.write import write_record
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.messages import Messages
from threadmill.checkpoints.reading import checkpoint_tree, read_messages
from threadmill.checkpoints.store import Store
from threadmill.checkpoints.threads import list_threads
from threadmill.training.branches import read_branches


class State(TypedDict, total=False):
    messages: Messages
    versions: dict[str, str]


def build_replay(store: Store) -> Any:
    """A graph whose node ``imported`` says what is left, a message a step."""
    left: deque[BaseMessage] = deque()
    graph = StateGraph(State)
    graph.add_node("imported", lambda state: {"messages": [left.popleft()]})
    graph.add_conditional_edges(START, lambda state: bool(left), {True: "imported", False: END})
    graph.add_conditional_edges("imported", lambda state: bool(left), {True: "imported", False: END})
    return graph.compile(checkpointer=store.saver), left


def talk(length: int) -> tuple[BaseMessage, ...]:
    kinds = (HumanMessage, AIMessage)
    return tuple(kinds[place % 2](f"word {place}", id=f"m{place}") for place in range(length))


def skeleton(store: Store, thread: str) -> list[Any]:
    """All that is stored of a thread, without ids, times and the edges that the graph took."""
    rows: list[Any] = []
    for found in reversed([*store.saver.list({"configurable": {"thread_id": thread, "checkpoint_ns": ""}})]):
        values = {k: v for k, v in found.checkpoint["channel_values"].items() if not k.startswith("branch:")}
        versions = {k for k in found.checkpoint["channel_versions"] if not k.startswith("branch:")}
        writes = [(channel, value) for _, channel, value in found.pending_writes or [] if "branch:" not in channel]
        updated = [k for k in found.checkpoint.get("updated_channels") or [] if not k.startswith("branch:")]
        rows.append((dict(found.metadata), values, versions, writes, set(updated)))
    return rows


@pytest.mark.parametrize("length", [1, 2, 40])
def test_an_imported_thread_is_stored_as_a_graph_would_have_left_it(store: Store, length: int) -> None:
    said = talk(length)
    write_record(store, Record(thread="written", agent="a", messages=said), "f:1", "tau2")
    replay, left = build_replay(store)
    left.extend(said[1:])
    noted = {"agent": "a", "source_file": "f:1", "format": "tau2", "digest": skeleton(store, "written")[0][0]["digest"]}
    replay.invoke(
        {"messages": [said[0]], "versions": {}},
        {"configurable": {"thread_id": "run"}, "metadata": noted},
        durability="sync",
    )
    written, run = skeleton(store, "written"), skeleton(store, "run")
    assert [row[:4] for row in written] == [row[:4] for row in run]
    for node, other in zip(checkpoint_tree(store, "written"), checkpoint_tree(store, "run"), strict=True):
        assert read_messages(store, "written", node.checkpoint) == read_messages(store, "run", other.checkpoint)


def test_a_graph_goes_on_from_an_imported_thread_and_forks_it(store: Store) -> None:
    write_record(store, Record(thread="t", agent="a", messages=talk(11)), "f:1", "tau2")
    graph, left = build_replay(store)
    left.append(AIMessage("new", id="new"))
    graph.invoke({"messages": [HumanMessage("more", id="more")]}, {"configurable": {"thread_id": "t"}})
    assert [m.id for m in read_messages(store, "t")] == [f"m{place}" for place in range(11)] + ["more", "new"]
    early = checkpoint_tree(store, "t")[3]
    place = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": early.checkpoint}}
    graph.update_state(place, {"messages": [AIMessage("else", id="else")]}, as_node="imported")
    assert [m.id for m in read_messages(store, "t")] == ["m0", "m1", "m2", "else"]


PATHS = Record(
    thread="search",
    agent="a",
    task="find",
    messages=(
        HumanMessage("Find it.", id="ask"),
        AIMessage("", id="look", tool_calls=[{"name": "look", "args": {}, "id": "c0"}]),
        ToolMessage("nothing", id="seen", tool_call_id="c0"),
        AIMessage("I give up.", id="up"),
        AIMessage("Once more.", id="more", tool_calls=[{"name": "look", "args": {"again": True}, "id": "c1"}]),
        ToolMessage("here", id="found", tool_call_id="c1"),
        AIMessage("It is here.", id="done"),
        AIMessage("I guess.", id="guess"),
    ),
    parents=(-1, 0, 1, 2, 2, 4, 5, 0),
    success=1.0,
    endings=(("up", "success", 0.0), ("done", "success", 1.0), ("guess", "success", 0.0)),
    tools=({"type": "function", "function": {"name": "look", "description": "", "parameters": {"type": "object"}}},),
)


def test_the_paths_of_a_search_are_branches_with_outcomes_of_their_own(store: Store) -> None:
    assert write_record(store, PATHS, "f:1", "toolbench") == 4
    branches = read_branches(store, "search", task="find", labels=labels_of(store)["search"], renderer=None)
    assert [([m.id for m in branch.messages], branch.outcome.success) for branch in branches] == [
        (["ask", "look", "seen", "up"], False),
        (["ask", "look", "seen", "more", "found", "done"], True),
        (["ask", "guess"], False),
    ]
    assert [[tool["function"]["name"] for tool in branch.tools] for branch in branches] == [["look"]] * 3
    noted = [m.id for branch in branches for m in branch.messages if "tools" in m.response_metadata]
    assert noted == ["look", "look", "guess"]
    assert [thread.status for thread in list_threads(store)] == ["done"]


def test_long_paths_share_their_beginning_and_keep_their_own_ends(store: Store) -> None:
    """Far enough for snapshots on either side of where they part."""
    trunk, one, other = talk(20), talk(50)[20:], [m.model_copy(update={"id": f"x{m.id}"}) for m in talk(60)[20:]]
    parents = [*range(-1, 19), *range(19, 49), 19, *range(50, 89)]
    record = Record(thread="t", agent="a", messages=(*trunk, *one, *other), parents=tuple(parents))
    write_record(store, record, "f:1", "toolbench")
    branches = read_branches(store, "t", task=None, labels=[], renderer=None)
    assert [list(branch.messages) for branch in branches] == [[*trunk, *one], [*trunk, *other]]


def test_another_run_under_the_same_id_is_set_aside_and_the_same_is_there_already(store: Store) -> None:
    record = Record(thread="t", agent="a", messages=talk(3), reward=1.0)
    assert write_record(store, record, "one.jsonl:1", "tau-bench") == 2
    assert write_record(store, replace(record, metadata={"seed": 1}), "two.jsonl:4", "tau-bench") is None
    with pytest.raises(BadRow, match=r"^there is a thread 't' with another content already, from one[.]jsonl:1; "):
        write_record(store, replace(record, messages=talk(4)), "two.jsonl:9", "tau-bench")
    assert len(read_messages(store, "t")) == 3


def test_a_thread_that_somebody_else_writes_is_set_aside(store: Store) -> None:
    with store.leases.hold("t"), pytest.raises(BadRow, match=r"'t'.*; import it again"):
        write_record(store, Record(thread="t", agent="a", messages=talk(3)), "f:1", "tau2")
    assert list_threads(store) == []


def test_an_import_that_breaks_off_leaves_whole_threads_and_goes_on(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "airline.jsonl"
    turn = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    rows = [{"task_id": task, "trial": 0, "reward": 1.0, "traj": turn} for task in range(6)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def stop_at_three(done: int, in_all: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_files(store, [file], progress=stop_at_three)
    assert [thread.thread for thread in list_threads(store)] == [f"tau-airline-{task}-0" for task in range(3)]
    told: list[tuple[int, int]] = []
    report = import_files(store, [file], progress=lambda done, in_all: told.append((done, in_all)))
    assert (report.imported, report.already, told[-1]) == (3, 3, (6, 6))
    assert all(len(labels) == 2 for labels in labels_of(store).values())
