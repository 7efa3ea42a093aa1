"""The database file: which are opened and refused, and one file under many threads."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier, Timer
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from threadmill.checkpoints.labels import Label, add_label, labels_of
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import BadDatabase
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot


def parrot(store: Store) -> Any:
    model = ScriptedModel(lambda messages: AIMessage(f"You said {messages[-1].text}"))
    return build_react(Slot.fixed("parrot.think", model, "parrot.think@0007"), []).compile(checkpointer=store.saver)


def metadata_of(path: Path, thread: str) -> list[str | None]:
    query = (
        "SELECT json_extract(CAST(metadata AS TEXT), '$.versions') FROM checkpoints "
        "WHERE thread_id = ? ORDER BY checkpoint_id"
    )
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(query, [thread])]


def test_a_store_is_kept_in_one_file(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/runs.db"
    with open_store(url) as store:
        run_thread(parrot(store), "t", "Hi.")
        add_label(store, Label("t", None, None, "success", 1.0, "test"))
    with open_store(url, create=False) as store:
        assert [message.text for message in read_messages(store, "t")] == ["Hi.", "You said Hi."]
        assert labels_of(store) == {"t": [Label("t", None, None, "success", 1.0, "test")]}


def test_checkpoints_name_the_versions_of_their_run(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        run_thread(parrot(store), "t", "Hi.")
    said = '{"parrot.think":"parrot.think@0007"}'
    assert metadata_of(tmp_path / "runs.db", "t") == [None, None, said, said]  # input, start, observe, think


def test_the_saver_shows_the_versions_as_metadata(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        run_thread(parrot(store), "t", "Hi.")
        last = store.saver.get_tuple({"configurable": {"thread_id": "t"}})
    assert last is not None
    assert dict(last.metadata)["versions"] == {"parrot.think": "parrot.think@0007"}


def test_both_connections_wait_for_each_other(tmp_path: Path):
    def ask(connection: Any) -> list[Any]:
        names = ("journal_mode", "synchronous", "busy_timeout")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        assert ask(store.saver.conn) == ["wal", 1, 60000]
        with store.engine.connect() as connection:
            assert ask(connection.connection.driver_connection) == ["wal", 1, 60000]


def test_many_threads_write_checkpoints_and_labels_at_once(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        graph = parrot(store)

        def work(number: int) -> str | None:
            thread = f"t{number:03d}"
            answer = run_thread(graph, thread, str(number)).answer
            add_label(store, Label(thread, None, None, "reward", float(number), "test"))
            return answer

        with ThreadPoolExecutor(64) as pool:
            assert list(pool.map(work, range(128))) == [f"You said {number}" for number in range(128)]
        threads = list_threads(store)
        assert [thread.thread for thread in threads] == [f"t{number:03d}" for number in range(128)]
        assert [thread.labels[0].value for thread in threads] == [float(number) for number in range(128)]
        assert {thread.status for thread in threads} == {"done"}


def test_two_stores_share_a_file(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/runs.db"
    with open_store(url) as one, open_store(url) as other:
        run_thread(parrot(one), "a", "Hi.")
        run_thread(parrot(other), "b", "Ho.")
        assert [thread.thread for thread in list_threads(one)] == ["a", "b"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://me:secret@host/runs", "is no database URL"),
        ("runs.db", "write it as sqlite:///runs.db"),
        ("sqlite:///", "write it as sqlite:///runs.db"),
        ("sqlite:///:memory:", "write it as sqlite:///runs.db"),
    ],
)
def test_a_url_of_another_kind_is_refused(url: str, says: str):
    with pytest.raises(BadDatabase, match=says) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_files_that_are_not_there_or_no_database_are_refused(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("This is no database, but it is long enough to look like one. " * 20)
    with pytest.raises(BadDatabase, match=r"runs\.db' does not exist"):
        open_store(f"sqlite:///{tmp_path}/runs.db", create=False)
    with pytest.raises(BadDatabase, match=r"the folder of .* does not exist"):
        open_store(f"sqlite:///{tmp_path}/no/runs.db")
    with pytest.raises(BadDatabase, match="is a folder"):
        open_store(f"sqlite:///{tmp_path}")
    with pytest.raises(BadDatabase, match="cannot be opened as an SQLite database"):
        open_store(f"sqlite:///{tmp_path}/notes.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["a#1.db", "a?b.db", "a%20b.db", "a b.db"])
def test_threads_and_labels_share_a_file_whatever_its_name(tmp_path: Path, name: str):
    label = Label("t", None, None, "success", 1.0, "test")
    with open_store(f"sqlite:///{tmp_path}/{name}") as store:
        run_thread(parrot(store), "t", "Hi.")
        add_label(store, label)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with open_store(f"sqlite:///{tmp_path}/{name}", create=False) as store:
        assert [(thread.thread, thread.labels) for thread in list_threads(store)] == [("t", (label,))]


def test_a_new_file_may_be_opened_by_many_at_once(tmp_path: Path):
    for round in range(8):
        together = Barrier(8)

        def opens(_: int, url: str = f"sqlite:///{tmp_path}/{round}.db", together: Barrier = together) -> None:
            together.wait()
            open_store(url).close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(opens, range(8)))


def test_the_tables_of_another_program_are_refused_and_let_go(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "mail.db")) as connection:
        connection.execute("CREATE TABLE labels (colour TEXT)")
    with pytest.raises(BadDatabase, match=r"mail\.db' cannot be opened .* no such column: thread") as refused:
        open_store(f"sqlite:///{tmp_path}/mail.db")
    assert refused.traceback  # and all that its frames hold
    assert [file.name for file in tmp_path.iterdir()] == ["mail.db"]  # a connection left open would keep mail.db-wal


def test_opening_waits_for_the_writer_of_a_database_that_is_not_yet_in_wal_mode(tmp_path: Path):
    file = tmp_path / "runs.db"
    with closing(sqlite3.connect(file, check_same_thread=False, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE notes (text)")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO notes VALUES ('x')")
        leave = Timer(0.3, writer.execute, ["COMMIT"])
        leave.start()
        with open_store(f"sqlite:///{file}") as store:
            assert store.saver.conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        leave.join()
