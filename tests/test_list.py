"""The list of threads: every filter against what is known of seven threads, and what listing costs."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from sqlalchemy import event, insert, select
from threadmill.checkpoints.labels import Label, add_labels
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.graphs import answer_thread, build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


PAY = AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": 300}, "id": "c1"}])
DONE = AIMessage("Done.")


def agent(store: Store, *replies: Any, name: str = "bank", version: str = "0001") -> Any:
    script: Any = replies if isinstance(replies[0], AIMessage) else replies[0]
    slot = Slot.fixed(f"{name}.think", ScriptedModel(script), f"{name}.think@{version}")
    asks = build_react(slot, [pay], name=name, ask=lambda tool, args: "it is money")
    return asks.compile(checkpointer=store.saver)


def breaks(messages: list[BaseMessage]) -> AIMessage:
    raise RuntimeError("the model broke")


def about(thread: str, kind: Any, value: float | str, **where: Any) -> Label:
    return Label(thread, where.get("checkpoint"), where.get("message"), kind, value, "test")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Seven threads, made in this order: z, B, a, a-2, failed, running, other."""
    with open_store(url) as store:
        run_thread(agent(store, DONE), "z", "Hi.", metadata={"task": "t1"})
        run_thread(agent(store, DONE, version="0002"), "B", "Hi.", metadata={"task": "t2"})
        run_thread(agent(store, PAY), "a", "Hi.", metadata={"task": "t1"})
        answered = agent(store, PAY, DONE, name="shop")
        run_thread(answered, "a-2", "Hi.", metadata={"task": "t2"})
        answer_thread(answered, "a-2", [{"id": "c1", "type": "approve"}])
        run_thread(agent(store, DONE, name="shop", version="0002"), "a-2", "More.")
        with pytest.raises(RuntimeError, match="the model broke"):
            run_thread(agent(store, breaks), "failed", "Hi.")
        place: Any = {"configurable": {"thread_id": "running"}}
        stopped: Any = {"durability": "sync", "interrupt_before": ["think"]}
        agent(store, DONE).invoke({"messages": [("human", "Hi.")]}, place, **stopped)
        plain = StateGraph(MessagesState)
        plain.add_node("say", lambda state: {"messages": [AIMessage("Hello.")]})
        plain.add_edge(START, "say")
        named: Any = {"configurable": {"thread_id": "other"}, "metadata": {"lc_agent_name": "clerk"}}
        clerk: Any = plain.compile(checkpointer=store.saver)
        clerk.invoke({"messages": [("human", "Hi.")]}, named, durability="sync")
        add_labels(
            store,
            [
                *(about("z", "reward", 0.2), about("z", "reward", 0.8), about("z", "success", 1)),
                *(about("B", "reward", 0.5), about("B", "success", 0), about("B", "feedback", "a=b")),
                *(about("a-2", "reward", 0.9, message="m1"), about("a-2", "feedback", "good")),
                *(about("a-2", "feedback", 1.0), about("a", "reward", -1.0, checkpoint="c")),
            ],
        )
        yield store


def ids(store: Store, **which: Any) -> list[str]:
    return [thread.thread for thread in list_threads(store, **which)]


EVERY = ["B", "a", "a-2", "failed", "other", "running", "z"]


def test_the_order_is_the_same_in_every_database(store: Store):
    assert ids(store) == EVERY


def test_by_agent_ours_or_langchains(store: Store):
    assert {thread.thread: thread.agent for thread in list_threads(store)} == {
        "B": "bank", "a": "bank", "a-2": "shop", "failed": "bank", "other": "clerk", "running": "", "z": "bank"
    }  # fmt: skip
    assert ids(store, agent="bank") == ["B", "a", "failed", "z"]
    assert ids(store, agent="shop") == ["a-2"]
    assert ids(store, agent="clerk") == ["other"]
    assert ids(store, agent="nobody") == []


def test_by_task(store: Store):
    assert ids(store, task="t1") == ["a", "z"]
    assert ids(store, task="t2") == ["B", "a-2"]


def test_by_version_that_spoke_at_any_time(store: Store):
    assert ids(store, version="bank.think@0001") == ["a", "failed", "running", "z"]
    assert ids(store, version="bank.think@0002") == ["B"]
    assert ids(store, version="shop.think@0001") == ids(store, version="shop.think@0002") == ["a-2"]
    assert ids(store, version="bank.think") == []


def test_by_label(store: Store):
    assert ids(store, label="success") == ["B", "z"]
    assert ids(store, label="success=1") == ids(store, label="success=1.0") == ["z"]
    assert ids(store, label="success=0") == ["B"]
    assert ids(store, label="feedback=good") == ids(store, label="feedback=1") == ["a-2"]
    assert ids(store, label="feedback=a=b") == ["B"]
    assert ids(store, label="success=yes") == ids(store, label="preference") == []


