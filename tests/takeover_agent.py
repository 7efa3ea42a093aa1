"""A shop agent for ``test_takeover.py``, and a process that drives it and stays inside the tool:

    python takeover_agent.py URL FOLDER run|answer|continue sync|async BEAT_EVERY_S STALE_AFTER_S

Says ``buying`` when it is in the tool and goes on when it is sent a line; in the end it says what came of it.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from threadmill import graphs
from threadmill.checkpoints import Store, open_store
from threadmill.checkpoints.lease import open_leases
from threadmill.errors import ThreadmillError
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot

TURNS = ["a lamp", "a desk"]
YES = [{"id": "a desk", "type": "approve", "by": "eve", "at": "2026-01-01T00:00:00"}]


def say(messages: list[BaseMessage]) -> AIMessage:
    """Buy what the last turn names, then say so."""
    last = messages[-1]
    if last.type != "human":
        return AIMessage(f"Here is {last.text}.", id=f"{last.text} is here")
    return AIMessage("", tool_calls=[{"name": "buy", "args": {"what": last.text}, "id": last.text}], id=last.text)


def ask(tool: str, args: dict[str, Any]) -> str | None:
    return "desks are dear" if args["what"] == "a desk" else None


def build_shop(store: Store, folder: Path, meanwhile: Callable[[], Any] = lambda: None) -> Any:
    """The agent. It books into ``folder``: every run into ``runs``, every purchase once by its key into ``bought``."""

    @tool
    def buy(what: str, config: RunnableConfig) -> str:
        """Buy."""
        key = config.get("configurable", {})["idempotency_key"]
        append(folder / "runs", what)
        meanwhile()
        if key not in (folder / "bought").read_text():
            append(folder / "bought", f"{key} {what}")
        return what

    slot = Slot.fixed("shop.think", ScriptedModel(say), "v1")
    return build_react(slot, [buy], ask=ask, name="shop", timeout_s=None).compile(checkpointer=store.saver)


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        print(line, file=file)


def wait() -> None:
    print("buying", flush=True)
    sys.stdin.readline()


def drive(url: str, folder: Path, deed: str, how: str, beat_every_s: float, stale_after_s: float) -> None:
    with open_store(url) as store:
        store.leases = open_leases(store.engine, beat_every_s=beat_every_s, stale_after_s=stale_after_s)
        store.saver.leases = store.leases
        given = {"run": [TURNS[0]], "answer": [YES], "continue": []}[deed]
        function = getattr(graphs, f"{'a' if how == 'async' else ''}{deed}_thread")
        try:
            outcome = function(build_shop(store, folder, wait), "t", *given)
            print(asyncio.run(outcome) if how == "async" else outcome, flush=True)
        except ThreadmillError as error:
            print(f"{type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    drive(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4], float(sys.argv[5]), float(sys.argv[6]))
