"""Conversations of their own inside a node, with messages that the thread itself has not.

The subgraph of a step or a trial (think → act → tool → think …), or of a single question. It stays on the versions
that the run began with, and what it says is exported like everything that is said: LangGraph keeps its checkpoints in
a namespace of the thread.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph

from ..nodes.act import Ask, make_act
from ..nodes.approval import Approval
from ..nodes.calls import args_schema, make_check, sort_calls
from ..nodes.limits import Limits
from ..nodes.models.slot import Slot
from ..nodes.pages import with_more
from ..nodes.think import make_think
from ..nodes.tool import make_tool
from ..nodes.traits import as_tool
from .question import Question
from .react import may_think, wants_call
from .state import AgentState

Report = Callable[..., dict[str, Any]]
"""From the state in the end to what the conversation was about: its keys are of the graph around it."""


def build_conversation(
    slot: Slot,
    tools: Sequence[BaseTool | Callable[..., Any]],
    report: Report,
    state: type[AgentState],
    output: type[Any],
    *,
    system: str = "",
    max_calls: int = 12,
    timeout_s: float | None = 30,
    ask: Ask | None = None,
    approval: Approval | None = None,
    limits: Limits | None = None,
    dry_run: bool = False,
    max_chars: int | None = None,
) -> StateGraph[Any]:
    """The subgraph, uncompiled; it ends with a report, also if the model would go on after ``max_calls`` calls.

    What tools return is marked as data. The node that asks the model is called as its slot, so that rows can be chosen
    by node whatever the version is called.
    """
    think = node_of(slot)
    own = with_more([as_tool(one) for one in tools], max_chars)
    graph: StateGraph[Any] = StateGraph(state, output_schema=output)
    graph.add_node(think, make_think(slot, own, system))
    graph.add_node("act", make_act(own, ask, approval=approval, limits=limits, dry_run=dry_run))
    graph.add_node("tool", make_tool(own, timeout_s, mark=True, max_chars=max_chars), input_schema=AgentState)
    graph.add_node("report", report)

    graph.add_edge(START, think)
    graph.add_conditional_edges(think, Question(wants_call), {True: "act", False: "report"})
    graph.add_conditional_edges("tool", Question(may_think(max_calls)), {True: think, False: "report"})
    graph.add_edge("report", END)
    return graph


def node_of(slot: Slot) -> str:
    """The node that ``slot`` is named after.

    >>> from threadmill.nodes import ScriptedModel
    >>> node_of(Slot.fixed("shop.execute", ScriptedModel([]), "shop.execute@0001"))
    'execute'
    """
    return slot.name.rpartition(".")[2]


def last_words(state: Mapping[str, Any]) -> AIMessage | None:
    """The answer that the conversation ended with; None if it had to end before there was one."""
    last = state["messages"][-1]
    return last if isinstance(last, AIMessage) and not wants_call(state) else None


def build_asking(
    slot: Slot,
    question: Callable[[Mapping[str, Any]], str],
    report: Report,
    state: type[AgentState],
    given: type[Any],
    output: type[Any],
    *,
    system: str,
    tool: BaseTool | None = None,
) -> StateGraph[Any]:
    """A subgraph that asks a model one ``question`` about the graph around it; ``given`` is what it sees of that.

    With a ``tool`` the answer is a call of it, which nobody runs: its arguments are what is asked for.
    """
    think = node_of(slot)
    graph: StateGraph[Any] = StateGraph(state, input_schema=given, output_schema=output)
    graph.add_node("ask", make_pose(question))
    graph.add_node(think, make_think(slot, [tool] if tool else [], system, tool_choice=tool.name if tool else None))
    graph.add_node("report", report)

    graph.add_edge(START, "ask")
    graph.add_edge("ask", think)
    graph.add_edge(think, "report")
    graph.add_edge("report", END)
    return graph


def make_pose(question: Callable[[Mapping[str, Any]], str]) -> Callable[..., dict[str, Any]]:
    """Build a node that begins a conversation with a ``question`` about the graph around it."""

    def pose(state: Mapping[str, Any]) -> dict[str, Any]:
        return {"messages": [HumanMessage(question(state))]}

    return pose


def called_with(state: Mapping[str, Any], tool: BaseTool) -> dict[str, Any]:
    """The arguments of the call of ``tool`` that answers the question; empty if it is none that fits its schema."""
    calls = sort_calls(state["messages"][-1], {tool.name: make_check(args_schema(tool))})
    return next((call["call"]["args"] for call in calls if call["kind"] == "result"), {})
