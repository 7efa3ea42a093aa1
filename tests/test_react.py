"""The ReAct agent on a real SQLite saver: answers to questions, parallel calls, versions, crashes."""

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from time import monotonic, sleep
from typing import Any

import pytest
import warm
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from threadmill.graphs import answer_thread, build_react, continue_thread, run_thread
from threadmill.nodes import ScriptedModel, Slot


@tool
def refund(order: str, amount: int) -> str:
    """Pay back."""
    return f"refunded {amount} for {order}"


def why(tool: str, args: dict[str, Any]) -> str | None:
    return "refund above 100" if args["amount"] > 100 else None


def refunding(**amounts: int) -> AIMessage:
    calls = [
        {"name": "refund", "args": {"order": order, "amount": amount}, "id": f"call-{order}"}
        for order, amount in amounts.items()
    ]
    spoken = {"response_metadata": {"trace": {"version": "v1"}}, "additional_kwargs": {"reasoning": "easy"}}
    return AIMessage("on it", tool_calls=calls, **spoken)


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[SqliteSaver]:
    with SqliteSaver.from_conn_string(str(tmp_path / "runs.db")) as saver:
        yield saver


def desk(saver: SqliteSaver, *replies: AIMessage, **settings: Any) -> Any:
    slot = Slot.fixed("desk.think", ScriptedModel(replies), "desk.think@0001")
    return build_react(slot, [refund], name="desk", **settings).compile(checkpointer=saver)


def messages(graph: Any, thread: str = "t") -> list[BaseMessage]:
    return graph.get_state({"configurable": {"thread_id": thread}}).values["messages"]


def observations(graph: Any, thread: str = "t") -> list[tuple[str, str, str]]:
    found = [message for message in messages(graph, thread) if isinstance(message, ToolMessage)]
    return [(m.tool_call_id, str(m.content), m.additional_kwargs["kind"]) for m in found]


def test_an_agent_calls_a_tool_and_answers(saver: SqliteSaver):
    graph = desk(saver, refunding(A1=30), AIMessage("Done."))
    outcome = run_thread(graph, "t", "Refund 30 for A1.")
    assert (outcome.status, outcome.answer, outcome.questions) == ("done", "Done.", ())
    assert outcome.versions == {"desk.think": "desk.think@0001"}
    assert [(m.type, m.text) for m in messages(graph)] == [
        ("human", "Refund 30 for A1."),
        ("ai", "on it"),
        ("tool", "refunded 30 for A1"),
        ("ai", "Done."),
    ]


def test_observations_stand_in_the_order_of_the_calls(saver: SqliteSaver):
    amounts = {f"A{n}": n for n in range(12)}
    graph = desk(saver, refunding(**amounts), AIMessage("Done."))
    run_thread(graph, "t", "Refund them all.")
    assert [text for _, text, _ in observations(graph)] == [f"refunded {n} for A{n}" for n in range(12)]


def test_the_run_pauses_once_for_all_calls_that_need_a_person(saver: SqliteSaver):
    graph = desk(saver, refunding(A1=300, A2=3, A3=400), AIMessage("Done."), ask=why)
    outcome = run_thread(graph, "t", "Refund.")
    choices = ["approve", "edit", "reject", "respond"]
    assert outcome.status == "paused"
    assert outcome.questions == (
        {
            "id": "call-A1",
            "tool": "refund",
            "args": {"order": "A1", "amount": 300},
            "why": "refund above 100",
            "who": "human",
            "choices": choices,
        },
        {
            "id": "call-A3",
            "tool": "refund",
            "args": {"order": "A3", "amount": 400},
            "why": "refund above 100",
            "who": "human",
            "choices": choices,
        },
    )
    assert observations(graph) == []


