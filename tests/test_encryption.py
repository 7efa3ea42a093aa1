"""Encryption at rest: what people and models said is nowhere in the clear, and everything works as without it."""

import asyncio
import json
from pathlib import Path
from typing import Any, TypedDict

import psycopg
import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.graph import START, StateGraph
from psycopg import sql
from sqlalchemy import select, update
from threadmill.checkpoints.labels import Label, add_label
from threadmill.checkpoints.messages import Messages
from threadmill.checkpoints.reading import read_messages, read_questions
from threadmill.checkpoints.serializer import make_serializer
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.cli.main import app
from threadmill.errors import BadKey
from threadmill.graphs import answer_thread, build_react, run_thread
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from typer.testing import CliRunner

KEY, OTHER = "5e" * 32, "07" * 32


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("THREADMILL_KEY", KEY)
    return KEY


@tool
def pay(amount: int, to: str) -> str:
    """Pay."""
    return f"receipt-secret for {to}"


def bank(store: Store, *replies: AIMessage) -> Any:
    model = ScriptedModel(list(replies))
    slot = Slot.fixed("bank.think", model, "bank.think@0001")
    graph = build_react(slot, [pay], ask=lambda name, args: "why-secret", name="bank")
    return graph.compile(checkpointer=store.saver)


def paying() -> AIMessage:
    return AIMessage(
        "thought-secret", tool_calls=[{"name": "pay", "args": {"amount": 5, "to": "eva-secret"}, "id": "c"}]
    )


class Notes(TypedDict, total=False):
    """A state with text and a number beside its messages."""

    messages: Messages
    note: str
    count: int


def count(state: Notes) -> dict[str, Any]:
    return {"count": state.get("count", 0) + 1}


def notebook(store: Store) -> Any:
    graph = StateGraph(Notes)
    graph.add_node("count", count)
    graph.add_edge(START, "count")
    return graph.compile(checkpointer=store.saver)


def at(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


def raw(url: str) -> bytes:
    """Every byte of the database: the files of SQLite, all columns of all tables of PostgreSQL."""
    if url.startswith("sqlite"):
        folder = Path(url.removeprefix("sqlite:///")).parent
        return b"".join(file.read_bytes() for file in folder.iterdir())
    found: list[bytes] = []
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert ("checkpoint_blobs",) in tables
        for (table,) in tables:
            with connection.cursor(binary=True) as cursor:
                for row in cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))):
                    found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return b"\n".join(found)


