"""The command: JSON on stdout, one clear line on stderr, exit codes, and the pause-and-answer line."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_here import threadmill
from langchain_core.messages import AIMessage
from sqlalchemy.exc import OperationalError
from threadmill.checkpoints.registry import register_version
from threadmill.checkpoints.store import open_store
from threadmill.graphs import run_thread
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.rollout import worlds_folder
from threadmill.training.slots import SEED_POLICY
from threadmill.training.worlds.helpdesk.agent import build_helpdesk
from threadmill.training.worlds.helpdesk.database import make_world, read_end_state, write_world

WORLD = make_world("train", 3)
ORDER = next(order for order in WORLD.orders if order.amount > 110)


def printed(*arguments: str) -> Any:
    done = threadmill(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def db(tmp_path: Path) -> str:
    """A database with one thread that waits for an answer about a refund of 110."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    call = {"name": "refund", "args": {"order_id": ORDER.id, "amount": 110}, "id": "call-1"}
    with open_store(url) as store:
        register_version(store, "helpdesk.think", SEED_POLICY, lineage={})
        slot = Slot.fixed("helpdesk.think", ScriptedModel([AIMessage("", tool_calls=[call])]), "helpdesk.think@0001")
        agent = build_helpdesk(slot).compile(checkpointer=store.saver, name="helpdesk")
        world = worlds_folder(store) / "x7.db"
        world.parent.mkdir()
        write_world(WORLD, world)
        assert (
            run_thread(agent, "x7", f"Refund 110 for {ORDER.id}.", configurable={"world": str(world)}).status
            == "paused"
        )
    return url


@pytest.mark.parametrize(
    ("answer", "refunds"),
    [
        (("approve",), ((ORDER.id, 110),)),
        (("edit", "--args", '{"amount": 60}'), ((ORDER.id, 60),)),
        (("reject", "--reason", "too late"), ()),
        (("respond", "--text", "done by hand"), ()),
    ],
)
def test_a_paused_thread_is_answered_from_the_command_line(db: str, answer: tuple[str, ...], refunds: Any) -> None:
    (thread,) = printed("threads", "list", "--db", db, "--status", "paused")["threads"]
    assert (thread["thread"], thread["agent"], thread["turns"]) == ("x7", "helpdesk", 1)
    verb, *options = answer
    outcome = printed("threads", verb, "x7", *options, "--by", "eva", "--db", db)
    assert outcome["thread"] == "x7"
    assert outcome["status"] == "done"
    with open_store(db) as store:
        assert read_end_state(worlds_folder(store) / "x7.db").refunds == refunds
    shown = threadmill("threads", "show", "x7", "--db", db).stdout
    assert {"approve": "(result", "edit": "edited by eva", "reject": "too late", "respond": "done by hand"}[
        verb
    ] in shown
    assert "helpdesk.think@0001" in shown
    again = threadmill("threads", "approve", "x7", "--db", db)
    assert (again.returncode, again.stderr.startswith("error: thread 'x7' asks nothing")) == (1, True)


def test_errors_are_one_line_with_the_next_step(tmp_path: Path, db: str) -> None:
    none = f"sqlite:///{tmp_path / 'none.db'}"
    for arguments, complaint in {
        ("threads", "list", "--db", none): "does not exist",
        ("threads", "show", "x8", "--db", db): "thread 'x8' has no checkpoints",
        ("models", "show", "shop.think@live", "--db", db): "no slot 'shop.think' is registered",
        ("run", "shop", "Hi", "--db", db): "no agent 'shop' is built in",
        ("rollout", "shop", "--db", db): "no suite 'shop'",
        ("export", "sft", "--out", str(tmp_path / "out"), "--db", none): "does not exist",
        ("train", "sft", "--data", str(tmp_path / "nodata"), "--out", str(tmp_path / "m")): "nodata",
        ("threads", "import", str(tmp_path / "no.jsonl"), "--db", db): "cannot be read",
    }.items():
        done = threadmill(*arguments)
        assert done.returncode == 1, (arguments, done.stderr)
        assert done.stdout == ""
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("error: ")
        assert complaint in last
    assert threadmill("threads", "list", "--status", "sleeping", "--db", db).returncode == 2
    assert threadmill("threads", "nonsense").returncode == 2


@pytest.mark.parametrize(("says", "next_step"), [("database is locked", "wait for that one"), ("is readonly", "right")])
def test_what_the_database_refuses_is_one_line(db: str, monkeypatch: Any, says: str, next_step: str) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OperationalError("INSERT INTO leases", {}, sqlite3.OperationalError(says))

    monkeypatch.setattr("threadmill.checkpoints.threads.list_threads", refuse)
    done = threadmill("threads", "list", "--db", db)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"error: the database says: {says}; what was finished is kept; ")
    assert next_step in done.stderr


def test_the_command_is_a_program(tmp_path: Path) -> None:
    none = f"sqlite:///{tmp_path / 'none.db'}"
    command = [sys.executable, "-m", "threadmill.cli.main", "threads", "list", "--db", none]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, "does not exist" in done.stderr) == (1, "", True)


def test_help_is_instant_and_every_command_shows_an_example() -> None:
    code = (
        "import sys; from threadmill.cli.main import app; import typer; group = typer.main.get_command(app)\n"
        "heavy = {'torch', 'transformers', 'langgraph', 'langchain_core', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "def walk(name, command):\n"
        "    for sub, inner in getattr(command, 'commands', {}).items(): walk(name + ' ' + sub, inner)\n"
        "    if not getattr(command, 'commands', {}): print(name, 'Example: ' + name in (command.help or ''))\n"
        "walk('threadmill', group)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) > 20
    assert [line for line in lines if not line.endswith("True")] == []


def test_models_are_registered_promoted_and_rolled_back(db: str, tiny_folder: Path) -> None:
    for name in ("0001", "0002"):
        assert (
            printed("models", "register", "shop.think", str(tiny_folder), "--db", db)["version"] == f"shop.think@{name}"
        )
        printed("models", "promote", f"shop.think@{name}", "--because", "test", "--db", db)
    assert printed("models", "rollback", "shop.think", "--because", "test", "--db", db)["version"] == "shop.think@0001"
    versions = printed("models", "list", "shop.think", "--db", db)["versions"]
    assert [(v["version"], v["aliases"]) for v in versions] == [
        ("shop.think@0001", ["live"]),
        ("shop.think@0002", ["previous"]),
    ]
    assert [m["action"] for m in printed("models", "history", "shop.think", "--db", db)["moves"]] == [
        "promote",
        "promote",
        "rollback",
    ]


def test_the_readme_names_every_command_it_should() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    for command in (
        "quickstart",
        "rollout",
        "run",
        "threads list",
        "threads approve",
        "threads import",
        "export sft",
        "export pairs",
        "export openai",
        "export preview",
        "train sft",
        "train dpo",
        "train grpo",
        "eval",
        "models promote",
        "models rollback",
    ):
        assert f"threadmill {command}" in readme or f"make {command}" in readme, command
