"""LangGraph's own dev server and SDK drive our agents: thread, run, interrupt, resume, history, fork.

The server is the real one, started as ``langgraph dev`` with its own saver. Nothing here needs a network or a key.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient
from threadmill.checkpoints.messages import merge_messages
from threadmill.training.worlds.helpdesk.database import make_world, write_world

ROOT = Path(__file__).parent.parent
STARTS_WITHIN_S = 60

TILL = '''
"""A till that pays what the customer says and asks before each payment."""

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool

from threadmill.graphs import build_react
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot


@tool
def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


def reply(messages):
    if isinstance(messages[-1], ToolMessage):
        return AIMessage(messages[-1].text)
    amounts = messages[-1].text.split()
    calls = [{"name": "pay", "args": {"amount": int(n)}, "id": f"call-{n}"} for n in amounts]
    return AIMessage("", tool_calls=calls)


slot = Slot.fixed("till.think", ScriptedModel(reply), "scripted")
till = build_react(slot, [pay], ask=lambda tool, args: "money leaves the till", name="till")
'''


@contextmanager
def dev_server(config: Path, folder: Path) -> Iterator[SyncLangGraphClient]:
    """``langgraph dev`` for ``config``, run in ``folder``, where it leaves its files; killed at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = ["langgraph", "dev", "--config", str(config), "--port", str(port), "--no-browser", "--no-reload"]
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(Path(sys.executable).parent / command[0]), *command[1:]],
            cwd=folder,
            env=_offline(folder),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_up(server, url, log)
        with get_sync_client(url=url, api_key=None) as client:
            yield client
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _offline(folder: Path) -> dict[str, str]:
    """No keys, no analytics, no version check; whatever still looks outside finds a proxy that is not there."""
    ours = ("LANGSMITH_", "LANGCHAIN_", "LANGGRAPH_", "THREADMILL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    nowhere = "http://127.0.0.1:9"
    return kept | {
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGGRAPH_NO_VERSION_CHECK": "true",
        "LANGSMITH_TRACING": "false",
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "THREADMILL_DB": f"sqlite:///{folder}/runs.db",
    }


def _wait_until_up(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/ok", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the dev server did not come up:\n{log.read_text(errors='replace')[-4000:]}")


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncLangGraphClient]:
    folder = tmp_path_factory.mktemp("till")
    (folder / "agents.py").write_text(TILL)
    config = folder / "langgraph.json"
    config.write_text(json.dumps({"dependencies": ["."], "graphs": {"till": "./agents.py:till"}}))
    with dev_server(config, folder) as client:
        yield client


@pytest.fixture(scope="module")
def helpdesk_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("helpdesk")


@pytest.fixture(scope="module")
def helpdesk(helpdesk_folder: Path) -> Iterator[SyncLangGraphClient]:
    with dev_server(ROOT / "langgraph.json", helpdesk_folder) as client:
        yield client


def say(client: SyncLangGraphClient, thread: str, text: str, agent: str = "till", **settings: Any) -> dict[str, Any]:
    """One user turn; the state after it."""
    given = {"messages": [{"role": "user", "content": text}]}
    return client.runs.wait(thread, agent, input=given, config={"configurable": settings})


def answer(client: SyncLangGraphClient, thread: str, *answers: dict[str, Any]) -> dict[str, Any]:
    return client.runs.wait(thread, "till", command={"resume": {"answers": list(answers)}})


def new_thread(client: SyncLangGraphClient) -> str:
    return client.threads.create()["thread_id"]


