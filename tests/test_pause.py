"""Pauses: who is asked what, who answered and when, and a question that new input never pushes aside."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from bank_agent import bank, build_bank, paying
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from threadmill.checkpoints.reading import checkpoint_tree, latest_checkpoint, read_messages, read_questions
from threadmill.checkpoints.store import Store
from threadmill.errors import StillPaused
from threadmill.graphs import answer_thread, continue_thread, run_thread
from threadmill.graphs.travel import fork_thread


def at(thread: str, **more: Any) -> Any:
    return {"configurable": {"thread_id": thread, **more}}


def hello(text: str = "Hello?") -> Any:
    return {"messages": [("human", text)]}


def said(store: Store, checkpoint: str | None = None) -> list[str]:
    return [message.text for message in read_messages(store, "t", checkpoint)]


def test_every_question_names_who_is_asked(store: Store):
    outcome = run_thread(bank(store, paying(5, 50, 500)), "t", "Pay.")
    choices = ["approve", "edit", "reject", "respond"]
    human = {"id": "c50", "tool": "pay", "args": {"amount": 50}, "why": "money", "who": "human"}
    treasurer = {"id": "c500", "tool": "pay", "args": {"amount": 500}, "why": "a lot of money"}
    assert read_questions(store, "t") == [
        {**human, "choices": choices},
        {**treasurer, "who": "the treasurer", "choices": choices},
    ]
    assert list(outcome.questions) == read_questions(store, "t")


def test_who_answered_and_when_stands_in_the_results_and_the_edited_message(store: Store):
    graph = bank(store, paying(50, 60, 70), AIMessage("Done."))
    run_thread(graph, "t", "Pay.")
    answers = [
        {"id": "c50", "type": "reject", "text": "no", "by": "ann", "at": "2026-01-01T10:00:00+00:00"},
        {"id": "c60", "type": "respond", "text": "by hand", "by": "bob", "at": "2026-01-01T11:00:00+00:00"},
        {"id": "c70", "type": "edit", "args": {"amount": 7}, "by": "eve", "at": "2026-01-01T12:00:00+00:00"},
    ]
    answer_thread(graph, "t", answers)
    _, proposal, rejected, responded, paid, _ = read_messages(store, "t")
    notes = rejected.additional_kwargs
    assert (notes["kind"], notes["by"], notes["at"]) == ("rejected", "ann", "2026-01-01T10:00:00+00:00")
    notes = responded.additional_kwargs
    assert (notes["kind"], notes["by"], notes["at"]) == ("responded", "bob", "2026-01-01T11:00:00+00:00")
    assert (paid.text, {"by", "at"} & paid.additional_kwargs.keys()) == ("paid 7", set())
    edit = proposal.response_metadata["edit"]
    assert (edit["by"], edit["at"]) == ("eve", "2026-01-01T12:00:00+00:00")
    assert [call["args"]["amount"] for call in edit["proposal"]["tool_calls"]] == [50, 60, 70]


def test_answers_straight_through_langgraph_are_signed_when_they_are_applied(store: Store):
    graph = bank(store, paying(50, 70), AIMessage("Done."))
    run_thread(graph, "t", "Pay.")
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    answers = [
        {"id": "c50", "type": "reject"},
        {"id": "c70", "type": "edit", "args": {"amount": 7}, "by": "", "at": ""},
    ]
    graph.invoke(Command(resume={"answers": answers}), at("t"))
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    _, proposal, rejected, *_ = read_messages(store, "t")
    assert isinstance(rejected, ToolMessage)
    for signed in (rejected.additional_kwargs, proposal.response_metadata["edit"]):
        assert signed["by"] == "human"
        assert begun <= signed["at"] <= ended


def test_new_input_for_a_thread_that_asks_is_refused_and_nothing_is_lost(store: Store):
    graph = bank(store, paying(50), AIMessage("Done."))
    run_thread(graph, "t", "Pay.")
    before = checkpoint_tree(store, "t")
    with pytest.raises(StillPaused) as refused:
        run_thread(graph, "t", "Hello?")
    assert str(refused.value) == (
        "thread 't' waits for an answer: pay(amount=50): money [c50: approve, edit, reject, respond]; "
        "try `threadmill threads approve t`"
    )
    plain = r"thread 't' waits for an answer, and new input would drop its question; answer it"
    with pytest.raises(StillPaused, match=plain):
        graph.invoke(hello(), at("t"), durability="sync")
    with pytest.raises(StillPaused, match=plain):
        list(graph.stream(hello(), at("t"), durability="sync"))
    with pytest.raises(StillPaused, match=plain):
        asyncio.run(graph.ainvoke(hello(), at("t"), durability="sync"))
    assert checkpoint_tree(store, "t") == before
    assert [question["id"] for question in read_questions(store, "t")] == ["c50"]
    assert answer_thread(graph, "t", [{"id": "c50", "type": "approve"}]).answer == "Done."


def test_after_the_answer_new_input_is_welcome(store: Store):
    graph = bank(store, paying(50), AIMessage("Done."), paying(60), AIMessage("Again."), AIMessage("Hi."))
    run_thread(graph, "t", "Pay.")
    graph.invoke(Command(resume={"answers": [{"id": "c50", "type": "approve"}]}), at("t"))
    graph.invoke(hello("More."), at("t"))
    asyncio.run(graph.ainvoke(Command(resume={"answers": [{"id": "c60", "type": "approve"}]}), at("t")))
    asyncio.run(graph.ainvoke(hello(), at("t")))
    assert said(store) == ["Pay.", "", "paid 50", "Done.", "More.", "", "paid 60", "Again.", "Hello?", "Hi."]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_the_question_is_kept_and_nothing_runs_whenever_langgraph_writes(store: Store, durability: Any):
    graph = bank(store, paying(50), AIMessage("Done."), AIMessage("Hi."))  # a script used up if the model is asked
    graph.invoke(hello("Pay."), at("t"), durability=durability)
    with pytest.raises(StillPaused, match="waits for an answer"):
        graph.invoke(hello(), at("t"), durability=durability)
    assert [question["id"] for question in read_questions(store, "t")] == ["c50"]
    answers = {"answers": [{"id": "c50", "type": "approve"}]}
    graph.invoke(Command(resume=answers), at("t"), durability=durability)
    graph.invoke(hello(), at("t"), durability=durability)
    assert said(store) == ["Pay.", "", "paid 50", "Done.", "Hello?", "Hi."]


def test_a_question_that_was_left_behind_by_a_fork_is_in_nobodys_way(store: Store):
    graph = bank(store, paying(50), AIMessage("One."), AIMessage("Two."))
    run_thread(graph, "t", "Pay.")
    asked = latest_checkpoint(store, "t")
    before_think = checkpoint_tree(store, "t")[-2].checkpoint
    fork_thread(graph, "t", before_think)
    assert continue_thread(graph, "t").answer == "One."
    graph.invoke(hello(), at("t"))
    assert said(store) == ["Pay.", "One.", "Hello?", "Two."]
    assert [question["id"] for question in read_questions(store, "t", asked)] == ["c50"]


@pytest.mark.parametrize("go", ["sync", "async"])
def test_new_input_at_an_old_checkpoint_is_an_explicit_fork(store: Store, go: str):
    graph = bank(store, paying(50), AIMessage("Hi."))
    run_thread(graph, "t", "Pay.")
    asked = latest_checkpoint(store, "t")
    root = checkpoint_tree(store, "t")[1].checkpoint
    if go == "sync":
        graph.invoke(hello(), at("t", checkpoint_id=root))
    else:
        asyncio.run(graph.ainvoke(hello(), at("t", checkpoint_id=root)))
    assert said(store) == ["Pay.", "Hello?", "Hi."]
    assert [question["id"] for question in read_questions(store, "t", asked)] == ["c50"]


def test_with_langgraphs_own_saver_too_new_input_is_refused_before_anything_runs():
    graph = build_bank([paying(50), AIMessage("never said")]).compile(checkpointer=InMemorySaver())
    graph.invoke(hello("Pay."), at("t"))
    asked = graph.get_state(at("t")).config
    with pytest.raises(
        StillPaused, match=r"waits for an answer about pay\(amount=50\); approve, edit, reject or respond"
    ):
        graph.invoke(hello(), at("t"))
    graph.invoke(None, asked)  # LangGraph's way back to a question that was passed
    state = graph.get_state(at("t"))
    assert [interrupt.value["questions"][0]["id"] for interrupt in state.interrupts] == ["c50"]