def test_approve_reject_and_respond_each_give_one_observation(saver: SqliteSaver):
    graph = desk(saver, refunding(A1=300, A2=3, A3=400, A4=500), AIMessage("Done."), ask=why)
    run_thread(graph, "t", "Refund.")
    outcome = answer_thread(
        graph,
        "t",
        [
            {"id": "call-A1", "type": "approve"},
            {"id": "call-A3", "type": "reject", "text": "ask the boss", "by": "Ada"},
            {"id": "call-A4", "type": "respond", "text": "refunded by hand", "by": "Ada", "at": "2026-01-01"},
        ],
    )
    assert (outcome.status, outcome.answer) == ("done", "Done.")
    assert observations(graph) == [
        ("call-A1", "refunded 300 for A1", "result"),
        ("call-A2", "refunded 3 for A2", "result"),
        ("call-A3", "a person refused this call: ask the boss", "rejected"),
        ("call-A4", "refunded by hand", "responded"),
    ]
    tools = [message for message in messages(graph) if isinstance(message, ToolMessage)]
    assert [message.status for message in tools] == ["success", "success", "error", "success"]
    assert [message.additional_kwargs.get("by") for message in tools] == [None, None, "Ada", "Ada"]
    assert "edit" not in messages(graph)[1].response_metadata


def test_an_edit_replaces_the_call_and_keeps_the_proposal_beside_it(saver: SqliteSaver):
    graph = desk(saver, refunding(A1=300, A2=3), AIMessage("Done."), ask=why)
    run_thread(graph, "t", "Refund.")
    proposed = messages(graph)[1]
    edit = {
        "type": "edit",
        "args": {"order": "A1", "amount": 99},
        "by": "Ada",
        "at": "2026-01-01T00:00:00+00:00",
    }
    answer_thread(graph, "t", [{"id": "call-A1", **edit}])
    edited = messages(graph)[1]
    assert isinstance(proposed, AIMessage)
    assert isinstance(edited, AIMessage)
    assert edited.id == proposed.id
    assert [(call["id"], call["args"]["amount"]) for call in edited.tool_calls] == [
        ("call-A1", 99),
        ("call-A2", 3),
    ]
    assert edited.response_metadata == {
        "trace": {"version": "v1"},
        "node": "think",
        "version": "desk.think@0001",
        "seconds": proposed.response_metadata["seconds"],
        "tools": proposed.response_metadata["tools"],
        "edit": {
            "by": "Ada",
            "at": "2026-01-01T00:00:00+00:00",
            "proposal": {"content": "on it", "tool_calls": proposed.tool_calls, "invalid_tool_calls": []},
        },
    }
    assert edited.additional_kwargs == {"reasoning": "easy"}
    assert observations(graph) == [
        ("call-A1", "refunded 99 for A1", "result"),
        ("call-A2", "refunded 3 for A2", "result"),
    ]


def test_an_edit_that_changes_nothing_is_an_approval(saver: SqliteSaver):
    graph = desk(saver, refunding(A1=300), AIMessage("Done."), ask=why)
    run_thread(graph, "t", "Refund.")
    answer_thread(graph, "t", [{"id": "call-A1", "type": "edit", "args": {"order": "A1", "amount": 300}}])
    assert "edit" not in messages(graph)[1].response_metadata


def test_nobody_is_asked_about_a_call_that_cannot_run(saver: SqliteSaver):
    wrong = {"name": "refund", "args": {"order": "A1", "amount": "300"}, "id": "c1"}
    graph = desk(saver, AIMessage("", tool_calls=[wrong]), AIMessage("Sorry."), ask=lambda tool, args: "always")
    assert run_thread(graph, "t", "Refund.").status == "done"
    assert observations(graph) == [
        ("c1", "invalid arguments for refund: amount: '300' is not of type 'integer'", "invalid")
    ]


def test_calls_that_could_not_be_read_are_answered_too(saver: SqliteSaver):
    unreadable = {"name": "refund", "args": "{", "id": "c1", "error": "not JSON", "type": "invalid_tool_call"}
    graph = desk(saver, AIMessage("", invalid_tool_calls=[unreadable]), AIMessage("Sorry."))
    assert run_thread(graph, "t", "Refund.").answer == "Sorry."
    assert observations(graph) == [("c1", "the call could not be read: not JSON", "invalid")]


def test_a_run_ends_after_its_last_model_call_and_the_next_turn_counts_anew(saver: SqliteSaver):
    graph = desk(saver, *[refunding(A1=1) for _ in range(4)], AIMessage("Done."), max_calls=2)
    outcome = run_thread(graph, "t", "Refund.")
    assert (outcome.status, outcome.answer) == ("done", None)
    assert [m.type for m in messages(graph)] == ["human", "ai", "tool", "ai", "tool"]
    run_thread(graph, "t", "Go on.")
    assert [m.type for m in messages(graph)][5:] == ["human", "ai", "tool", "ai", "tool"]


