"""Any node or edge of an agent can be replaced by one's own; the graph it came from stays as it was."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send
from threadmill.errors import UnknownNode
from threadmill.graphs import build_react, replace_edge, replace_node, replace_route, run_thread
from threadmill.graphs.run import graph_digest
from threadmill.graphs.state import AgentState
from threadmill.nodes import ScriptedModel, Slot


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def say(messages: list[BaseMessage]) -> AIMessage:
    if isinstance(messages[-1], HumanMessage):
        return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": 5}, "id": "c1"}])
    return AIMessage(f"Done: {messages[-1].text}")


def shop() -> StateGraph[Any, Any, Any, Any]:
    return build_react(Slot.fixed("shop.think", ScriptedModel(say), "shop.think@0001"), [pay], name="shop")


def said(graph: StateGraph[Any, Any, Any, Any]) -> list[str]:
    compiled = graph.compile(checkpointer=InMemorySaver())
    run_thread(compiled, "t", "Pay.")
    return [message.text for message in compiled.get_state({"configurable": {"thread_id": "t"}}).values["messages"]]


def loud_observe(state: AgentState) -> dict[str, Any]:
    return {"versions": {"shop.think": "shop.think@0001"}, "context": {"memory": "HEARD"}}


def loud_think(state: AgentState) -> dict[str, Any]:
    return {"messages": [AIMessage("I pay nothing.")]}


def loud_act(state: Any) -> Command[Any]:
    call = {**state["messages"][-1].tool_calls[0], "args": {"amount": 7}}
    return Command(goto=[Send("tool", {"id": "m", "call": call, "kind": "result", "text": ""})])


def loud_tool(call: Any) -> dict[str, Any]:
    return {"messages": [ToolMessage("PAID", tool_call_id=call["call"]["id"], name="pay")]}


@pytest.mark.parametrize(
    ("name", "node", "expected"),
    [
        ("observe", loud_observe, ["Pay.", "", "paid 5", "Done: paid 5"]),
        ("think", loud_think, ["Pay.", "I pay nothing."]),
        ("act", loud_act, ["Pay.", "", "paid 7", "Done: paid 7"]),
        ("tool", loud_tool, ["Pay.", "", "PAID", "Done: PAID"]),
    ],
)
def test_each_node_of_an_agent_is_replaced_alone(name: str, node: Any, expected: list[str]) -> None:
    before = shop()
    digest = graph_digest(before.compile())
    after = replace_node(before, name, node)
    assert said(after) == expected
    assert said(before) == ["Pay.", "", "paid 5", "Done: paid 5"]
    assert list(after.nodes) == ["observe", "think", "act", "tool"]
    assert (graph_digest(before.compile()), graph_digest(after.compile()) == digest) == (digest, False)


def test_a_replaced_node_keeps_its_note_and_its_ends() -> None:
    graph = replace_node(replace_node(shop(), "observe", loud_observe), "act", loud_act)
    assert graph.nodes["observe"].metadata == {
        **(shop().nodes["observe"].metadata or {}),
        "replaced": f"{__name__}.loud_observe",
    }
    assert graph.nodes["act"].ends == ("tool",)
    assert "act -.-> tool" in graph.compile().get_graph().draw_mermaid()


def test_an_edge_leads_through_a_node_of_one_s_own() -> None:
    def shout(state: Any) -> dict[str, Any]:
        last = state["messages"][-1]
        return {"messages": [last.model_copy(update={"content": last.text.upper()})]}

    graph = replace_edge(shop(), "tool", "observe", "shout")
    graph.add_node("shout", shout)
    graph.add_edge("shout", "observe")
    assert said(graph) == ["Pay.", "", "PAID 5", "Done: PAID 5"]


def test_the_end_of_a_route_is_replaced() -> None:
    graph = replace_edge(shop(), "think", END, "sign")
    graph.add_node("sign", lambda state: {"messages": [AIMessage("Yours, the shop")]})
    graph.add_edge("sign", END)
    assert said(graph) == ["Pay.", "", "paid 5", "Done: paid 5", "Yours, the shop"]


def test_a_question_of_one_s_own_decides_the_way() -> None:
    def never(state: AgentState) -> bool:
        return False

    assert said(replace_route(shop(), "think", never, {True: "act", False: END})) == ["Pay.", ""]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda g: replace_node(g, "thinks", loud_think), r"there is no node 'thinks'; did you mean think\?"),
        (lambda g: replace_node(g, "plan", loud_think), "there is no node 'plan'; there are observe, think, act, tool"),
        (lambda g: replace_edge(g, "tool", "think", "act"), "no edge leads from tool to think; it leads to observe"),
        (lambda g: replace_edge(g, "act", "tool", "think"), "act sends to tool by itself; replace one of the two"),
        (lambda g: replace_edge(g, "acts", "tool", "think"), r"no node 'acts'; did you mean act\?"),
        (
            lambda g: replace_edge(g, START, "think", "act"),
            "no edge leads from __start__ to think; it leads to observe",
        ),
        (lambda g: replace_route(g, "plan", loud_think, {}), "there is no node 'plan'"),
    ],
)
def test_what_a_graph_does_not_have_is_named(change: Any, says: str) -> None:
    with pytest.raises(UnknownNode, match=says):
        change(shop())
