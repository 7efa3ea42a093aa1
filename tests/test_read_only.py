"""Databases that are only looked at: nothing in them changes, and what holds no threads is refused."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, TypedDict

import psycopg
import pytest
import warm
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.checkpoint.postgres import PostgresSaver, ShallowPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from threadmill.checkpoints.data_sets import record_data_set, uses_of
from threadmill.checkpoints.forget import prune_threads
from threadmill.checkpoints.labels import Label, add_label, labels_of
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.registry import list_versions
from threadmill.checkpoints.runs import list_runs
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import BadDatabase, ReadOnly
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot

SHALLOW = "ignore:ShallowPostgresSaver is deprecated"


class Plain(TypedDict):
    """The state of somebody's agent."""

    messages: Annotated[list[AnyMessage], add_messages]


def parrot(state: Plain) -> dict[str, Any]:
    return {"messages": [AIMessage(f"You said {state['messages'][-1].text}", id="a")]}


def converse(saver: Any) -> None:
    graph = StateGraph(Plain)
    graph.add_node("parrot", parrot)
    graph.add_edge(START, "parrot")
    said: Any = {"messages": [("human", "Hi.")]}
    graph.compile(checkpointer=saver).invoke(said, {"configurable": {"thread_id": "t"}})


def write_plainly(url: str) -> None:
    """A database as a plain LangGraph agent leaves it."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), check_same_thread=False)) as connection:
            converse(SqliteSaver(connection))
    else:
        with PostgresSaver.from_conn_string(url) as saver:
            saver.setup()
            converse(saver)


def contents(url: str) -> Any:
    """The bytes of the file; on PostgreSQL all tables, indexes and rows."""
    if url.startswith("sqlite"):
        return Path(url.removeprefix("sqlite:///")).read_bytes()
    with psycopg.connect(url) as connection:
        things = connection.execute("SELECT oid, relname FROM pg_class WHERE relnamespace = 2200 ORDER BY 1").fetchall()
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return things, {table: connection.execute(f"SELECT * FROM {table}".encode()).fetchall() for (table,) in tables}


def ours(store: Store) -> Any:
    slot = Slot.fixed("shop.think", ScriptedModel([AIMessage("Hi.")]), "shop.think@0001")
    return build_react(slot, []).compile(checkpointer=store.saver)


def test_a_plain_agents_database_is_read_and_stays_as_it_is(url: str):
    write_plainly(url)
    before = contents(url)
    with open_store(url, read_only=True) as store:
        assert [message.text for message in read_messages(store, "t")] == ["Hi.", "You said Hi."]
        assert [(thread.thread, thread.status, thread.labels) for thread in list_threads(store)] == [("t", "done", ())]
        assert labels_of(store) == {}
    assert contents(url) == before


WRITES: list[Callable[[Store], Any]] = [
    lambda store: run_thread(ours(store), "new", "Hi."),
    lambda store: run_thread(ours(store), "t", "Hi."),
    lambda store: ours(store).invoke({"messages": ["Hi."]}, {"configurable": {"thread_id": "t"}}),
    lambda store: ours(store).update_state({"configurable": {"thread_id": "t"}}, {}, as_node="observe"),
    lambda store: asyncio.run(ours(store).ainvoke({"messages": ["Hi."]}, {"configurable": {"thread_id": "t"}})),
    lambda store: add_label(store, Label("t", None, None, "reward", 1.0, "test")),
    lambda store: store.saver.copy_thread("t", "t2"),
    lambda store: store.saver.delete_thread("t"),
    lambda store: store.saver.prune(["t"]),
]


@pytest.mark.parametrize("whose", ["ours", "plain"])
def test_what_would_write_says_that_the_database_is_read_only(url: str, whose: str):
    if whose == "plain":
        write_plainly(url)
    else:
        with open_store(url) as store:
            run_thread(ours(store), "t", "Hi.")
    before = contents(url)
    with open_store(url, read_only=True) as store:
        for write in WRITES:
            with pytest.raises(ReadOnly, match="was opened to be read"):
                write(store)
    assert contents(url) == before


def test_the_server_itself_refuses_writes(postgres_url: str):
    write_plainly(postgres_url)
    with open_store(postgres_url, read_only=True) as store:
        saver: Any = store.saver
        with saver.pool.connection() as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM checkpoints")


def test_options_in_the_url_hold_for_reading_too(postgres_url: str):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE SCHEMA app")
    url = f"{postgres_url}&options=-c%20search_path%3Dapp"
    with open_store(url) as store:
        run_thread(ours(store), "t", "Hi.")
    with open_store(url, read_only=True) as store:
        assert [message.text for message in read_messages(store, "t")] == ["Hi.", "Hi."]
    with pytest.raises(BadDatabase, match="holds no threads"):
        open_store(postgres_url, read_only=True)


def test_a_reader_sees_what_a_running_agent_writes(url: str):
    with open_store(url) as writer:
        run_thread(ours(writer), "a", "Hi.")
        with open_store(url, read_only=True) as store:
            assert [thread.thread for thread in list_threads(store)] == ["a"]
            run_thread(ours(writer), "b", "Hi.")
            assert [thread.thread for thread in list_threads(store)] == ["a", "b"]


# What root may do beside the owner's rights is given up first; without it a folder that nobody may write is one.
LOOK = """
import ctypes, os, sys
if os.geteuid() == 0:  # on Linux, where root gives up its rights by capset
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert ctypes.CDLL(None).capset(head, (ctypes.c_uint32 * 6)()) == 0
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import open_store
from threadmill.errors import ThreadmillError
try:
    open(sys.argv[1] + "/probe", "w")
    sys.exit("the folder can be written")
