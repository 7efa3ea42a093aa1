"""Threads for people: what others wrote is shown as it is, and never taken for markup or terminal codes."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from threadmill.checkpoints.labels import Label, add_label, labels_of
from threadmill.checkpoints.store import Store, open_store
from threadmill.cli.main import app
from threadmill.cli.place import user
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot
from typer.testing import CliRunner

ODD = "x[/b]:cat:"


def parrot(store: Store, says: str) -> Any:
    slot = Slot.fixed("shop.think", ScriptedModel([AIMessage(says)]), "shop.think@0001")
    return build_react(slot, []).compile(checkpointer=store.saver)


def printed(*arguments: str) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_success_that_is_no_number_is_wrong_usage(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/runs.db"
    with open_store(db) as store:
        run_thread(parrot(store, "Hi."), "t", "Hi.")
    arguments = ("threads", "label", "t", "--db", db)
    assert CliRunner().invoke(app, [*arguments, "success", "maybe"]).exit_code == 2
    assert printed(*arguments, "feedback", "maybe") == "t: feedback maybe (person)\n"
    with open_store(db) as store:
        assert labels_of(store) == {"t": [Label("t", None, None, "feedback", "maybe", "person")]}


def test_a_user_without_a_name_may_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 3)
    assert user() == "human"


def test_brackets_and_control_characters_are_shown_as_written(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/runs.db"
    with open_store(db) as store:
        run_thread(parrot(store, "\x1b]0;mine\x07 é [bold]"), ODD, "Hi [/red].")
        add_label(store, Label(ODD, None, None, "feedback", "bad [/oops]", "eva"))
    row = next(line for line in printed("threads", "list", "--db", db).splitlines() if "done" in line)
    assert [cell.strip() for cell in row.split("│")[1:8]] == [
        ODD, "agent", "", "done", "1", "shop.think@0001", "feedback bad [/oops]"
    ]  # fmt: skip
    shown = printed("threads", "show", ODD, "--db", db).splitlines()
    assert shown == [
        f"thread {ODD} · agent agent",
        "human  Hi [/red].",
        r"ai     [shop.think@0001] \x1b]0;mine\x07 é [bold]",
    ]
