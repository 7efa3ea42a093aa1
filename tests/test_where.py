"""Conditions on threads: read as people write them, and met by the right threads."""

from pathlib import Path
from time import sleep
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from threadmill.checkpoints.forget import delete_thread
from threadmill.checkpoints.labels import Label, add_labels
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.where import Where, find_heads, parse_where, state_of
from threadmill.errors import BadWhere


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Four threads: two of shop's task b, one of task a, and one of bank without a task."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    with open_store(request.getfixturevalue("postgres_url") if request.param == "postgresql" else url) as store:
        for thread, agent, task, tier in (
            ("t3", "shop", "b", "easy"),
            ("t1", "shop", "b", "hard"),
            ("T2", "shop", "a", "hard"),
            ("x", "bank", None, "easy"),
        ):
            write(
                store, thread, {"agent": agent, "tier": tier, "tags": "eu, prod" if thread == "x" else "", "task": task}
            )
        add_labels(
            store,
            [
                Label("t3", None, None, "reward", 0.25, "test"),
                Label("t1", None, None, "reward", 0.0, "test"),
                Label("t1", None, None, "reward", 1.0, "test"),
                Label("T2", None, None, "success", 1.0, "test"),
                Label("T2", None, "m1", "reward", 1.0, "test"),
            ],
        )
        yield store


def write(store: Store, thread: str, metadata: dict[str, Any]) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("say", lambda _: {"messages": [HumanMessage("hi")]})
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    noted = {key: value for key, value in metadata.items() if value is not None}
    graph.compile(checkpointer=store.saver).invoke(
        {"messages": []}, {"configurable": {"thread_id": thread}, "metadata": noted}
    )


@pytest.mark.parametrize(
    ("conditions", "threads"),
    [
        ([], ["x", "T2", "t1", "t3"]),  # in the order of their tasks: none, a, b, b
        (["agent=shop"], ["T2", "t1", "t3"]),
        (["thread=t*"], ["t1", "t3"]),
        (["task=[bc]", "agent=shop"], ["t1", "t3"]),
        (["reward>=0.25"], ["t1", "t3"]),  # the last reward counts, one on a message does not
        (["reward>=0.1", "reward<=0.5"], ["t3"]),
        (["reward=1"], ["t1"]),
        (["label=success"], ["T2"]),
        (["label=success=0"], []),
        (["tag=prod"], ["x"]),
        (["tag=tier:hard"], ["T2", "t1"]),
        (["since=2020-01-01", "until=2099-01-01"], ["x", "T2", "t1", "t3"]),
        (["until=2020-01-01"], []),
        (["node=think"], ["x", "T2", "t1", "t3"]),
        (["version=shop.think@0001"], []),
    ],
)
def test_the_threads_that_fit(store: Store, conditions: list[str], threads: list[str]):
    assert [head.thread for head in find_heads(store, parse_where(conditions))] == threads


@pytest.mark.parametrize(
    ("condition", "complaint"),
    [
        ("agent", "'agent' is no condition; there are agent=NAME"),
        ("colour=red", "'colour=red' is no condition"),
        ("agent>=b", "'agent>=b' is no condition"),
        ("reward>=much", "'reward>=much' compares reward with no finite number"),
        ("reward>=nan", "'reward>=nan' compares reward with no finite number"),
        ("since=yesterday", "'yesterday' is no time; write it as 2026-11-21"),
        ("task=", "'task=' is no condition"),
    ],
)
def test_what_is_no_condition_says_what_is(condition: str, complaint: str):
    with pytest.raises(BadWhere) as error:
        parse_where([condition])
    assert complaint in str(error.value)
    with pytest.raises(BadWhere, match="second condition on task"):
        parse_where(["task=a", "task=b"])


def test_what_is_asked_is_said_again():
    where = parse_where(["node=think", "node=plan", "reward>=0.5", "tag=a", "until=2026-01-02"])
    assert where.to_dict() == {
        "nodes": ["think", "plan"],
        "reward": [0.5, None],
        "tags": ["a"],
        "until": "2026-01-02T00:00:00+00:00",
    }
    assert Where().to_dict() == {}


def test_a_new_checkpoint_and_a_new_label_change_the_state(store: Store):
    states = [state_of(store, find_heads(store, Where()))]
    assert state_of(store, find_heads(store, Where())) == states[0]
    add_labels(store, [Label("x", None, None, "success", 1.0, "test")])
    states.append(state_of(store, find_heads(store, Where())))
    write(store, "x", {"agent": "bank"})
    states.append(state_of(store, find_heads(store, Where())))
    assert len(set(states)) == 3


def test_a_label_that_takes_the_place_of_a_deleted_one_changes_the_state(store: Store):
    """SQLite gives the number of the last row again when that is gone."""
    write(store, "x", {"agent": "bank"})
    write(store, "y", {"agent": "shop"})
    add_labels(store, [Label("y", None, None, "success", 1.0, "test")])
    before = state_of(store, find_heads(store, Where(agent="bank")))
    delete_thread(store, "y")
    sleep(0.002)  # labels know their millisecond
    add_labels(store, [Label("x", None, None, "success", 1.0, "test")])
    assert state_of(store, find_heads(store, Where(agent="bank"))) != before
