"""Running threads: what is recorded and restored, and what bad input is told."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command
from pydantic import ValidationError
from threadmill.errors import BadAnswer, BadConfig, NotPaused, StillPaused, StoreFull, UnknownThread
from threadmill.graphs import (
    AgentSpec,
    AgentState,
    answer_thread,
    build_agent,
    build_react,
    continue_thread,
    read_outcome,
    run_thread,
)
from threadmill.graphs.run import graph_digest
from threadmill.graphs.spec import KINDS
from threadmill.nodes import Approval, Limits, Rule, ScriptedModel, Slot
from threadmill.nodes.traits import with_traits


@tool
def pay(amount: int, config: RunnableConfig) -> str:
    """Pay."""
    return f"paid {amount} in {config['configurable']['world']}"


@tool
def wave() -> str:
    """Wave."""
    return "waved"


PAY = AIMessage(
    "",
    tool_calls=[
        {"name": "pay", "args": {"amount": 300}, "id": "c1"},
        {"name": "pay", "args": {"amount": 400}, "id": "c2"},
    ],
)
DONE = AIMessage("Done.")
APPROVE = [{"id": "c1", "type": "approve"}, {"id": "c2", "type": "approve"}]


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[SqliteSaver]:
    with SqliteSaver.from_conn_string(str(tmp_path / "runs.db")) as saver:
        yield saver


def bank(saver: SqliteSaver, *replies: AIMessage, **settings: Any) -> Any:
    slot = Slot.fixed("bank.think", ScriptedModel(replies), "v1")
    asks = {"ask": lambda tool, args: "it is money", **settings}
    return build_react(slot, [pay], name="bank", **asks).compile(checkpointer=saver)


def recorded(graph: Any) -> list[dict[str, Any]]:
    known = {"agent", "graph", "task", "world", "seed"}
    history = graph.get_state_history({"configurable": {"thread_id": "t"}})
    return [{key: value for key, value in state.metadata.items() if key in known} for state in history]


def test_every_checkpoint_says_which_agent_ran_on_what(saver: SqliteSaver):
    graph = bank(saver, DONE)
    run_thread(graph, "t", "Hi.", metadata={"task": "t7"}, configurable={"world": "w.db", "seed": 5})
    said = {"agent": "bank", "graph": graph_digest(graph), "task": "t7", "world": "w.db", "seed": 5}
    assert recorded(graph) == [said] * 4  # input, start, observe, think


def test_whoever_answers_or_goes_on_need_not_know_the_world(saver: SqliteSaver):
    graph = bank(saver, PAY, DONE, PAY, DONE)
    run_thread(graph, "t", "Pay.", metadata={"task": "t7"}, configurable={"world": "w.db"})
    answer_thread(graph, "t", APPROVE)
    again = run_thread(graph, "t", "Again.").questions
    answer_thread(graph, "t", [{"id": question["id"], "type": "approve"} for question in again])
    state = graph.get_state({"configurable": {"thread_id": "t"}})
    assert [m.text for m in state.values["messages"] if m.type == "tool"] == [
        "paid 300 in w.db",
        "paid 400 in w.db",
        "paid 300 in w.db",
        "paid 400 in w.db",
    ]
    assert {(step["task"], step["world"]) for step in recorded(graph)} == {("t7", "w.db")}


def test_a_new_turn_may_come_with_another_world(saver: SqliteSaver):
    graph = bank(saver, DONE, DONE)
    run_thread(graph, "t", "Hi.", configurable={"world": "w.db"})
    run_thread(graph, "t", "Hi.", configurable={"world": "x.db"})
    assert recorded(graph)[0]["world"] == "x.db"


def test_the_digest_changes_with_tools_prompt_and_name(saver: SqliteSaver):
    slot = Slot.fixed("bank.think", ScriptedModel([]), "v1")
    graphs = [
        build_react(slot, [pay]).compile(),
        build_react(slot, [pay, wave]).compile(),
        build_react(slot, [pay], system="be kind").compile(),
        build_react(slot, [pay], name="bank").compile(),
    ]
    assert len({graph_digest(graph) for graph in graphs}) == 4
    assert graph_digest(build_react(slot, [pay]).compile(checkpointer=saver)) == graph_digest(graphs[0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_digest_changes_with_every_policy_of_every_kind(kind: str) -> None:
    def digest(**policies: Any) -> str:
        given: dict[str, Any] = {"tools": [pay], **policies}
        spec = AgentSpec("shop", kind=kind, **given)
        if kind == "structured":
            spec = replace(spec, response={"type": "object"})
        if kind == "supervisor":  # that of an agent that it leads
            spec = AgentSpec("boss", kind=kind, agents={"shop": replace(spec, kind="react")})
        graph = build_agent(spec, lambda name: Slot.fixed(name, ScriptedModel([]), "v1"))
        return graph_digest(graph.compile())

    changed = [
        digest(),
        digest(approval=Approval([Rule("pay")])),
        digest(approval=Approval([Rule("pay", when="amount > 3")])),
        digest(approval=Approval(taint=False)),
        digest(limits=Limits(calls=2)),
        digest(limits=None),
        digest(timeout_s=7),
        digest(max_chars=500),
        digest(tools=[with_traits(pay, acts=False)]),
    ]
    assert len(set(changed)) == 9
    assert digest() == changed[0]


def test_whatever_a_graph_notes_of_its_nodes_has_a_digest() -> None:
    graph = StateGraph(AgentState)
    graph.add_node("rest", lambda state: {}, metadata={"clock": object()})
    graph.add_edge(START, "rest")
    assert graph_digest(graph.compile()) == graph_digest(graph.compile())


def test_the_outcome_can_be_read_at_any_time(saver: SqliteSaver):
    graph = bank(saver, PAY, DONE)
    paused = run_thread(graph, "t", "Pay.", configurable={"world": "w.db"})
    assert read_outcome(graph, "t") == paused
    done = answer_thread(graph, "t", APPROVE)
    assert read_outcome(graph, "t") == done


def test_a_thread_whose_model_failed_can_be_continued(saver: SqliteSaver):
    graph = bank(saver)  # its script is empty
    with pytest.raises(IndexError, match="the script has 0 replies"):
        run_thread(graph, "t", "Hi.")
    assert read_outcome(graph, "t").status == "failed"
    outcome = continue_thread(bank(saver, DONE), "t")
    assert (outcome.status, outcome.answer) == ("done", "Done.")


def test_a_new_turn_for_a_paused_thread_is_told_what_is_asked(saver: SqliteSaver):
    graph = bank(saver, PAY)
    run_thread(graph, "t", "Pay.")
    with pytest.raises(StillPaused) as refused:
        run_thread(graph, "t", "Hello?")
    assert str(refused.value) == (
        "thread 't' waits for an answer: "
        "pay(amount=300): it is money [c1: approve, edit, reject, respond]; "
        "pay(amount=400): it is money [c2: approve, edit, reject, respond]; "
        "try `threadmill threads approve t`"
    )
    assert read_outcome(graph, "t").status == "paused"


def test_a_new_turn_for_a_thread_that_stopped_amid_its_calls_is_refused(saver: SqliteSaver):
    def crash(tool: str, args: dict[str, Any]) -> None:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        run_thread(bank(saver, PAY, ask=crash), "t", "Pay.", configurable={"world": "w.db"})
    graph = bank(saver, DONE, ask=None)
    with pytest.raises(NotPaused, match="thread 't' asks nothing: its run stopped half-way; continue it"):
        answer_thread(graph, "t", APPROVE)
    with pytest.raises(StillPaused, match="thread 't' stopped half-way; continue it first"):
        run_thread(graph, "t", "Hello?")
    assert continue_thread(graph, "t").answer == "Done."


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ([], "no answer to 'c1', 'c2'; all questions are answered together"),
        (APPROVE[:1], "no answer to 'c2'; all questions are answered together"),
        ([*APPROVE, {"id": "c3", "type": "approve"}], "no question has the id 'c3'; open are 'c1', 'c2'"),
        ([*APPROVE, APPROVE[0]], "question 'c1' got 2 answers; give one"),
        (
            [APPROVE[0], {"id": "c2", "type": "maybe"}],
            "'maybe' is not a choice for 'c2'; choose 'approve', 'edit', 'reject', 'respond'",
        ),
        (
            [APPROVE[0], {"id": "c2", "type": "edit", "args": {"amount": "much"}}],
            "invalid arguments for pay: amount: 'much' is not of type 'integer'",
        ),
        (
            [APPROVE[0], {"id": "c2", "type": "edit"}],
            "the edit of 'c2' has no args; give all arguments of pay",
        ),
        (
            [APPROVE[0], {"id": "c2", "type": "respond"}],
            "the response to 'c2' has no text; give what the tool should have said",
        ),
    ],
)
def test_an_answer_that_does_not_fit_leaves_the_thread_paused(
    saver: SqliteSaver, answers: list[dict[str, Any]], complaint: str
):
    graph = bank(saver, PAY, DONE)
    paused = run_thread(graph, "t", "Pay.", configurable={"world": "w.db"})
    with pytest.raises(BadAnswer) as refused:
        answer_thread(graph, "t", answers)
    assert str(refused.value) == complaint
    assert read_outcome(graph, "t") == paused
    assert answer_thread(graph, "t", APPROVE).status == "done"


def test_an_answer_from_another_client_is_checked_too(saver: SqliteSaver):
    graph = bank(saver, PAY, DONE)
    paused = run_thread(graph, "t", "Pay.", configurable={"world": "w.db"})
    thread: RunnableConfig = {"configurable": {"thread_id": "t"}}
    for answer in ({"answers": APPROVE[:1]}, {"answers": "yes"}, "yes"):
        with pytest.raises(ValidationError):
            graph.invoke(Command(resume=answer), thread)
        assert read_outcome(graph, "t") == paused
    reject = [{"id": call, "type": "reject", "text": "no"} for call in ("c1", "c2")]
    answer_thread(graph, "t", reject)
    messages = graph.get_state(thread).values["messages"]
    assert [m.text for m in messages if m.type == "tool"] == ["a person refused this call: no"] * 2


def test_a_thread_that_asks_nothing_cannot_be_answered(saver: SqliteSaver):
    graph = bank(saver, DONE)
    run_thread(graph, "t", "Hi.")
    with pytest.raises(NotPaused, match="thread 't' asks nothing"):
        answer_thread(graph, "t", APPROVE)


@pytest.mark.parametrize(
    "go", [read_outcome, continue_thread, lambda graph, thread: answer_thread(graph, thread, APPROVE)]
)
def test_an_unknown_thread_is_named(saver: SqliteSaver, go: Any):
    with pytest.raises(UnknownThread) as refused:
        go(bank(saver), "x7")
    assert str(refused.value) == "thread 'x7' has no checkpoints; try `threadmill threads list`"


def test_a_full_disk_is_named_and_what_was_finished_is_kept(saver: SqliteSaver):
    graph = bank(saver, DONE, DONE, DONE)
    finished = run_thread(graph, "t", "Hi.")
    pages = saver.conn.execute("PRAGMA page_count").fetchone()[0]
    saver.conn.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFull, match="no room for thread 't': database or disk is full"):
        run_thread(graph, "t", "x" * 100_000)
    saver.conn.execute("PRAGMA max_page_count = 1000000")
    assert read_outcome(graph, "t") == finished
    assert run_thread(graph, "t", "Hi again.").status == "done"


def test_the_library_can_be_imported_without_a_model_library():
    script = "import sys, threadmill.graphs.run, threadmill.graphs.react; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"


def test_a_graph_that_cannot_keep_threads_says_what_is_missing() -> None:
    graph = build_react(Slot.fixed("bank.think", ScriptedModel(lambda messages: AIMessage("Hi.")), "v"), [])
    with pytest.raises(BadConfig, match=r"the graph is not compiled; give graph.compile\(checkpointer=store.saver\)"):
        run_thread(graph, "t", "Hello")  # type: ignore[arg-type]
    with pytest.raises(BadConfig, match="the graph has no saver"):
        run_thread(graph.compile(), "t", "Hello")
