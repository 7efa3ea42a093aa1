"""Many threads read at once say the same as LangGraph says of each: random threads of ours, and those of others."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from bank_agent import build_bank, paying
from foreign_agents import FakeChat, at, call, calls, write_all
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Send
from sqlalchemy import update
from threadmill.checkpoints import bulk
from threadmill.checkpoints.branch import read_steps
from threadmill.checkpoints.bulk import read_leaves
from threadmill.checkpoints.foreign import apply_decisions, note_kinds
from threadmill.checkpoints.pauses import edits_in_state
from threadmill.checkpoints.prune import keep_only
from threadmill.checkpoints.serializer import KEY, make_serializer
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.stored_messages import changed, load
from threadmill.errors import BadCheckpoint, BadKey, StillPaused, UnknownThread
from threadmill.graphs import answer_thread, run_thread

Told = list[tuple[Any, ...]]
"""Namespace, checkpoint, path, metadata and messages of every leaf."""
World = tuple[Store, list[str]]
_examples = count()


def one_by_one(store: Store, thread: str, graph: Any = None) -> Told:
    """What LangGraph says; of messages its ``graph`` if it is ours, else what is stored, with people's decisions."""
    everything = {place(one.config): one for one in store.reader.list(at(thread))}
    parents = {here: place(one.parent_config) for here, one in everything.items()}
    told = []
    for here in sorted(everything.keys() - set(parents.values())):
        path = [here]
        while (above := parents[path[-1]]) is not None:
            path.append(above)
        found = everything[here]
        if graph is not None:
            messages = graph.get_state(found.config).values.get("messages", [])
        else:
            values: Any = found.checkpoint["channel_values"]
            messages = [message for message in values.get("messages", []) if isinstance(message, BaseMessage)]
            if not here[0]:
                pauses = [pause for step in read_steps(store, thread, here[1]) for pause in step.pauses]
                pauses += edits_in_state(values.get("hitl_edited_tool_calls") or {}, messages)
                messages = note_kinds(apply_decisions(messages, pauses))
        told.append((*here, tuple(id_ for _, id_ in path), dict(found.metadata), tuple(messages)))
    return told


def place(config: Any) -> Any:
    return config and (config["configurable"].get("checkpoint_ns", ""), config["configurable"]["checkpoint_id"])


def at_once(store: Store, *threads: str) -> list[Told]:
    found = list(read_leaves(store, threads))
    assert [one.thread for one in found] == list(threads)
    assert [one.error for one in found] == [None] * len(threads)
    return [
        [(leaf.namespace, leaf.checkpoint, leaf.path, dict(leaf.metadata), leaf.messages) for leaf in one.leaves]
        for one in found
    ]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A database of each kind for all tests here, and the threads of ``foreign_agents`` in it."""
    if request.param == "sqlite":
        file = tmp_path_factory.mktemp("bulk") / "runs.db"
        url = f"sqlite:///{file}"
        with SqliteSaver.from_conn_string(str(file)) as saver:
            threads = write_all(saver)
    else:
        import psycopg

        server = request.getfixturevalue("postgres_server")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(b"CREATE DATABASE bulk")
        url = server.replace("/postgres?", "/bulk?")
        with PostgresSaver.from_conn_string(url) as saver:
            saver.setup()
            threads = write_all(saver)
    with open_store(url) as store:
        yield store, threads


def test_the_threads_of_others_are_read_as_they_are_one_by_one(shared: World):
    store, threads = shared
    assert at_once(store, *threads) == [one_by_one(store, thread) for thread in threads]


OURS: Any = {"metadata": {"graph": "bank"}}
"""As our own edits and forks note it."""
PICK = st.integers(0, 99)
STEPS = st.one_of(
    st.tuples(st.just("say"), st.lists(st.integers(8, 12), max_size=3, unique=True)),
    st.tuples(st.just("branch"), PICK),
    st.tuples(st.just("edit"), PICK),
    st.tuples(st.just("forget"), st.sampled_from(["one", "all"])),
    st.tuples(st.just("prune"), st.lists(PICK, min_size=1, max_size=3)),
)


def live(store: Store, thread: str, steps: list[Any]) -> Any:
    """Let a thread of our bank's agent live so; its graph."""
    pays: list[int] = []

    def reply(messages: list[BaseMessage]) -> AIMessage:
        asks = messages[-1].type == "human" and pays
        return paying(*pays) if asks else AIMessage(f"Done {len(messages)}.")

    graph = build_bank(reply).compile(checkpointer=store.saver)
    run_thread(graph, thread, "Hello.")
    for kind, what in steps:
        states = list(graph.get_state_history(at(thread)))
        said = graph.get_state(at(thread)).values.get("messages", [])
        if kind == "say":
            pays = what
            with suppress(StillPaused):  # a branch may begin where something is still to be done
                asked = run_thread(graph, thread, "Pay.").questions
                answers = [{"id": question["id"], "type": "edit", "args": {"amount": 2}} for question in asked]
                if answers:
                    answer_thread(graph, thread, answers)
        elif kind == "branch":
            old = {**states[what % len(states)].config, **OURS}
            graph.update_state(old, {"messages": [HumanMessage("Or else?")]}, as_node="tool")
        elif kind == "edit" and said:
            new = AIMessage("Better.", id=said[what % len(said)].id)
            graph.update_state({**at(thread), **OURS}, {"messages": [new]}, as_node="think")
        elif kind == "forget" and said:
            gone = RemoveMessage(REMOVE_ALL_MESSAGES if what == "all" else said[0].id)
            graph.update_state({**at(thread), **OURS}, {"messages": [gone, HumanMessage("Anew.")]}, as_node="think")
        elif kind == "prune":
            ids = sorted(state.config["configurable"]["checkpoint_id"] for state in states)
            keep_only(store.saver, thread, {"": {ids[-1], *(ids[one % len(ids)] for one in what)}})
    return graph


