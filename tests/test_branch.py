"""Branches step by step: what each checkpoint added, what was asked there, who answered and when."""

from typing import Any

import pytest
from bank_agent import bank, build_bank, paying
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command
from threadmill.checkpoints.branch import (
    Step,
    branch_messages,
    questions_and_answers,
    read_all_steps,
    read_steps,
)
from threadmill.checkpoints.pauses import Pause
from threadmill.checkpoints.reading import (
    checkpoint_tree,
    latest_checkpoint,
    leaf_checkpoints,
    list_namespaces,
    read_messages,
)
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import UnknownThread
from threadmill.graphs import answer_thread, continue_thread, run_thread
from threadmill.graphs.state import AgentState
from threadmill.graphs.travel import fork_thread

NOON = "2026-01-01T12:00:00+00:00"


def at(thread: str = "t", **more: Any) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": "", **more}}


def told(message: AnyMessage) -> str:
    calls = [f"pay({call['args']['amount']})" for call in getattr(message, "tool_calls", ())]
    return f"{message.type}: {' '.join(calls) or message.text}"


def shown(steps: list[Step]) -> list[str]:
    """One line for each thing that a step brought."""
    lines = []
    for step in steps:
        lines += [f"+ {told(message)}" for message in step.added]
        lines += [f"~ {told(message)}" for message in step.changed]
        lines += ["-" for _ in step.removed]
        for pause in step.pauses:
            for question, answer in questions_and_answers(pause):
                said = [answer[key] for key in ("type", "args", "text", "by") if key in answer] if answer else "?"
                lines.append(f"{question['who']}: {question['id']} {question['why']} → {said}")
    return lines


def put_together(steps: list[Step]) -> list[AnyMessage]:
    """The messages that the steps add up to."""
    messages: dict[Any, AnyMessage] = {}
    for step in steps:
        for gone in step.removed:
            del messages[gone]
        messages |= {message.id: message for message in (*step.changed, *step.added)}
    return list(messages.values())


def test_four_questions_answered_together_each_in_its_own_way(store: Store):
    graph = bank(store, paying(10, 5, 20, 30, 40), AIMessage("Done."))
    run_thread(graph, "t", "Pay.")
    answers = [
        {"id": "c40", "type": "respond", "text": "by hand", "by": "eve", "at": NOON},
        {"id": "c10", "type": "approve", "by": "ann", "at": NOON},
        {"id": "c30", "type": "reject", "text": "no", "by": "bob", "at": NOON},
        {"id": "c20", "type": "edit", "args": {"amount": 2}, "by": "ann", "at": NOON},
    ]
    answer_thread(graph, "t", answers)
    steps = read_steps(store, "t")
    assert shown(steps) == [
        "+ human: Pay.",
        "+ ai: pay(10) pay(5) pay(20) pay(30) pay(40)",
        "human: c10 money → ['approve', 'ann']",
        "human: c20 money → ['edit', {'amount': 2}, 'ann']",
        "human: c30 money → ['reject', 'no', 'bob']",
        "human: c40 money → ['respond', 'by hand', 'eve']",
        "~ ai: pay(10) pay(5) pay(2) pay(30) pay(40)",
        "+ tool: paid 10",
        "+ tool: paid 5",
        "+ tool: paid 2",
        "+ tool: a person refused this call: no",
        "+ tool: by hand",
        "+ ai: Done.",
    ]
    (pause,) = [pause for step in steps for pause in step.pauses]
    assert {answer["at"] for _, answer in questions_and_answers(pause) if answer} == {NOON}
    assert put_together(steps) == read_messages(store, "t") == branch_messages(store, "t", steps[-1].checkpoint)


def test_an_open_question_has_no_answer(store: Store):
    run_thread(bank(store, paying(10)), "t", "Pay.")
    assert shown(read_steps(store, "t")) == ["+ human: Pay.", "+ ai: pay(10)", "human: c10 money → ?"]


