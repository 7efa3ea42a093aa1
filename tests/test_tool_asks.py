"""Tools by which an agent turns to somebody else: the user, or another agent."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from threadmill.graphs import build_react
from threadmill.graphs.run import answer_thread, run_thread
from threadmill.nodes import ScriptedModel, Slot, make_tool
from threadmill.nodes.tools import make_ask_user, make_hand_off
from threadmill.nodes.tools.ask_user import ask_for
from threadmill.nodes.tools.hand_off import handed_to
from threadmill.nodes.traits import traits_of

ASKING = {"name": "ask_user", "args": {"question": "Which order?"}, "id": "c1", "type": "tool_call"}


def desk(ask: Any) -> Any:
    slot = Slot.fixed("desk.think", ScriptedModel([AIMessage("", tool_calls=[ASKING]), AIMessage("A7 is sent.")]), "v1")
    return build_react(slot, [make_ask_user()], ask=ask).compile(checkpointer=InMemorySaver())


def test_the_thread_waits_for_the_user_and_the_answer_is_the_observation():
    graph = desk(ask_for([make_ask_user()]))
    paused = run_thread(graph, "t", "Where is my order?")
    assert [(q["tool"], q["why"], q["who"]) for q in paused.questions] == [
        ("ask_user", "the agent asks: Which order?", "user")
    ]
    done = answer_thread(graph, "t", [{"id": "c1", "type": "respond", "text": "A7"}])
    assert done.answer == "A7 is sent."
    messages = graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"]
    assert (messages[2].text, messages[2].additional_kwargs["kind"]) == ("A7", "responded")


def test_a_tool_that_interrupts_by_itself_pauses_the_thread_and_is_answered_through_langgraph():
    def confirm(what: str) -> str:
        """Have somebody confirm."""
        return f"{what}: {interrupt({'sure': what})}"

    call = {"name": "confirm", "args": {"what": "A1"}, "id": "c1", "type": "tool_call"}
    slot = Slot.fixed("desk.think", ScriptedModel([AIMessage("", tool_calls=[call]), AIMessage("Done.")]), "v1")
    graph = build_react(slot, [confirm]).compile(checkpointer=InMemorySaver())
    paused = run_thread(graph, "t", "Go.")
    assert (paused.status, paused.questions) == ("paused", ())
    done = graph.invoke(Command(resume="yes"), {"configurable": {"thread_id": "t"}})
    assert [message.text for message in done["messages"][2:]] == ["A1: yes", "Done."]


def test_where_nobody_is_asked_the_model_reads_that():
    graph = desk(None)
    assert run_thread(graph, "t", "Where is my order?").answer == "A7 is sent."
    messages = graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"]
    assert messages[2].text == (
        "nobody can be asked here: go on with what you know, or say in your answer what is missing"
    )


def test_the_rule_leaves_other_tools_to_the_rule_it_was_given():
    def look(order: str) -> str:
        """Look."""
        return order

    both = ask_for([make_ask_user(), look], lambda name, args: f"{name} is new" if name == "look" else None)
    assert both is not None
    assert (both("look", {}), both("other", {})) == ("look is new", None)
    assert ask_for([look]) is None


def test_a_hand_over_names_who_can_take_over_and_the_graph_reads_who_did():
    tool = make_hand_off({"billing": "money", "shipping": "parcels"})
    assert tool.description == "Hand the conversation over to billing (money), shipping (parcels)."
    assert traits_of(tool).acts is False
    call = {"name": "hand_off", "args": {"to": "billing", "task": "Refund A1."}, "id": "c", "type": "tool_call"}
    sent: Any = {"id": "ai:0", "call": call, "kind": "result", "text": ""}
    node: Any = make_tool([tool])
    answer = node(sent, {"configurable": {}}, Runtime())["messages"][0]
    assert answer.text == "billing takes over: Refund A1."
    asked = [HumanMessage("My money!"), AIMessage("", tool_calls=[call])]
    assert handed_to([*asked, answer]) == "billing"
    assert handed_to([*asked, ToolMessage("refused", tool_call_id="c", status="error")]) is None
    assert handed_to([*asked, answer, AIMessage("Done.")]) is None
    with pytest.raises(ValueError, match="names of those who can take over"):
        make_hand_off([])