@settings(max_examples=12, deadline=None)
@given(steps=st.lists(STEPS, max_size=6))
def test_random_threads_of_ours_are_read_as_langgraph_reads_them(shared: World, steps: list[Any]):
    store, _ = shared
    thread = f"ours-{next(_examples)}"
    graph = live(store, thread, steps)
    assert at_once(store, thread) == [one_by_one(store, thread, graph)]


def test_threads_come_in_the_order_of_the_question_however_many_there_are(
    shared: World, monkeypatch: pytest.MonkeyPatch
):
    store, threads = shared
    names = [thread for pair in zip(threads, reversed(threads), strict=True) for thread in pair]
    whole = at_once(store, *names)
    monkeypatch.setattr(bulk, "MOST_THREADS", 7)
    monkeypatch.setattr(bulk, "MOST_CHECKPOINTS", 20)
    assert at_once(store, *names) == whole


def test_encrypted_threads_are_read_with_the_key_and_named_without_it(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(KEY, "0f" * 32)
    with open_store(url) as store:
        graph = live(store, "t", [("say", [20]), ("say", []), ("branch", 3)])
        expected = one_by_one(store, "t", graph)
        assert at_once(store, "t") == [expected]
    monkeypatch.delenv(KEY)
    with open_store(url) as store:
        (found,) = read_leaves(store, ["t"])
        assert found.leaves == ()
        assert isinstance(found.error, BadKey)


def test_a_damaged_thread_and_an_unknown_one_stop_no_other(store: Store):
    for thread in ("a", "b", "c"):
        run_thread(build_bank([AIMessage("Done.")]).compile(checkpointer=store.saver), thread, "Hi.")
    writes = store.tables.writes
    with store.engine.begin() as connection:
        damaged = update(writes).where(writes.c.thread_id == "b", writes.c.channel == "messages")
        connection.execute(damaged.values(value=b"\xc1"))
    one, two, three, four = read_leaves(store, ["a", "b", "x7", "c"])
    assert [[len(leaf.messages) for leaf in found.leaves] for found in (one, two, three, four)] == [[2], [], [], [2]]
    assert isinstance(two.error, BadCheckpoint)
    assert "thread 'b' holds a checkpoint that cannot be read" in str(two.error)
    assert isinstance(three.error, UnknownThread)
    assert one.error is four.error is None


def test_every_answer_names_the_node_that_wrote_it(store: Store):
    run_thread(build_bank([AIMessage("Done.", id="o1")]).compile(checkpointer=store.saver), "ours", "Hi.")

    model = FakeChat(script={"Hi.": (calls(call("c1", "nothing")), AIMessage("Done."))})
    create_agent(model, [nothing], checkpointer=store.saver).invoke(
        {"messages": [HumanMessage("Hi.")]}, at("langchain")
    )

    sending = StateGraph(MessagesState)
    sending.add_node("plan", lambda state: {"messages": [AIMessage("Two parts.", id="s1")]})
    sending.add_node("left", lambda part: {"messages": [AIMessage("Left.")]})
    sending.add_node("right", lambda part: {"messages": [AIMessage("Right.")]})
    sending.add_edge(START, "plan")
    sending.add_conditional_edges("plan", lambda state: [Send("right", {}), Send("left", {})], ["left", "right"])
    sending.add_edge("left", END)
    sending.compile(checkpointer=store.saver).invoke({"messages": [HumanMessage("Go.")]}, at("sends"))

    told = {}
    for found in read_leaves(store, ["ours", "langchain", "sends"]):
        (leaf,) = found.leaves
        told[found.thread] = [(message.text, leaf.writers.get(str(message.id))) for message in leaf.messages]
    assert told == {
        "ours": [("Hi.", None), ("Done.", "think")],
        "langchain": [("Hi.", None), ("", "model"), ("nothing", None), ("Done.", "model")],
        "sends": [("Go.", None), ("Two parts.", "plan"), ("Right.", "right"), ("Left.", "left")],
    }


@tool
def nothing() -> str:
    """Do nothing."""
    return "nothing"


def test_a_database_of_an_older_saver_says_nothing_of_tasks(tmp_path: Path):
    import sqlite3

    file = tmp_path / "old.db"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        graph = StateGraph(MessagesState)
        graph.add_node("chat", lambda state: {"messages": [AIMessage("Hello.")]})
        graph.add_edge(START, "chat")
        graph.compile(checkpointer=saver).invoke({"messages": [HumanMessage("Hi.")]}, at("t"))
    connection = sqlite3.connect(file)
    connection.execute("ALTER TABLE writes DROP COLUMN task_path")
    connection.close()
    with open_store(f"sqlite:///{file}", read_only=True) as store:
        (found,) = read_leaves(store, ["t"])
        (leaf,) = found.leaves
        assert ([message.text for message in leaf.messages], leaf.writers) == (["Hi.", "Hello."], {})


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.fixed_dictionaries(
    {"content": st.text(max_size=5) | st.just([{"type": "text", "text": "Hi."}])},
    optional={
        "id": st.none() | st.text(max_size=3),
        "name": st.text(max_size=3),
        "additional_kwargs": st.dictionaries(st.text(max_size=2), PLAIN | st.just(Path("/")), max_size=2)
        | st.just({"tool_calls": [{"id": "c", "function": {"name": "pay", "arguments": "{}"}}]}),
        "response_metadata": st.dictionaries(st.text(max_size=2), PLAIN, max_size=2),
        "example": st.booleans(),
    },
)
SPOKEN = st.fixed_dictionaries(
    {},
    optional={
        "tool_calls": st.lists(st.just(call("c1", "pay", amount=1)) | st.just({**call("c2", "pay"), "extras": {}})),
        "invalid_tool_calls": st.just([{"name": None, "args": "{", "id": "c3", "error": "cut"}]),
        "usage_metadata": st.just({"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    },
)
RESULT = st.fixed_dictionaries(
    {"tool_call_id": st.text(max_size=2)},
    optional={"artifact": PLAIN, "status": st.sampled_from(["success", "error"])},
)
MESSAGES = (
    FIELDS.map(lambda fields: HumanMessage(**fields))
    | FIELDS.map(lambda fields: SystemMessage(**fields))
    | st.builds(lambda fields, more: AIMessage(**fields, **more), FIELDS, SPOKEN)
    | st.builds(lambda fields, more: ToolMessage(**fields, **more), FIELDS, RESULT)
)


@settings(max_examples=60, deadline=None)
@given(message=MESSAGES)
def test_a_message_is_made_as_the_serializer_makes_it(message: BaseMessage):
    serde = make_serializer(refuse=False)
    stored = serde.dumps_typed([message, _DeltaSnapshot([message])])
    (one, snapshot), (other, expected) = load(serde, stored), serde.loads_typed(stored)
    for made, right in ((one, other), (snapshot.value[0], expected.value[0])):
        assert (type(made), made) == (type(right), right)
        assert made.__dict__ == right.__dict__
        assert made.model_fields_set == right.model_fields_set
        assert made.model_dump() == right.model_dump()
        copy, expected_copy = changed(made, content="x"), right.model_copy(update={"content": "x"})
        assert (copy, copy.model_dump(), copy.model_fields_set) == (
            expected_copy,
            expected_copy.model_dump(),
            expected_copy.model_fields_set,
        )
        assert made == right