def test_an_answer_straight_through_langgraph_was_given_when_the_thread_went_on(store: Store):
    graph = bank(store, paying(10), AIMessage("Done."))
    run_thread(graph, "t", "Pay.")
    graph.invoke(Command(resume={"answers": [{"id": "c10", "type": "approve"}]}), at())
    steps = read_steps(store, "t")
    place, pause = next((place, pause) for place, step in enumerate(steps) for pause in step.pauses)
    ((_, answer),) = questions_and_answers(pause)
    assert answer == {"id": "c10", "type": "approve", "by": "human", "at": steps[place + 1].created_at}


def test_questions_of_others_may_have_no_ids(store: Store):
    actions = [{"name": "pay", "args": {"amount": amount}, "description": ""} for amount in (1, 1)]
    reviews = [{"action_name": "pay", "allowed_decisions": ["approve", "reject"]}] * 2
    given = {"decisions": [{"type": "approve"}, {"type": "reject", "message": "no"}]}
    pairs = questions_and_answers(Pause({"action_requests": actions, "review_configs": reviews}, given))
    assert [(question["id"], answer["type"]) for question, answer in pairs if answer] == [
        ("", "approve"),
        ("", "reject"),
    ]


def test_messages_that_were_changed_or_removed_later(store: Store):
    graph = bank(store, AIMessage("One.", id="one"), AIMessage("Two.", id="two"))
    run_thread(graph, "t", "Hi.")
    graph.update_state(at(), {"messages": [AIMessage("Better.", id="one")]})
    run_thread(graph, "t", "And?")
    graph.update_state(at(), {"messages": [RemoveMessage("one")]})
    graph.update_state(at(), {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), HumanMessage("Anew.")]})
    steps = read_steps(store, "t")
    assert shown(steps) == [
        *("+ human: Hi.", "+ ai: One.", "~ ai: Better.", "+ human: And?", "+ ai: Two."),
        *("-", "+ human: Anew.", "-", "-", "-"),
    ]
    assert steps[-2].removed == ("one",)
    assert put_together(steps) == read_messages(store, "t")


def test_branches_share_their_steps_until_the_fork(store: Store):
    graph = bank(store, paying(10), AIMessage("One."), AIMessage("Two."))
    run_thread(graph, "t", "Pay.")
    answer_thread(graph, "t", [{"id": "c10", "type": "approve", "by": "ann"}])
    fork_thread(graph, "t", checkpoint_tree(store, "t")[3].checkpoint)  # where it asked
    fork_thread(graph, "t", checkpoint_tree(store, "t")[2].checkpoint)  # before think
    continue_thread(graph, "t")
    first, second, third = leaf_checkpoints(store, "t")
    answered = ["human: c10 money → ['approve', 'ann']", "+ tool: paid 10", "+ ai: One."]
    assert shown(read_steps(store, "t", first)) == ["+ human: Pay.", "+ ai: pay(10)", *answered]
    assert shown(read_steps(store, "t", second)) == ["+ human: Pay.", "+ ai: pay(10)"]
    assert shown(read_steps(store, "t", third)) == shown(read_steps(store, "t")) == ["+ human: Pay.", "+ ai: Two."]
    assert third == latest_checkpoint(store, "t")


def test_an_answer_belongs_to_the_branch_that_took_it(store: Store):
    """LangGraph's own way to ask again puts a copy below the question."""
    graph = bank(store, paying(10), AIMessage("Paid."), AIMessage("Not paid."))
    run_thread(graph, "t", "Pay.")
    asked = latest_checkpoint(store, "t")
    answer_thread(graph, "t", [{"id": "c10", "type": "approve", "by": "ann"}])
    graph.invoke(None, at(checkpoint_id=asked), durability="sync")
    answer_thread(graph, "t", [{"id": "c10", "type": "reject", "by": "bob"}])
    first, second = leaf_checkpoints(store, "t")
    begin = ["+ human: Pay.", "+ ai: pay(10)"]
    paid = ["human: c10 money → ['approve', 'ann']", "+ tool: paid 10", "+ ai: Paid."]
    refused = ["human: c10 money → ['reject', 'bob']", "+ tool: a person refused this call", "+ ai: Not paid."]
    assert shown(read_steps(store, "t", first)) == [*begin, *paid]
    assert shown(read_steps(store, "t", second)) == [*begin, "human: c10 money → ?", *refused]
    assert shown(read_all_steps(store, "t")) == [*begin, *paid, *refused]