except PermissionError:
    print("closed")
try:
    with open_store(f"sqlite:///{sys.argv[1]}/runs.db", read_only=True) as store:
        print([message.text for message in read_messages(store, "t")])
except ThreadmillError as error:
    print(error)
"""


def test_a_folder_that_cannot_be_written_is_read(tmp_path: Path):
    folder = tmp_path / "disc"
    folder.mkdir()
    with open_store(f"sqlite:///{folder}/runs.db") as store:
        run_thread(ours(store), "t", "Hi.")

    def look() -> str:
        folder.chmod(0o555)
        done = warm.run(LOOK, folder)
        folder.chmod(0o755)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert look() == "closed\n['Hi.', 'Hi.']\n"
    assert os.listdir(folder) == ["runs.db"]
    (folder / "runs.db-wal").write_bytes(b"what a crash left" * 9)
    assert look() == (
        f"closed\n'{folder}/runs.db' has a log, 'runs.db-wal', which cannot be read in a folder that cannot be "
        "written; copy both to another folder and open it there\n"
    )


def test_a_locked_file_is_not_taken_for_one_that_nobody_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("threadmill.checkpoints.read_only.TIMEOUT_S", 0.1)
    write_plainly(url := f"sqlite:///{tmp_path}/runs.db")
    with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BadDatabase, match="database is locked"):
            open_store(url, read_only=True)


def test_a_database_without_threads_is_refused(url: str):
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("CREATE TABLE notes (text)")
    with pytest.raises(BadDatabase, match="holds no threads: it has none of the tables that LangGraph's savers make"):
        open_store(url, read_only=True)


def execute(url: str, *statements: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(";".join(statements))
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@pytest.mark.parametrize("read_only", [True, False])
def test_checkpoints_of_another_program_are_refused_and_left_alone(url: str, read_only: bool):
    execute(url, "CREATE TABLE checkpoints (step INTEGER, weights TEXT)")
    before = contents(url)
    with pytest.raises(BadDatabase, match="its table 'checkpoints' is another program's"):
        open_store(url, read_only=read_only)
    assert contents(url) == before


@pytest.mark.filterwarnings(SHALLOW)
@pytest.mark.parametrize("read_only", [True, False])
def test_the_shallow_saver_is_refused_and_its_tables_left_alone(postgres_url: str, read_only: bool):
    with ShallowPostgresSaver.from_conn_string(postgres_url) as saver:
        saver.setup()
        converse(saver)
    before = contents(postgres_url)
    with pytest.raises(BadDatabase, match="was written by LangGraph's ShallowPostgresSaver, which keeps neither"):
        open_store(postgres_url, read_only=read_only)
    assert contents(postgres_url) == before


def test_labels_of_another_program_are_not_taken_for_ours(url: str):
    write_plainly(url)
    execute(url, "CREATE TABLE labels (thread TEXT, colour TEXT)", "INSERT INTO labels VALUES ('t', 'red')")
    with open_store(url, read_only=True) as store:
        assert labels_of(store) == {}
        assert [thread.labels for thread in list_threads(store)] == [()]


def test_tables_of_an_older_threadmill_are_read_and_what_they_lack_is_told(url: str):
    with open_store(url) as store:
        graph = build_react(Slot.fixed("desk.think", ScriptedModel([AIMessage("Hello.")]), "v1"), [])
        run_thread(graph.compile(checkpointer=store.saver), "t", "Hi.")
        record_data_set(store, digest="d", kind="sft", folder="data", threads=["t"])
    execute(url, "DROP TABLE data_set_rows", "DROP TABLE runs", "ALTER TABLE versions DROP COLUMN kind")
    with open_store(url, read_only=True) as store:
        assert [thread.status for thread in list_threads(store)] == ["done"]
        assert uses_of(store, ["other"]) == {}
        for look in (list_versions, list_runs, lambda store: prune_threads(store, ["t"], dry_run=True)):
            with pytest.raises(BadDatabase, match=r"lacks \S+.*; open it once to write, as `threadmill models list`"):
                look(store)


def test_tables_from_before_task_paths_are_read(url: str):
    write_plainly(url)
    before = contents(url)
    if url.startswith("sqlite"):
        execute(url, "ALTER TABLE writes DROP COLUMN task_path")
        with open_store(url, read_only=True) as store:
            assert [message.text for message in read_messages(store, "t")] == ["Hi.", "You said Hi."]
            assert [thread.status for thread in list_threads(store)] == ["done"]
    else:
        execute(
            url, "ALTER TABLE checkpoint_writes DROP COLUMN task_path", "DELETE FROM checkpoint_migrations WHERE v = 9"
        )
        with pytest.raises(BadDatabase, match=r"a LangGraph saver of before 2025 \(no task_path\); upgrade them with"):
            open_store(url, read_only=True)
    assert contents(url) != before
    with open_store(url) as store:  # upgraded
        assert [message.text for message in read_messages(store, "t")] == ["Hi.", "You said Hi."]
        run_thread(ours(store), "u", "Hi.")
