"""An agent ``shop`` for a folder of its own, and what `threadmill threads …` says there."""

import json
import re
from pathlib import Path
from typing import Any

from threadmill.checkpoints.data_sets import record_data_set
from threadmill.checkpoints.reading import checkpoint_tree
from threadmill.checkpoints.registry import register_version
from threadmill.checkpoints.store import open_store
from threadmill.cli.main import app
from threadmill.cli.own_agents import open_own_agent
from threadmill.errors import ThreadmillError
from threadmill.graphs import run_thread
from typer.testing import CliRunner

SHOP = '''
import re
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from threadmill.graphs import build_react
from threadmill.nodes import Asked, ScriptedModel, Slot

@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"

def say(messages):
    """Pays every number that the user said, at once, then repeats what came of it."""
    text = messages[-1].text
    if messages[-1].type == "human" and (amounts := re.findall(r"\\d+", text)):
        calls = [{"name": "pay", "args": {"amount": int(n)}, "id": f"c{n}"} for n in amounts]
        return AIMessage("I pay.", tool_calls=calls)
    return AIMessage(f"Done: {text}")

def hasty(messages):
    return AIMessage("I do not pay.")

def ask(name, args):
    if args["amount"] >= 100:
        return Asked("a lot of money", "treasurer")
    return "money" if args["amount"] >= 10 else None

slot = Slot(
    "shop.think", lambda: "shop.think@0001", lambda version: ScriptedModel(hasty if "0002" in version else say)
)
shop = build_react(slot, [pay], name="shop", ask=ask)
'''


def write_shop(folder: Path) -> None:
    """The agent's code, and the file in which commands find it."""
    (folder / "agents.py").write_text(SHOP)
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"shop": "./agents.py:shop"}}))


def chat(*turns: str, thread: str = "t", **metadata: str) -> None:
    with open_store("sqlite:///runs.db") as store:
        shop = open_own_agent(store, "shop", "./agents.py:shop")
        for text in turns:
            run_thread(shop, thread, text, metadata=metadata)


def invoke(*arguments: Any, given: str | None = None) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["threads", *map(str, arguments)], input=given)


def lines(*arguments: Any) -> list[str]:
    """What people read; ids, times and durations written as signs."""
    done = invoke(*arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b", "CHECKPOINT", done.stdout)
    text = re.sub(r"\b[0-9a-f]{8}(?= )", "CHECKPNT", text)
    text = re.sub(r"\d+ ms", "N ms", text)
    return [line.rstrip() for line in text.splitlines()]


def parsed(*arguments: Any) -> Any:
    """The one JSON document on stdout."""
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def refused(*arguments: Any) -> str:
    done = invoke(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert isinstance(done.exception, ThreadmillError)
    return str(done.exception)


def misused(*arguments: Any) -> str:
    done = invoke(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    return " ".join(re.sub("[│╭╮╰╯─]", "", done.stderr).split())


def checkpoint(number: int, thread: str = "t") -> str:
    with open_store("sqlite:///runs.db") as store:
        return checkpoint_tree(store, thread)[number].checkpoint


def used(folder: Path, *threads: str) -> None:
    """A data set of ``threads`` and a version that learnt from it."""
    weights = folder / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"x")
    (weights / "config.json").write_text("{}")
    with open_store("sqlite:///runs.db") as store:
        record_data_set(store, digest="d1", kind="sft", folder="data", threads=threads)
        register_version(store, "shop.think", weights, lineage={"runs": [{"data": {"digest": "d1"}}]})
