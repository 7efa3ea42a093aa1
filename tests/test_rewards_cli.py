"""``threadmill rewards``: scores as a table and as JSON, what is left out, and the alarm of a hacked run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from threadmill.checkpoints.labels import Label, add_labels, labels_of
from threadmill.checkpoints.store import open_store
from threadmill.cli.main import app
from threadmill.graphs.run import run_thread
from threadmill.training.rewards.series import Seen
from threadmill.training.rewards.stored import read_scores
from typer.testing import CliRunner

CONFIG = "[rewards]\npartial = 1.0\n[rewards.length]\nweight = 0.5\nmax_tokens = 10\nbuffer = 5\n"


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two threads of a task, one of them solved, and one that nobody judged."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rewards.toml").write_text(CONFIG)
    url = "sqlite:///runs.db"
    says = AIMessage("Done.", usage_metadata={"input_tokens": 3, "output_tokens": 8, "total_tokens": 11})
    with open_store(url) as store:
        builder = StateGraph(MessagesState)
        builder.add_node("think", lambda state: {"messages": [says]})
        builder.add_edge(START, "think")
        builder.add_edge("think", END)
        graph: Any = builder.compile(checkpointer=store.saver, name="desk")
        for thread, task in (("a", "pay-1"), ("b", "pay-1"), ("c", "pay-2")):
            run_thread(graph, thread, "Pay.", metadata={"task": task})
        add_labels(
            store, [Label("a", None, None, "reward", 1.0, "check"), Label("b", None, None, "reward", 0.5, "check")]
        )
    return url


def test_threads_are_scored_with_components_apart_and_nothing_is_written(db: str):
    result = CliRunner().invoke(app, ["rewards", "score", "--config", "rewards.toml", "--db", db, "--json"])
    said = json.loads(result.stdout)
    assert result.exit_code == 0
    assert said["threads"] == [
        {"thread": "a", "total": 0.7, "components": {"partial": 1.0, "length": -0.6}, "notes": {}},
        {"thread": "b", "total": 0.2, "components": {"partial": 0.5, "length": -0.6}, "notes": {}},
    ]
    assert said["means"] == {"total": pytest.approx(0.45), "partial": 0.75, "length": -0.6}
    assert [one["thread"] for one in said["left_out"]] == ["c"]
    assert "thread 'c' has no judgement" in said["left_out"][0]["reason"]
    with open_store(db) as store:
        assert {thread: len(labels) for thread, labels in labels_of(store).items()} == {"a": 1, "b": 1}


def test_components_are_kept_if_asked_for(db: str):
    result = CliRunner().invoke(
        app, ["rewards", "score", "--config", "rewards.toml", "--where", "thread=a", "--record", "--db", db]
    )
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["thread", "total", "partial", "length"],
        ["a", "0.700", "1.000", "-0.600"],
        ["mean", "0.700", "1.000", "-0.600"],
    ]
    with open_store(db) as store:
        assert read_scores(store)["a"].components == {"partial": 1.0, "length": -0.6}


def test_if_nothing_can_be_scored_the_command_fails_and_says_why(db: str):
    result = CliRunner().invoke(
        app, ["rewards", "score", "--config", "rewards.toml", "--where", "thread=c", "--db", db]
    )
    assert result.exit_code == 1
    assert "left out 1: thread 'c' has no judgement" in result.stderr


def write_run(folder: Path, late: float) -> None:
    notes: list[dict[str, Any]] = [
        {"kind": "rewards", **asdict(Seen(step, step / 8, {"judge": step / 8}, 30.0, 0.3))} for step in range(8)
    ]
    for step, success in ((0, 1.0), (7, late)):
        notes.append({"kind": "held_out", "step": step, "success": {f"t{n}": success for n in range(8)}})
    (folder / "training.json").write_text(json.dumps({"noted": notes}))


def test_a_hacked_run_raises_an_alarm(tmp_path: Path):
    write_run(tmp_path, late=0.5)
    result = CliRunner().invoke(app, ["rewards", "watch", str(tmp_path)])
    assert result.exit_code == 1
    assert "8 steps, 2 evaluations on held-out tasks\nALARM  judge rises from 0 to 0.875" in result.stdout


def test_a_healthy_run_raises_none(tmp_path: Path):
    write_run(tmp_path, late=1.0)
    result = CliRunner().invoke(app, ["rewards", "watch", str(tmp_path), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"steps": 8, "evaluations": 2, "signs": []}
