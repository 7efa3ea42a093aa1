"""Threads for people: what others wrote is shown as it is, and never taken for markup or terminal codes."""

from pathlib import Path

from langchain_core.messages import AIMessage
from threadmill.checkpoints.labels import Label, add_label
from threadmill.checkpoints.store import open_store
from threadmill.cli.main import app
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot
from typer.testing import CliRunner

ODD = "x[/b]:cat:"


def printed(*arguments: str) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_brackets_and_control_characters_are_shown_as_written(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/runs.db"
    with open_store(db) as store:
        slot = Slot.fixed("shop.think", ScriptedModel([AIMessage("\x1b]0;mine\x07 é [bold]")]), "shop.think@0001")
        run_thread(build_react(slot, []).compile(checkpointer=store.saver), ODD, "Hi [/red].")
        add_label(store, Label(ODD, None, None, "feedback", "bad [/oops]", "eva"))
    row = next(line for line in printed("threads", "list", "--db", db).splitlines() if "done" in line)
    assert [cell.strip() for cell in row.split("│")[1:7]] == [
        ODD, "agent", "done", "1", "shop.think@0001", "feedback bad [/oops]"
    ]  # fmt: skip
    shown = printed("threads", "show", ODD, "--db", db).splitlines()
    assert shown == [
        f"thread {ODD} · agent agent",
        "human  Hi [/red].",
        r"ai     [shop.think@0001] \x1b]0;mine\x07 é [bold]",
    ]