def test_a_run_stays_on_the_version_it_began_with_and_the_next_turn_follows_the_slot(saver: SqliteSaver):
    live = ["v1"]

    def load(version: str) -> ScriptedModel:
        def reply(thread: list[BaseMessage]) -> AIMessage:
            asks = thread[-1].type == "human" and thread[-1].text == "Refund."
            return refunding(A1=300) if asks else AIMessage(f"I am {version}.")

        return ScriptedModel(reply)

    slot = Slot("desk.think", lambda: live[0], load)
    graph = build_react(slot, [refund], ask=why).compile(checkpointer=saver)
    assert run_thread(graph, "t", "Refund.").status == "paused"
    live[0] = "v2"
    resumed = answer_thread(graph, "t", [{"id": "call-A1", "type": "approve"}])
    assert (resumed.answer, resumed.versions) == ("I am v1.", {"desk.think": "v1"})
    slot.catch_up()
    turned = run_thread(graph, "t", "And you?")
    assert (turned.answer, turned.versions) == ("I am v2.", {"desk.think": "v2"})
    spoken = [m.response_metadata["version"] for m in messages(graph) if isinstance(m, AIMessage)]
    assert spoken == ["v1", "v1", "v2"]


WORKER = dedent("""
    import sqlite3, sys, time
    from pathlib import Path
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool
    from langgraph.checkpoint.sqlite import SqliteSaver
    from threadmill.graphs import build_react, continue_thread, run_thread
    from threadmill.nodes import ScriptedModel, Slot

    folder, begin = Path(sys.argv[1]), sys.argv[2] == "begin"

    @tool
    def note(word: str) -> str:
        "Append a word; 'slow' takes long when the thread begins."
        with open(folder / "notes", "a") as file:
            file.write(word + "\\n")
        if word == "slow" and begin:
            time.sleep(60)
        return "noted " + word

    calls = [{"name": "note", "args": {"word": word}, "id": word} for word in ("one", "slow", "two")]
    script = [AIMessage("", tool_calls=calls)] if begin else [AIMessage("Done.")]
    slot = Slot.fixed("desk.think", ScriptedModel(script), "v1")
    with SqliteSaver.from_conn_string(str(folder / "runs.db")) as saver:
        graph = build_react(slot, [note]).compile(checkpointer=saver)
        outcome = run_thread(graph, "t", "Note.") if begin else continue_thread(graph, "t")
        messages = graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"]
        print(outcome.status, [message.text for message in messages])
""")


def test_after_a_kill_in_the_middle_of_parallel_calls_only_the_unfinished_one_runs_again(tmp_path: Path):
    with warm.started(WORKER, tmp_path, "begin") as child:
        deadline = monotonic() + 20
        while monotonic() < deadline and stored_answers(tmp_path / "runs.db") < 2:
            sleep(0.02)
        child.kill()
        assert child.wait() == -signal.SIGKILL
    assert sorted((tmp_path / "notes").read_text().split()) == ["one", "slow", "two"]

    again = warm.run(WORKER, tmp_path, "continue")
    assert again.stdout == "done ['Note.', '', 'noted one', 'noted slow', 'noted two', 'Done.']\n"
    assert sorted((tmp_path / "notes").read_text().split()) == ["one", "slow", "slow", "two"]


def stored_answers(path: Path) -> int:
    """Writes to ``messages`` of finished tool tasks: their values name the tool."""
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            rows = db.execute("SELECT value FROM writes WHERE channel = 'messages'").fetchall()
        finally:
            db.close()
    except sqlite3.OperationalError:  # not there yet
        return 0
    return sum(b"noted " in value for (value,) in rows)


def test_continuing_a_thread_that_is_done_or_paused_changes_nothing(saver: SqliteSaver):
    graph = desk(saver, AIMessage("Hello."), refunding(A1=300), ask=why)
    done = run_thread(graph, "t", "Hi.")
    assert continue_thread(graph, "t") == done
    paused = run_thread(graph, "t", "Refund.")
    assert continue_thread(graph, "t") == paused
