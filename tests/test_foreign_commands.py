"""Threads of plain LangGraph agents: every command reads them, changes nothing, and trains on what people decided."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from foreign_agents import write_all
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from psycopg.rows import dict_row
from threadmill.checkpoints.store import open_store
from threadmill.cli.main import app
from threadmill.training.slots import SEED_POLICY
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("foreign") / "agent.db"
    connection = sqlite3.connect(file, check_same_thread=False)
    write_all(SqliteSaver(connection))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return f"sqlite:///{file}"


@pytest.fixture(scope="module")
def postgres_foreign(postgres_server: str) -> str:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE foreign_agents")
    url = postgres_server.replace("/postgres?", "/foreign_agents?")
    with psycopg.connect(url, autocommit=True, prepare_threshold=0, row_factory=dict_row) as connection:
        saver = PostgresSaver(connection)  # type: ignore[arg-type]
        saver.setup()
        write_all(saver)
    return url


@pytest.fixture(params=["sqlite_url", "postgres_foreign"])
def foreign(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database that plain agents wrote; afterwards it must be as it was."""
    url = request.getfixturevalue(request.param)
    before = content(url)
    yield url
    assert content(url) == before


def content(url: str) -> Any:
    if url.startswith("sqlite"):
        return hashlib.sha256(Path(url.removeprefix("sqlite:///")).read_bytes()).hexdigest()
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        rows = [connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone() for (name,) in tables]
    return tables, rows


def run(*arguments: Any) -> Any:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_they_are_listed_with_agent_status_and_question(foreign: str) -> None:
    threads = {thread["thread"]: thread for thread in run("threads", "list", "--db", foreign)["threads"]}
    assert len(threads) == 28
    assert threads["agent"]["agent"] == "shop"
    paused = {name: len(thread["questions"]) for name, thread in threads.items() if thread["status"] == "paused"}
    assert paused == {"hitl-each-paused": 2, "hitl-paused": 3, "subgraph-paused": 1}
    questions = threads["hitl-paused"]["questions"]
    assert [question["tool"] for question in questions] == ["refund", "refund", "send_email"]
    assert questions[0]["args"] == {"order": "O1", "amount": 900}
    assert [
        thread["thread"] for thread in run("threads", "list", "--status", "paused", "--db", foreign)["threads"]
    ] == [
        "hitl-each-paused",
        "hitl-paused",
        "subgraph-paused",
    ]


def test_an_edit_is_shown_with_what_the_model_proposed(foreign: str) -> None:
    shown = run("threads", "show", "hitl-edit", "--db", foreign)
    (pause,) = [one for step in shown["steps"] for one in step["questions"]]
    assert (pause["question"]["args"]["amount"], pause["answer"]["type"], pause["answer"]["args"]["amount"]) == (
        900,
        "edit",
        20,
    )
    (edited,) = [m["data"] for m in shown["messages"] if m["type"] == "ai" and m["data"]["tool_calls"]]
    assert edited["tool_calls"][0]["args"]["amount"] == 20
    assert edited["response_metadata"]["edit"]["proposal"]["tool_calls"][0]["args"]["amount"] == 900
    text = CliRunner().invoke(app, ["threads", "show", "hitl-edit", "--db", foreign], catch_exceptions=False).stdout
    assert 'asked  human: refund(order="O1", amount=900)' in text
    assert "— answered edit" in text
    assert "the model proposed refund" in text


def test_every_thread_can_be_shown_drawn_compared_and_written_to_a_file(foreign: str, tmp_path: Path) -> None:
    """All of them in SQLite, every third in PostgreSQL, whose rows the bulk reader's tests compare."""
    threads = run("threads", "list", "--db", foreign)["threads"]
    for thread in threads[:: 1 if foreign.startswith("sqlite") else 3]:
        name = thread["thread"]
        shown = run("threads", "show", name, "--db", foreign)
        tree = run("threads", "tree", name, "--db", foreign)
        assert shown["checkpoint"] == tree["head"]
        assert shown["branches"] == len(tree["leaves"])
        for leaf in tree["leaves"]:
            found = run("threads", "diff", name, f"{name}@{leaf}", "--db", foreign)
            assert leaf != tree["head"] or (found["only_a"], found["only_b"]) == ([], [])
        written = run("threads", "export-file", name, tmp_path / "t.jsonl", "--db", foreign)
        assert written["checkpoints"] >= len(tree["checkpoints"])
    forked = run("threads", "tree", "plain-forked", "--db", foreign)
    assert len(forked["leaves"]) > 1
    assert run("threads", "tree", "subgraph-tool", "--db", foreign)["namespaces"]


def test_an_export_trains_on_the_call_that_a_person_put_there_and_never_on_the_rejected_one(
    foreign: str, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(SEED_POLICY)
    run("export", "sft", "--all", "--out", tmp_path / "sft", "--db", foreign)
    rows = [json.loads(line) for line in (tmp_path / "sft" / "train.jsonl").read_text().splitlines()]
    trained = {}
    for row in rows:
        labels = [label for label in row["labels"] if label != -100]
        trained.setdefault(row["thread"], "")
        trained[row["thread"]] += tokenizer.decode(labels)
    assert '"amount": 20}' in trained["hitl-edit"]
    assert "900" not in trained["hitl-edit"]
    assert trained["subgraph-tool"].count("<|im_end|>") == 4  # two turns of the agent, two of the one inside its tool
    assert {row["tokens"] for row in rows} == {"rendered"}


def test_edits_are_preference_pairs(foreign: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(SEED_POLICY)
    made = run("export", "pairs", "--out", tmp_path / "pairs", "--db", foreign)
    assert made["by_source"] == {"human_edit": 3, "repair": 1}
    assert made["left_out"]["human_edit: a person refused another call of it"] == 2
    rows = [json.loads(line) for line in (tmp_path / "pairs" / "train.jsonl").read_text().splitlines()]
    (row,) = [row for row in rows if row["threads"][0] == "subgraph-answered"]
    call = '<tool_call>{{"name": "refund", "arguments": {{"order": "O1", "amount": {}}}}}</tool_call><|im_end|>'
    assert tokenizer.decode(row["chosen_ids"]) == call.format(20)
    assert tokenizer.decode(row["rejected_ids"]) == call.format(900)


def test_a_label_makes_our_tables_and_leaves_theirs_alone(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    file.write_bytes(Path(sqlite_url.removeprefix("sqlite:///")).read_bytes())
    url = f"sqlite:///{file}"
    with open_store(url, read_only=True) as store:
        assert not store.has_labels
    run("threads", "label", "agent", "success", "1", "--db", url)
    found = run("threads", "list", "--label", "success=1", "--db", url)["threads"]
    assert [thread["thread"] for thread in found] == ["agent"]
    made = run("export", "sft", "--out", tmp_path / "sft", "--db", url)
    assert made["rows"] >= 1