def test_by_the_last_reward_of_the_thread_both_ends_inclusive(store: Store):
    assert ids(store, reward=(None, None)) == EVERY
    assert ids(store, reward=(0.5, None)) == ["B", "z"]
    assert ids(store, reward=(None, 0.5)) == ["B", "a"]
    assert ids(store, reward=(0.5, 0.8)) == ["B", "z"]
    assert ids(store, reward=(0.1, 0.3)) == []


def test_by_status(store: Store):
    assert ids(store, status="done") == ["B", "a-2", "other", "z"]
    assert ids(store, status="paused") == ["a"]
    assert ids(store, status="failed") == ["failed"]
    assert ids(store, status="running") == ["running"]
    assert {thread.thread for thread in list_threads(store) if thread.status == "done"} == {"B", "a-2", "other", "z"}


def test_by_time_both_ends_inclusive(store: Store):
    made = {thread.thread: thread.updated_at for thread in list_threads(store)}
    assert sorted(made, key=lambda thread: made[thread]) == ["z", "B", "a", "a-2", "failed", "running", "other"]
    assert ids(store, since=made["failed"]) == ["failed", "other", "running"]
    assert ids(store, until=made["B"]) == ["B", "z"]
    assert ids(store, since=made["B"], until=made["a"]) == ["B", "a"]
    assert ids(store, since="2026-01-01", until="2026-01-01T00:00:00+00:00") == []
    west = f"{made['failed'].replace('+00:00', '')}-05:00"  # five hours later
    assert ids(store, since=west) == []
    with pytest.raises(ValueError, match="'yesterday' is no time; write it as 2026-11-21"):
        list_threads(store, since="yesterday")


def test_filters_together_and_paging(store: Store):
    assert ids(store, agent="bank", status="done", label="success") == ["B", "z"]
    assert ids(store, agent="bank", status="done", label="success", limit=1, offset=1) == ["z"]
    assert ids(store, version="bank.think@0001", task="t1", reward=(0, None)) == ["z"]
    assert [ids(store, limit=3, offset=start) for start in (0, 3, 6, 9)] == [EVERY[:3], EVERY[3:6], EVERY[6:], []]
    assert ids(store, status="done", limit=2, offset=1) == ["a-2", "other"]
    assert ids(store, limit=0) == []


def test_what_a_line_says(store: Store):
    (line,) = list_threads(store, agent="shop")
    assert (line.thread, line.task, line.status, line.turns) == ("a-2", "t2", "done", 3)
    assert line.versions == ("shop.think@0001", "shop.think@0002")
    assert [(label.kind, label.value) for label in line.labels] == [
        ("reward", 0.9),
        ("feedback", "good"),
        ("feedback", 1.0),
    ]


def test_read_only_lists_the_same(store: Store, url: str):
    with open_store(url, read_only=True) as reader:
        assert list_threads(reader) == list_threads(store)


class Counted:
    """A serializer that counts what it reads."""

    def __init__(self, serde: Any) -> None:
        self.serde, self.read = serde, 0

    def loads_typed(self, data: Any) -> Any:
        self.read += 1
        return self.serde.loads_typed(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.serde, name)


@pytest.fixture
def crowd(url: str) -> Iterator[Store]:
    """2,000 threads: t-0000 and every hundredth one are paused, the others done."""
    with open_store(url) as store:
        run_thread(agent(store, PAY), "t-0000", "Hi.")
        run_thread(agent(store, DONE), "t-0001", "Hi.")
        with store.engine.begin() as connection:
            for table, model in ((table, model) for table in store.tables.all for model in (0, 1)):
                rows = connection.execute(select(table).where(table.c.thread_id == f"t-000{model}")).all()
                others = [number for number in range(2, 2000) if (number % 100 > 0) == model]
                names = [column.key for column in table.c]
                copies = [
                    dict(zip(names, row, strict=True)) | {"thread_id": f"t-{number:04}"}
                    for number in others
                    for row in rows
                ]
                connection.execute(insert(table), copies)
        yield store


def test_listing_a_page_of_a_crowd_reads_only_that_page(crowd: Store):
    """A done thread is read with about ten values, so a page of 50 with about 500; all would be 20,000."""
    reader: Any = crowd.reader
    reader.serde = counted = Counted(reader.serde)
    queries: list[str] = []
    event.listen(crowd.engine, "before_cursor_execute", lambda *given: queries.append(given[2]))

    def cost(**which: Any) -> tuple[int, bool, bool]:
        counted.read = 0
        queries.clear()
        found = len(list_threads(crowd, **which))
        return found, counted.read < 1500, len(queries) < 200

    assert cost(limit=50) == (50, True, True)
    assert cost(limit=50, offset=1950) == (50, True, True)
    assert cost(limit=50, agent="bank", version="bank.think@0001") == (50, True, True)
    assert cost(limit=50, status="done") == (50, True, True)
    assert cost(status="paused") == (20, True, True)
    assert cost(status="failed") == (0, True, True)