def test_steps_add_up_to_the_messages_at_every_checkpoint_of_every_branch(store: Store):
    """Long enough for several snapshots of the messages."""
    turns = [reply for _ in range(5) for reply in (paying(*range(1, 8)), AIMessage("Done."))]
    graph = bank(store, *turns, AIMessage("Other."), AIMessage("Third."))
    for turn in range(5):
        run_thread(graph, "t", f"Turn {turn}.")
    nodes = [node.checkpoint for node in checkpoint_tree(store, "t")]
    human = read_messages(store, "t", nodes[9])[-1]
    fork_thread(graph, "t", nodes[9], message=HumanMessage("Changed.", id=read_messages(store, "t", nodes[2])[0].id))
    continue_thread(graph, "t")
    fork_thread(graph, "t", nodes[22], change={"messages": [RemoveMessage(str(human.id))]})
    graph.update_state(at(), {"messages": [HumanMessage("More.")]}, as_node="observe")
    graph.update_state(at(checkpoint_id=nodes[-1]), {"messages": [HumanMessage("Late.")]}, as_node="tool")
    every = {step.checkpoint: step for step in read_all_steps(store, "t")}
    assert every.keys() == {node.checkpoint for node in checkpoint_tree(store, "t")}
    leaves = leaf_checkpoints(store, "t")
    assert len(leaves) == 3
    for leaf in leaves:
        steps = read_steps(store, "t", leaf)
        assert steps == [every[step.checkpoint] for step in steps]
        for place, step in enumerate(steps, 1):
            assert put_together(steps[:place]) == read_messages(store, "t", step.checkpoint)


def test_what_an_agent_inside_another_graph_asks_is_shown_once(store: Store):
    outer = StateGraph(AgentState)
    outer.add_node("clerk", build_bank([paying(10), AIMessage("Done.")]).compile())
    outer.add_edge(START, "clerk")
    graph = outer.compile(checkpointer=store.saver, name="office")
    run_thread(graph, "t", "Pay.")
    assert len(list_namespaces(store, "t")) == 1
    assert shown(read_steps(store, "t")) == ["+ human: Pay.", "human: c10 money → ?"]
    answer_thread(graph, "t", [{"id": "c10", "type": "edit", "args": {"amount": 1}, "by": "ann"}])
    assert shown(read_steps(store, "t")) == [
        "+ human: Pay.",
        "human: c10 money → ['edit', {'amount': 1}, 'ann']",
        "+ ai: pay(1)",
        "+ tool: paid 1",
        "+ ai: Done.",
    ]


def test_a_database_opened_to_be_read_shows_the_same(store: Store, url: str):
    graph = bank(store, paying(10), AIMessage("Done."))
    run_thread(graph, "t", "Pay.")
    answer_thread(graph, "t", [{"id": "c10", "type": "edit", "args": {"amount": 3}, "by": "ann", "at": NOON}])
    with open_store(url, read_only=True) as reader:
        assert read_steps(reader, "t") == read_steps(store, "t")
        assert read_all_steps(reader, "t") == read_all_steps(store, "t")
        leaf = latest_checkpoint(reader, "t")
        assert branch_messages(reader, "t", leaf) == branch_messages(store, "t", leaf)


def test_unknown_threads_and_checkpoints_are_named(store: Store):
    run_thread(bank(store, AIMessage("Done.")), "t", "Hi.")
    with pytest.raises(UnknownThread, match="thread 't' has no checkpoint 'c9' in "):
        read_steps(store, "t", "c9")
    for read in (read_steps, read_all_steps):
        with pytest.raises(UnknownThread, match=r"thread 'x7' has no checkpoints in .*; try `threadmill threads list`"):
            read(store, "x7")
