"""The agent that asks back: its question pauses the thread, the user's answer is the observation."""

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from threadmill.cli.main import app
from threadmill.graphs import answer_thread, build_ask, build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot
from threadmill.nodes.marking import unmark
from typer.testing import CliRunner

ORDERS = {"O1": "a lamp", "O2": "a chair"}
CANCELLED: list[str] = []


def cancel(order: str) -> str:
    """Cancel an order."""
    CANCELLED.append(order)
    return f"{order} cancelled"


def clerk(messages: list[BaseMessage]) -> AIMessage:
    """Cancels the order that somebody named; asks for it where nobody did, if it can, and else guesses."""
    if isinstance(messages[-1], ToolMessage) and messages[-1].name == "cancel":
        return AIMessage(f"Done: {unmark(messages[-1].text)}")
    told = " ".join(m.text for m in messages if isinstance(m, HumanMessage | ToolMessage))
    order = next((order for order in ORDERS if order in told), None)
    asked = any(isinstance(m, ToolMessage) and m.name == "ask_user" for m in messages)
    can_ask = any("ask_user" in m.text for m in messages if m.type == "system")
    if order is None and can_ask and not asked:
        return AIMessage("", tool_calls=[{"name": "ask_user", "args": {"question": "Which order?"}, "id": "q"}])
    return AIMessage("", tool_calls=[{"name": "cancel", "args": {"order": order or "O1"}, "id": "c"}])


def desk(build: Any) -> Any:
    CANCELLED.clear()
    slot = Slot.fixed("desk.think", ScriptedModel(clerk), "desk.think@0001")
    return build(slot, [cancel], name="desk").compile(checkpointer=InMemorySaver())


def test_a_question_pauses_and_the_answer_is_the_observation() -> None:
    graph = desk(build_ask)
    paused = run_thread(graph, "t", "Cancel my order.")
    assert [(q["tool"], q["args"], q["who"], q["why"]) for q in paused.questions] == [
        ("ask_user", {"question": "Which order?"}, "user", "the agent asks: Which order?")
    ]
    done = answer_thread(graph, "t", [{"id": "q", "type": "respond", "text": "O2, please"}])
    assert (done.answer, CANCELLED) == ("Done: O2 cancelled", ["O2"])
    messages = graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"]
    (observation,) = [m for m in messages if isinstance(m, ToolMessage) and m.name == "ask_user"]
    assert (observation.text, observation.additional_kwargs["kind"]) == ("O2, please", "responded")


UNDERSPECIFIED = [
    ("Cancel my order.", "O2"),
    ("Cancel O1.", "O1"),
    ("I changed my mind, cancel it.", "O2"),
    ("Please cancel order O2.", "O2"),
]
"""What users say, and the order that they mean."""


def test_it_helps_where_users_leave_out_what_only_they_know() -> None:
    outcomes = {}
    for build in (build_react, build_ask):
        right = turns = 0
        for number, (text, meant) in enumerate(UNDERSPECIFIED):
            graph = desk(build)
            outcome = run_thread(graph, f"t{number}", text)
            turns += 1
            while outcome.status == "paused":
                turns += 1
                answers = [{"id": q["id"], "type": "respond", "text": f"I mean {meant}."} for q in outcome.questions]
                outcome = answer_thread(graph, f"t{number}", answers)
            right += [meant] == CANCELLED
        outcomes[build.__name__] = (right, turns)
    assert outcomes == {"build_react": (2, 4), "build_ask": (4, 6)}


def test_a_question_is_answered_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", str(Path(__file__).parent), *__import__("sys").path])
    (tmp_path / "desks.py").write_text(
        "from test_ask import ScriptedModel, Slot, build_ask, cancel, clerk\n"
        'desk = build_ask(Slot.fixed("desk.think", ScriptedModel(clerk), "v"), [cancel], name="desk")\n'
    )

    def said(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    told = said("run", "desks.py:desk", "Cancel my order.", "--thread", "t").splitlines()
    assert told[1:] == ["asks: Which order?", 'answer with: threadmill threads respond t --text "…"']
    done = json.loads(said("threads", "respond", "t", "--text", "O2", "--json"))
    assert done["answer"] == "Done: O2 cancelled"