def cli(*arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_nothing_that_was_said_is_found_in_the_raw_bytes_and_everything_works(url: str, key: str):
    with open_store(url) as store:
        assert run_thread(bank(store, paying()), "b", "Question-secret?").status == "paused"
        notebook(store).invoke({"messages": ["note-secret"], "note": "text-secret"}, at("n"))
        assert b"secret" not in raw(url)
    assert cli("threads", "show", "b", "--db", url)["questions"][0]["args"] == {"amount": 5, "to": "eva-secret"}
    with open_store(url) as store:  # as another process would
        answers = [{"id": "c", "type": "edit", "args": {"amount": 6, "to": "ann-secret"}}]
        assert answer_thread(bank(store, AIMessage("done-secret")), "b", answers).answer == "done-secret"
        run_thread(bank(store, AIMessage("bye-secret")), "b", "More-secret.")
        notebook(store).invoke({"messages": ["more-secret"]}, at("n"))
        notebook(store).update_state(at("n"), {"note": "other-secret"})
        store.saver.copy_thread("n", "n2")
        assert b"secret" not in raw(url)
    with open_store(url) as store:
        assert notebook(store).get_state(at("n2")).values["note"] == "other-secret"
        notes = [state.values.get("note") for state in notebook(store).get_state_history(at("n"))]
        assert notes == ["other-secret", *["text-secret"] * 5, None]
    said = [message["data"]["content"] for message in cli("threads", "show", "b", "--db", url)["messages"]]
    assert said == [
        "Question-secret?",
        "thought-secret",
        "receipt-secret for ann-secret",
        "done-secret",
        "More-secret.",
        "bye-secret",
    ]
    rows = cli("threads", "list", "--db", url)["threads"]
    assert [(row["thread"], row["status"]) for row in rows] == [("b", "done"), ("n", "done"), ("n2", "done")]
    assert b"secret" not in raw(url)


def test_what_the_documentation_says_is_in_the_clear_is(url: str, key: str):
    with open_store(url) as store:
        run_thread(bank(store, AIMessage("a")), "thread-name", "Hi.", metadata={"task": "task-name"})
        add_label(store, Label("thread-name", None, None, "feedback", "label-text", "label-source"))
        notebook(store).invoke({"messages": ["a"], "count": 123456788}, at("n"))
    for clear in (b"thread-name", b"task-name", b"label-text", b"label-source", b"messages"):
        assert clear in raw(url), clear
    assert (b"123456789" in raw(url)) == url.startswith("postgresql")


def test_threads_from_before_the_key_stay_readable_and_go_on(url: str, monkeypatch: pytest.MonkeyPatch):
    with open_store(url) as store:
        run_thread(bank(store, paying()), "b", "Hi.")
        notebook(store).invoke({"messages": ["one"], "note": "old"}, at("n"))
    monkeypatch.setenv("THREADMILL_KEY", KEY)
    with open_store(url) as store:
        assert [question["id"] for question in read_questions(store, "b")] == ["c"]
        assert answer_thread(bank(store, AIMessage("Paid.")), "b", [{"id": "c", "type": "approve"}]).answer == "Paid."
        notebook(store).invoke({"messages": ["two-secret"]}, at("n"))  # the note is not written again
        values = notebook(store).get_state(at("n")).values
        assert (values["note"], values["count"], len(values["messages"])) == ("old", 2, 2)
        assert {state.values.get("note") for state in notebook(store).get_state_history(at("n"))} == {None, "old"}
    assert b"two-secret" not in raw(url)


@pytest.fixture
def sealed(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a thread that waits for an answer, and no key any more."""
    monkeypatch.setenv("THREADMILL_KEY", KEY)
    with open_store(url) as store:
        run_thread(bank(store, paying()), "b", "Hi.")
    monkeypatch.delenv("THREADMILL_KEY")
    return url


def try_everything(url: str, says: str) -> None:
    before = rows_in(url)
    with open_store(url) as store:
        agent = bank(store, AIMessage("x"))
        for attempt in (
            lambda: read_messages(store, "b"),
            lambda: read_questions(store, "b"),
            lambda: list_threads(store),
            lambda: agent.get_state(at("b")),
            lambda: run_thread(agent, "b", "More."),
            lambda: answer_thread(agent, "b", [{"id": "c", "type": "approve"}]),
            lambda: agent.invoke({"messages": ["More."]}, at("b")),
        ):
            with pytest.raises(BadKey, match=says):
                attempt()
    assert rows_in(url) == before


def rows_in(url: str) -> int:
    with open_store(url) as store:
        return len(store.tables.read(store.tables.checkpoints.select()))


def test_without_the_key_the_error_names_the_variable_and_nothing_is_written(sealed: str):
    try_everything(sealed, "the content is encrypted .* set THREADMILL_KEY to the key that it was written with")
    result = CliRunner().invoke(app, ["threads", "show", "b", "--db", sealed])
    assert result.exit_code == 1
    assert isinstance(result.exception, BadKey)  # which `threadmill` prints in one line, as every error of ours


def test_with_another_key_the_error_says_so_and_the_right_one_still_works(sealed: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("THREADMILL_KEY", OTHER)
    try_everything(sealed, "the content was encrypted with another key than the one in THREADMILL_KEY")
    monkeypatch.setenv("THREADMILL_KEY", KEY)
    with open_store(sealed) as store:
        assert answer_thread(bank(store, AIMessage("Paid.")), "b", [{"id": "c", "type": "approve"}]).answer == "Paid."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hunter2", "must hold 64 hexadecimal digits, not 7 characters; make one with `openssl rand -hex 32`"),
        ("5e" * 16, "must hold 64 hexadecimal digits, not 32 characters"),
        ("x" * 64, "must hold 64 hexadecimal digits, not others among them"),
    ],
)
def test_a_malformed_key_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
):
    monkeypatch.setenv("THREADMILL_KEY", text)
    with pytest.raises(BadKey, match=says) as refused:
        open_store(f"sqlite:///{tmp_path}/runs.db")
    assert text not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_variable_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("THREADMILL_KEY", "")
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        run_thread(bank(store, AIMessage("plain to see")), "b", "Hi.")
    assert b"plain to see" in raw(f"sqlite:///{tmp_path}/runs.db")


def test_tampering_is_noticed(url: str, key: str):
    with open_store(url) as store:
        run_thread(bank(store, AIMessage("Hello.")), "b", "Hi.")
        writes = store.tables.writes
        with store.engine.begin() as connection:
            for row in connection.execute(select(writes)).all():
                value = bytes(row.value)
                damaged = update(writes).where(writes.c.task_id == row.task_id, writes.c.idx == row.idx)
                connection.execute(damaged.values(value=value[:-1] + bytes([value[-1] ^ 1])))
        with pytest.raises(BadKey):
            read_messages(store, "b")


def test_langgraphs_own_serializer_reads_what_was_encrypted(key: str):
    kind, content = make_serializer(key=bytes.fromhex(KEY)).dumps_typed(AIMessage("Hello.", id="m"))
    theirs = EncryptedSerializer.from_pycryptodome_aes(key=bytes.fromhex(KEY))
    assert theirs.loads_typed((kind, content)) == AIMessage("Hello.", id="m")
    back = make_serializer(key=bytes.fromhex(KEY)).loads_typed(theirs.dumps_typed({"a": 1}))
    assert back == {"a": 1}


def test_the_encrypted_saver_passes_the_conformance_suite(url: str, key: str):
    @checkpointer_test(name="sealed")
    async def saver() -> Any:
        async with open_store(url) as store:
            yield store.saver

    report = asyncio.run(validate(saver))
    assert {name: result.failures for name, result in report.results.items() if result.failures} == {}


def test_what_json_cannot_hold_is_kept_on_postgresql_too(url: str):
    with open_store(url) as store:
        notebook(store).invoke({"messages": [], "note": "a\0b", "count": float("inf")}, at("n"))
        notebook(store).invoke({"messages": ["more"]}, at("n"))
        assert notebook(store).get_state(at("n")).values["note"] == "a\0b"
        assert notebook(store).get_state(at("n")).values["count"] == float("inf")
