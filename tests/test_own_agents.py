"""Commands run agents of the user's own, named in the ``langgraph.json`` that LangGraph's dev server reads too."""

import json
from pathlib import Path
from typing import Any

import pytest
from threadmill.checkpoints.store import open_store
from threadmill.cli.main import app
from threadmill.cli.own_agents import open_own_agent
from threadmill.errors import UnknownSuite
from threadmill.graphs import run_thread
from typer.testing import CliRunner

SHOP = '''
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot

@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"

def say(messages):
    if messages[-1].type == "human":
        return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": 300}, "id": "c1"}])
    return AIMessage(f"Done: {messages[-1].text}")

slot = Slot.fixed("shop.think", ScriptedModel(say), "shop.think@0001")
shop = build_react(slot, [pay], name="shop", ask=lambda name, args: "money")
compiled = shop.compile()
def made():
    return shop
def needy(config):
    return shop
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "agents.py").write_text(SHOP)
    (tmp_path / "langgraph.json").write_text(json.dumps({"graphs": {"shop": {"path": "./agents.py:shop"}}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    return tmp_path


def run(*arguments: Any) -> Any:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("variable", ["shop", "compiled", "made"])
def test_a_thread_of_one_s_own_agent_is_answered_forked_and_replayed(folder: Path, variable: str) -> None:
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"shop": f"./agents.py:{variable}"}}))
    with open_store("sqlite:///runs.db") as store:
        run_thread(open_own_agent(store, "shop", f"./agents.py:{variable}"), "t", "Pay.")
    (thread,) = run("threads", "list")["threads"]
    assert (thread["agent"], thread["status"], thread["questions"][0]["tool"]) == ("shop", "paused", "pay")
    assert run("threads", "edit", "t", "--args", '{"amount": 60}')["answer"] == "Done: paid 60"
    tree = run("threads", "tree", "t")
    at = next(one["checkpoint"] for one in tree["checkpoints"] if one["asks"])
    replay = run("threads", "replay", "t", "--at", at, "--recorded")
    assert (replay["status"], replay["divergence"]) == ("done", None)
    assert run("threads", "fork", "t", "--at", at, "--run")["status"] == "paused"
    assert run("threads", "approve", "t")["answer"] == "Done: paid 300"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("./agents.py:nobody", "has no attribute 'nobody'"),
        ("./none.py:shop", "there is no file"),
        ("./agents.py:SHOPS", "cannot be loaded"),
        ("./agents.py:slot", "is a Slot, not a LangGraph graph"),
        ("./agents.py:needy", "needs config; resume its threads from Python"),
    ],
)
def test_what_is_no_agent_is_named(folder: Path, place: str, says: str) -> None:
    with open_store("sqlite:///runs.db") as store, pytest.raises(UnknownSuite, match=says):
        open_own_agent(store, "shop", place)


CLERK = """
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from threadmill.nodes import ScriptedModel

named = create_agent(ScriptedModel(lambda messages: AIMessage(f"Heard {len(messages)}.")), [], name="clerk")
nameless = create_agent(ScriptedModel(lambda messages: AIMessage("Yes.")), [])
"""


def test_threads_of_a_plain_langchain_agent_run_on_by_the_name_that_the_list_shows(folder: Path) -> None:
    (folder / "clerks.py").write_text(CLERK)
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"clerk": "./clerks.py:named"}}))
    with open_store("sqlite:///runs.db") as store:
        for name in ("named", "nameless"):
            agent = open_own_agent(store, name, f"./clerks.py:{name}")
            agent.invoke({"messages": [("user", "Hi.")]}, {"configurable": {"thread_id": name}})
    assert {one["thread"]: one["agent"] for one in run("threads", "list")["threads"]} == {
        "named": "clerk",
        "nameless": "",
    }
    at = run("threads", "tree", "named")["checkpoints"][1]["checkpoint"]
    forked = run("threads", "fork", "named", "--at", at, "--run")
    assert (forked["status"], len(run("threads", "tree", "named")["leaves"])) == ("done", 2)
    shown = CliRunner().invoke(app, ["threads", "show", "nameless"], catch_exceptions=False).stdout.splitlines()
    assert shown == ["thread nameless", "human  Hi.", "ai     Yes."]
    with pytest.raises(UnknownSuite, match="the thread does not say which agent wrote it"):
        CliRunner().invoke(app, ["threads", "continue", "nameless"], catch_exceptions=False)