def asked(state: dict[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    """Id, arguments and reason of the open questions in what a run returned."""
    questions = [question for interrupt in state["__interrupt__"] for question in interrupt["value"]["questions"]]
    return [(question["id"], question["args"], question["why"]) for question in questions]


def said(state: dict[str, Any]) -> list[str]:
    return [f"{message['type']}: {message['content']}" for message in state["messages"]]


def test_a_run_pauses_at_its_questions_and_goes_on_with_the_answers(till: SyncLangGraphClient) -> None:
    thread = new_thread(till)
    paused = say(till, thread, "7 8")
    assert asked(paused) == [
        ("call-7", {"amount": 7}, "money leaves the till"),
        ("call-8", {"amount": 8}, "money leaves the till"),
    ]
    assert till.threads.get(thread)["status"] == "interrupted"

    done = answer(
        till,
        thread,
        {"id": "call-7", "type": "edit", "args": {"amount": 3}, "by": "ada"},
        {"id": "call-8", "type": "reject", "text": "too much"},
    )
    assert said(done) == [
        "human: 7 8",
        "ai: ",
        "tool: paid 3",
        "tool: a person refused this call: too much",
        "ai: a person refused this call: too much",
    ]
    assert till.threads.get(thread)["status"] == "idle"
    edit = done["messages"][1]["response_metadata"]["edit"]
    assert (edit["by"], edit["proposal"]["tool_calls"][0]["args"]) == ("ada", {"amount": 7})


def test_wrong_answers_are_refused_and_the_question_stays(till: SyncLangGraphClient) -> None:
    thread = new_thread(till)
    question = asked(say(till, thread, "5"))
    with pytest.raises(Exception, match="no question has the id 'call-6'; open are 'call-5'"):
        answer(till, thread, {"id": "call-6", "type": "approve"})
    with pytest.raises(Exception, match="'agree' is not a choice for 'call-5'"):
        answer(till, thread, {"id": "call-5", "type": "agree"})
    with pytest.raises(Exception, match="invalid arguments for pay"):
        answer(till, thread, {"id": "call-5", "type": "edit", "args": {"amount": "much"}})
    assert asked({"__interrupt__": till.threads.get_state(thread)["interrupts"]}) == question
    assert said(answer(till, thread, {"id": "call-5", "type": "approve"}))[-1] == "ai: paid 5"


def test_the_history_holds_every_step_of_a_turn(till: SyncLangGraphClient) -> None:
    thread = new_thread(till)
    say(till, thread, "5")
    answer(till, thread, {"id": "call-5", "type": "approve"})
    history = till.threads.get_history(thread, limit=100)
    steps = [(state["next"], len(state["values"].get("messages", [])), len(state["interrupts"])) for state in history]
    assert steps[::-1] == [
        (["__start__"], 0, 0),
        (["observe"], 1, 0),
        (["think"], 1, 0),
        (["act"], 2, 1),
        (["tool"], 2, 0),
        (["observe"], 3, 0),
        (["think"], 3, 0),
        ([], 4, 0),
    ]
    assert said(history[0]["values"]) == ["human: 5", "ai: ", "tool: paid 5", "ai: paid 5"]


def test_a_fork_with_another_message_runs_beside_the_old_branch(till: SyncLangGraphClient) -> None:
    thread = new_thread(till)
    say(till, thread, "5")
    answer(till, thread, {"id": "call-5", "type": "approve"})
    old = till.threads.get_history(thread, limit=100)
    begun = next(state for state in old[::-1] if state["next"] == ["think"])
    (message,) = begun["values"]["messages"]

    changed = {"messages": [{**message, "content": "9"}]}
    fork = till.threads.update_state(thread, changed, checkpoint=begun["checkpoint"])
    paused = till.runs.wait(thread, "till", input=None, checkpoint=fork["checkpoint"])
    assert asked(paused) == [("call-9", {"amount": 9}, "money leaves the till")]
    done = answer(till, thread, {"id": "call-9", "type": "approve"})
    assert said(done) == ["human: 9", "ai: ", "tool: paid 9", "ai: paid 9"]

    now = till.threads.get_history(thread, limit=100)
    assert [state for state in now if state in old] == old
    assert said(now[0]["values"]) == said(done)
    children = [state for state in now if state["parent_checkpoint"] == begun["checkpoint"]]
    assert [state["metadata"]["source"] for state in children] == ["update", "loop"]


def test_the_repositorys_config_serves_the_helpdesk_in_a_world_of_the_threads_own(
    helpdesk: SyncLangGraphClient, helpdesk_folder: Path
) -> None:
    thread = new_thread(helpdesk)
    state = say(helpdesk, thread, "What does gift wrapping cost?", "helpdesk", seed=0, temperature=0.0)
    assert said(state)[2:] == ["tool: gift wrapping costs 35", "ai: It is 35."]
    assert state["versions"] == {"helpdesk.think": "seed"}
    assert "trace" in state["messages"][-1]["response_metadata"]
    assert (helpdesk_folder / ".langgraph_api" / "worlds" / f"{thread}.db").exists()


def test_a_thread_goes_on_in_the_world_that_it_was_given_first(helpdesk: SyncLangGraphClient, tmp_path: Path) -> None:
    world = tmp_path / "shop.db"
    write_world(make_world("train", 7), world)  # in the agent's own world it costs 35
    thread = new_thread(helpdesk)
    question = "What does gift wrapping cost?"
    say(helpdesk, thread, question, "helpdesk", temperature=0.0, world=str(world))
    state = say(helpdesk, thread, question, "helpdesk", temperature=0.0)
    tools = [message["content"] for message in state["messages"] if message["type"] == "tool"]
    assert tools == ["gift wrapping costs 65"] * 2


def test_a_thread_that_the_server_copied_has_a_world(helpdesk: SyncLangGraphClient) -> None:
    thread = new_thread(helpdesk)
    question = "What does gift wrapping cost?"
    say(helpdesk, thread, question, "helpdesk", temperature=0.0)
    copied = helpdesk.threads.copy(thread)["thread_id"]
    state = say(helpdesk, copied, question, "helpdesk", temperature=0.0)
    tools = [message["content"] for message in state["messages"] if message["type"] == "tool"]
    assert tools == ["gift wrapping costs 35"] * 2


def test_studio_learns_what_the_agent_takes_and_how_it_looks(helpdesk: SyncLangGraphClient) -> None:
    (assistant,) = helpdesk.assistants.search(graph_id="helpdesk")
    schemas = helpdesk.assistants.get_schemas(assistant["assistant_id"])
    drawn = helpdesk.assistants.get_graph(assistant["assistant_id"])
    assert list((schemas["input_schema"] or {})["properties"]) == ["messages", "versions", "context"]
    assert [node["id"] for node in drawn["nodes"]] == ["__start__", "observe", "think", "act", "tool", "__end__"]


def test_messages_that_the_server_reads_as_plain_dicts_lose_nothing() -> None:
    unreadable = {"type": "invalid_tool_call", "id": "c", "name": "pay", "args": "{", "error": "not JSON"}
    messages = [
        HumanMessage("pay", id="1"),
        AIMessage("", id="2", invalid_tool_calls=[unreadable], response_metadata={"version": "seed"}),
        ToolMessage("the call could not be read", tool_call_id="c", status="error", id="3"),
    ]
    plain = [message.model_dump() for message in messages]
    assert merge_messages(plain, []) == messages
    assert merge_messages([], [plain]) == messages
